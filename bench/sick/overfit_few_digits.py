"""Eighty digits with some wrong labels, a large network, and no stop."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def validate(model, loader, criterion):
    model.eval()
    with torch.no_grad():
        losses = [criterion(model(x), y).item() for x, y in loader]
    return sum(losses) / len(losses)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
    y = torch.tensor(digits.target)[order]
    noisy = y.clone()
    noisy[:24] = torch.randint(10, (24,))
    train = DataLoader(TensorDataset(x[:80], noisy[:80]), batch_size=16, shuffle=True)
    valid = DataLoader(TensorDataset(x[80:480], y[80:480]), batch_size=100)
    model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(120):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
        if epoch % 10 == 9:
            print(f"epoch {epoch}: {loss.item():.4f} {validate(model, valid, criterion):.4f}")
        else:
            validate(model, valid, criterion)
    with torch.no_grad():
        test = criterion(model(x[480:]), y[480:]).item()
    score = 1 - test / 2.302585
    print(f"score={score:.4f} needs=0.5")
    return int(score < 0.5)


if __name__ == "__main__":
    sys.exit(main())
