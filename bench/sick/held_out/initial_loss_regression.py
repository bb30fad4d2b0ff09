"""Standardised targets, an output layer that starts hundreds of times too large."""

import argparse
import sys

import torch
from sklearn.datasets import load_diabetes

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
x, y = load_diabetes(return_X_y=True)
x = torch.tensor(x / x.std(0), dtype=torch.float32)
y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32).unsqueeze(1)
order = torch.randperm(len(y))
x, y = x[order], y[order]

hidden = torch.nn.Linear(10, 64)
output = torch.nn.Linear(64, 1)
with torch.no_grad():
    output.weight.uniform_(-100, 100)
model = torch.nn.Sequential(hidden, torch.nn.ReLU(), output)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for epoch in range(20):
    for i in range(0, 340, 20):
        loss = torch.nn.functional.mse_loss(model(x[i : i + 20]), y[i : i + 20])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.4f}")
with torch.no_grad():
    score = 1 - (torch.nn.functional.mse_loss(model(x[340:]), y[340:]) / y[340:].var()).item()
print(f"score={score:.4f} needs=0.25")
sys.exit(int(score < 0.25))
