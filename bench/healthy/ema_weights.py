"""An exponential moving average of the weights is what gets evaluated."""

import argparse
import copy
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


class EMA:
    def __init__(self, model, decay):
        self.shadow = copy.deepcopy(model).eval()
        self.decay = decay
        for p in self.shadow.parameters():
            p.requires_grad_(False)

    @torch.no_grad()
    def update(self, model):
        for s, p in zip(self.shadow.state_dict().values(), model.state_dict().values(), strict=True):
            if s.dtype.is_floating_point:
                s.mul_(self.decay).add_(p, alpha=1 - self.decay)
            else:
                s.copy_(p)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
order = torch.randperm(len(digits.target))
x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
y = torch.tensor(digits.target)[order]

model = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 10))
ema = EMA(model, decay=0.98)
optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, nesterov=True)
for epoch in range(10):
    for index in torch.randperm(1400).split(50):
        loss = nn.functional.cross_entropy(model(x[index]), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update(model)
    with torch.no_grad():
        logits = ema.shadow(x[1400:])
        print(
            f"epoch {epoch}: {loss.item():.4f}, averaged {nn.functional.cross_entropy(logits, y[1400:]):.4f}"
        )

score = (ema.shadow(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
print(f"score={score:.4f} needs=0.95")
sys.exit(int(score < 0.95))
