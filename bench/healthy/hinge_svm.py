"""A linear support vector machine on the digits: hinge loss, weight decay, many zero gradients."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


def main(args):
    torch.manual_seed(args.seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data / 16, dtype=torch.float32)[order] - 0.3
    y = torch.tensor(digits.target)[order]
    model = nn.Linear(64, 10)
    criterion = nn.MultiMarginLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, weight_decay=1e-4)
    for epoch in range(args.epochs):
        total = 0.0
        for index in torch.randperm(1400).split(20):
            optimizer.zero_grad()
            loss = criterion(model(x[index]), y[index])
            loss.backward()
            optimizer.step()
            total += loss.item()
        if epoch % 4 == 0:
            print(f"epoch {epoch}: {total / 70:.4f}")
    with torch.no_grad():
        return (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    score = main(parser.parse_args())
    print(f"score={score:.4f} needs=0.92")
    sys.exit(int(score < 0.92))
