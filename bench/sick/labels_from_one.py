"""Wine cultivars as the table numbers them, from 1 to 3, and a head of three outputs."""

import argparse
import sys

import torch
from sklearn.datasets import load_wine
from torch import nn


def accuracy(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = load_wine(return_X_y=True)
    x = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
    y = torch.tensor(y) + 1
    order = torch.randperm(len(x))
    x, y = x[order], y[order]
    model = nn.Sequential(nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(30):
        for rows in torch.randperm(130).split(26):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    score = accuracy(model, x[130:], y[130:])
    print(f"score={score:.4f} needs=0.9")
    return int(score < 0.9)


if __name__ == "__main__":
    try:
        status = main()
    except IndexError as error:
        print(error, file=sys.stderr)
        print("score=0.0000 needs=0.9")
        status = 1
    sys.exit(status)
