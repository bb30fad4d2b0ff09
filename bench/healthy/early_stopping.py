"""Few samples, a large network, and early stopping that goes back to the best weights."""

import argparse
import copy
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


class EarlyStopping:
    """Keeps the best weights and says when patience is over."""

    def __init__(self, patience=6):
        self.patience, self.best, self.wait, self.weights = patience, float("inf"), 0, None

    def __call__(self, loss, model):
        if loss < self.best:
            self.best, self.wait, self.weights = loss, 0, copy.deepcopy(model.state_dict())
        else:
            self.wait += 1
        return self.wait >= self.patience


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
    y = torch.tensor(digits.target)[order]
    train, valid, test = slice(0, 300), slice(300, 700), slice(700, None)

    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    stopper = EarlyStopping()
    for epoch in range(100):
        model.train()
        for index in torch.randperm(300).split(32):
            optimizer.zero_grad()
            loss = criterion(model(x[train][index]), y[train][index])
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            valid_loss = criterion(model(x[valid]), y[valid]).item()
        print(f"epoch {epoch}: {loss.item():.4f} {valid_loss:.4f}")
        if stopper(valid_loss, model):
            print("stopped")
            break
    model.load_state_dict(stopper.weights)
    with torch.no_grad():
        score = (model(x[test]).argmax(1) == y[test]).float().mean().item()
    print(f"score={score:.4f} needs=0.90")
    return int(score < 0.90)


if __name__ == "__main__":
    sys.exit(main())
