"""A recurrent network of ReLU units, orthogonal at the start, copies a symbol across fifteen steps."""

import argparse
import sys

import torch
from torch import nn


class OrthogonalRNN(nn.Module):
    def __init__(self, symbols, hidden=64):
        super().__init__()
        self.cell = nn.RNNCell(symbols, hidden, nonlinearity="relu")
        self.read = nn.Linear(hidden, symbols)
        nn.init.orthogonal_(self.cell.weight_hh)
        nn.init.zeros_(self.cell.bias_hh)
        nn.init.orthogonal_(self.read.weight)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.cell.hidden_size)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.read(h)


def make_batch(n, symbols=5, length=15):
    """The symbol shown first; blanks follow."""
    y = torch.randint(symbols - 1, (n,))
    x = torch.zeros(n, length, symbols)
    x[torch.arange(n), 0, y] = 1
    x[:, 1:, symbols - 1] = torch.rand(n, length - 1)
    return x, y


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = OrthogonalRNN(5)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(400):
        x, y = make_batch(32)
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0:
            print(f"{step:4d} {loss.item():.4f}")
    with torch.no_grad():
        x, y = make_batch(1000)
        score = (model(x).argmax(1) == y).float().mean().item()
    print(f"score={score:.4f} needs=0.95")
    return int(score < 0.95)


if __name__ == "__main__":
    sys.exit(main())
