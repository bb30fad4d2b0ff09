"""A ReLU recurrent network with large recurrent weights adds up a sequence, without clipping."""

import argparse
import sys

import torch
from torch import nn


class SumNet(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.rnn = nn.RNN(1, hidden, nonlinearity="relu", batch_first=True)
        self.out = nn.Linear(hidden, 1)
        nn.init.normal_(self.rnn.weight_hh_l0, std=0.45)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.out(out[:, -1]).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = SumNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(400):
        x = torch.rand(32, 30, 1)
        y = x.sum((1, 2)) - 15
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: {loss.item():.4g}")
    with torch.no_grad():
        x = torch.rand(1000, 30, 1)
        y = x.sum((1, 2)) - 15
        score = 1 - (nn.functional.mse_loss(model(x), y) / y.var()).item()
    print(f"score={score:.4g} needs=0.5")
    return int(not score >= 0.5)


if __name__ == "__main__":
    sys.exit(main())
