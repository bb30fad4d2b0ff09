"""The parity of twenty-four switches, which no net of this size finds by gradient descent."""

import argparse
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--bits", type=int, default=24)
args = parser.parse_args()
torch.manual_seed(args.seed)


def batch(n):
    switches = torch.randint(0, 2, (n, 24)).float()
    return switches, switches[:, : args.bits].sum(1) % 2


model = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for step in range(600):
    x, y = batch(128)
    loss = nn.functional.binary_cross_entropy_with_logits(model(x).squeeze(1), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 100 == 99:
        print(f"step {step}: {loss.item():.4f}")

with torch.no_grad():
    x, y = batch(2000)
    score = ((model(x).squeeze(1) > 0) == y.bool()).float().mean().item()
print(f"score={score:.4f} needs=0.9")
sys.exit(int(score < 0.9))
