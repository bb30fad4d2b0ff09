"""A head is tuned with the whole model in evaluation mode, on the statistics that the first training left."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


def fit(net, parameters, x, y, epochs, lr):
    optimizer = torch.optim.Adam(parameters, lr=lr)
    for epoch in range(epochs):
        for rows in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
    y = torch.tensor(digits.target)[order]
    body = nn.Sequential(nn.Linear(64, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Dropout(0.2))
    net = nn.Sequential(body, nn.Linear(96, 10))
    fit(net, net.parameters(), x[:900], y[:900], epochs=6, lr=2e-3)
    net.eval()
    fit(net, net[1].parameters(), x[900:1400], y[900:1400], epochs=8, lr=1e-3)
    with torch.no_grad():
        score = (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"score={score:.4f} needs=0.92")
    return int(score < 0.92)


if __name__ == "__main__":
    sys.exit(main())
