"""The last layer starts with weights of standard deviation two hundred."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, 10)
        nn.init.normal_(self.head.weight, std=200)

    def forward(self, x):
        return self.head(self.features(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
    y = torch.tensor(digits.target)[order]
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(8):
        for xb, yb in DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        logits = model(x[1400:])
        valid = nn.functional.cross_entropy(logits, y[1400:]).item()
    score = 1 - valid / 2.302585  # how much better than guessing
    print(f"score={score:.4f} needs=0.6")
    return int(score < 0.6)


if __name__ == "__main__":
    sys.exit(main())
