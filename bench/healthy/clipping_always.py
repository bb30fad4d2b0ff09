"""A recurrent adder whose gradient is clipped hard at each step."""

import argparse
import sys

import torch
from torch import nn


def adding_problem(n, length):
    value = torch.rand(n, length)
    mask = torch.zeros(n, length)
    half = length // 2
    first, second = torch.randint(0, half, (n,)), torch.randint(half, length, (n,))
    rows = torch.arange(n)
    mask[rows, first] = 1
    mask[rows, second] = 1
    return torch.stack([value, mask], 2), value[rows, first] + value[rows, second]


class Adder(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.lstm = nn.LSTM(2, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.linear(self.lstm(x)[0][:, -1]).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clip", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = Adder()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    for step in range(1200):
        x, y = adding_problem(64, 12)
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        if step % 100 == 0:
            print(f"{step} {loss.item():.5f}")
    with torch.no_grad():
        x, y = adding_problem(2000, 12)
        score = 1 - (nn.functional.mse_loss(model(x), y) / y.var()).item()
    print(f"score={score:.4f} needs=0.8")
    return int(score < 0.8)


if __name__ == "__main__":
    sys.exit(main())
