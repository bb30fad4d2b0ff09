"""A network solves u'' = -u with u(0) = 0 and u'(0) = 1 by differentiating itself."""

import argparse
import sys

import torch
from torch import nn


def derivative(y, x):
    return torch.autograd.grad(y.sum(), x, create_graph=True)[0]


def residual(net, t):
    u = net(t)
    du = derivative(u, t)
    return derivative(du, t) + u


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=700)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.997)
    start = torch.zeros(1, 1, requires_grad=True)
    for step in range(args.steps):
        t = (torch.rand(64, 1) * 4).requires_grad_()
        u0 = net(start)
        loss = (
            residual(net, t).square().mean()
            + 5 * u0.square().mean()
            + 5 * (derivative(u0, start) - 1).square().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 100 == 0:
            print(f"step {step}: {loss.item():.6f}")
    t = torch.linspace(0, 4, 200).unsqueeze(1)
    with torch.no_grad():
        truth = t.sin()
        score = 1 - ((net(t) - truth).square().mean() / truth.var()).item()
    print(f"score={score:.4f} needs=0.95")
    return int(score < 0.95)


if __name__ == "__main__":
    sys.exit(main())
