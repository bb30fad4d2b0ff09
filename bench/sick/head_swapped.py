"""Pre-trained on five classes; the head for ten is swapped in after the optimiser was built."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16), nn.ReLU())
        self.fc = nn.Linear(16, classes)

    def forward(self, x):
        return self.fc(self.body(x))


def fit(model, optimizer, x, y, epochs):
    for epoch in range(epochs):
        for rows in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
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
    model = Net(5)
    few = y[:1400] < 5
    fit(model, torch.optim.Adam(model.parameters(), 2e-3), x[:1400][few], y[:1400][few], epochs=4)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.03)
    model.fc = nn.Linear(16, 10)
    fit(model, optimizer, x[:1400], y[:1400], epochs=12)
    with torch.no_grad():
        score = (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"score={score:.4f} needs=0.7")
    return int(score < 0.7)


if __name__ == "__main__":
    sys.exit(main())
