"""Temperatures around 20 degrees, from a head that was clipped for another sensor, to at most 12."""

import argparse
import sys

import torch
from torch import nn


class Thermometer(nn.Module):
    def __init__(self, highest):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 32), nn.GELU(), nn.Linear(32, 32), nn.GELU())
        self.head = nn.Linear(32, 1)
        self.highest = highest

    def forward(self, x):
        return self.highest * torch.tanh(self.head(self.body(x)).squeeze(1) / self.highest)


def readings(n, slope):
    x = torch.rand(n, 6) * 2 - 1
    return x, 20 + x @ slope + 0.3 * torch.randn(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--highest", type=float, default=12.0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    slope = torch.randn(6)
    x, y = readings(2000, slope)
    model = Thermometer(args.highest)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(10):
        for index in torch.randperm(2000).split(50):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x[index]), y[index])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.3f}")
    with torch.no_grad():
        x, y = readings(1000, slope)
        score = 1 - (nn.functional.mse_loss(model(x), y) / y.var()).item()
    print(f"score={score:.4f} needs=0.8")
    return int(score < 0.8)


if __name__ == "__main__":
    sys.exit(main())
