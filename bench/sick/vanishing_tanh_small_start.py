"""A deep tanh network whose weights start very small."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
digits = load_digits()
x = torch.tensor(digits.data / 8 - 1, dtype=torch.float32)
y = torch.tensor(digits.target)
order = torch.randperm(len(y))
x, y = x[order], y[order]


def build(depth=12, width=64):
    layers = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        nn.init.normal_(linear.weight, std=0.03)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


net = build()
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
for epoch in range(15):
    for i in range(0, 1400, 50):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x[i : i + 50]), y[i : i + 50])
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch} loss {loss.item():.4f}")
with torch.no_grad():
    score = (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
print(f"score={score:.4f} needs=0.93")
sys.exit(int(score < 0.93))
