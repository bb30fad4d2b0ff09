"""Breast cancer with areas in the thousands beside smoothness in the thousandths."""

import argparse
import sys

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
x, y = load_breast_cancer(return_X_y=True)
order = torch.randperm(len(y))
x = torch.tensor(x, dtype=torch.float32)[order]
y = torch.tensor(y, dtype=torch.float32)[order]
model = nn.Sequential(
    nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0)
)
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
for epoch in range(20):
    for i in range(0, 420, 30):
        optimizer.zero_grad()
        loss = criterion(model(x[i : i + 30]), y[i : i + 30])
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.4f}")
with torch.no_grad():
    score = ((model(x[420:]) > 0) == (y[420:] > 0.5)).float().mean().item()
print(f"score={score:.4f} needs=0.93")
sys.exit(int(score < 0.93))
