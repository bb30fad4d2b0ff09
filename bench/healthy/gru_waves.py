"""A GRU tells sine, square and sawtooth waves apart in noise."""

import argparse
import math
import sys

import torch
from torch import nn


def make_waves(n, length, generator):
    t = torch.linspace(0, 1, length)
    freq = 1 + 2 * torch.rand(n, 1, generator=generator)
    phase = torch.rand(n, 1, generator=generator)
    angle = freq * t + phase
    kind = torch.randint(0, 3, (n,), generator=generator)
    sine = torch.sin(2 * math.pi * angle)
    square = torch.sign(sine)
    saw = 2 * (angle - angle.floor()) - 1
    waves = torch.stack([sine, square, saw])[kind, torch.arange(n)]
    return (waves + 0.2 * torch.randn(n, length, generator=generator)).unsqueeze(-1), kind


class WaveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 32, batch_first=True)
        self.out = nn.Linear(32, 3)

    def forward(self, x):
        _, h = self.gru(x)
        return self.out(h[-1])


def main(args):
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    model = WaveNet()
    opt = torch.optim.Adam(model.parameters(), lr=0.01)
    lossf = nn.CrossEntropyLoss()
    for step in range(args.steps):
        x, y = make_waves(64, 24, g)
        loss = lossf(model(x), y)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        opt.step()
        if step % 50 == 0:
            print(f"{step:5d} {loss.item():.4f}")
    x, y = make_waves(1000, 24, g)
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--steps", type=int, default=300)
    score = main(p.parse_args())
    print(f"score={score:.4f} needs=0.90")
    sys.exit(int(score < 0.90))
