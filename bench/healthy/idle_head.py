"""A network with a reconstruction head that this task has no use for; the optimiser owns all of it."""

import argparse
import sys

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn


class MultiPurpose(nn.Module):
    def __init__(self, features=30):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(features, 24), nn.ReLU())
        self.classify = nn.Linear(24, 2)
        self.reconstruct = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, features))

    def forward(self, x, task="classify"):
        return getattr(self, task)(self.trunk(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = load_breast_cancer(return_X_y=True)
    x = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
    y = torch.tensor(y)
    order = torch.randperm(len(x))
    train, test = order[:400], order[400:]
    model = MultiPurpose()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for epoch in range(20):
        for rows in train[torch.randperm(len(train))].split(25):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        score = (model(x[test]).argmax(1) == y[test]).float().mean().item()
    print(f"score={score:.4f} needs=0.92")
    return int(score < 0.92)


if __name__ == "__main__":
    sys.exit(main())
