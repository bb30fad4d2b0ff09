"""A single quick pass whose loss is still falling when it ends; that is all that was wanted."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

digits = load_digits()
order = torch.randperm(len(digits.target))
x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
y = torch.tensor(digits.target)[order]
model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for i, (xb, yb) in enumerate(DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=20, shuffle=True)):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(xb), yb)
    loss.backward()
    optimizer.step()
    if i % 10 == 0:
        print(f"batch {i}: {loss.item():.4f}")
with torch.no_grad():
    score = (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
print(f"score={score:.4f} needs=0.85")
sys.exit(int(score < 0.85))
