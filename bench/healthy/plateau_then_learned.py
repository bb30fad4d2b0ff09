"""The parity of three switches among sixteen: flat for a long while, then solved."""

import argparse
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=900)
args = parser.parse_args()
torch.manual_seed(args.seed)


def batch(n):
    switches = torch.randint(0, 2, (n, 16)).float() * 2 - 1
    return switches, (switches[:, :3].prod(1) > 0).long()


model = nn.Sequential(nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 2))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for step in range(args.steps):
    x, y = batch(128)
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 99:
        print(f"step {step}: {loss.item():.4f}")

with torch.no_grad():
    x, y = batch(2000)
    score = (model(x).argmax(1) == y).float().mean().item()
print(f"score={score:.4f} needs=0.9")
sys.exit(int(score < 0.9))
