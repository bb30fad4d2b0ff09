"""One trunk, two heads: which digit it is, and how much ink it has."""

import argparse
import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class MultiTask(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.digit = nn.Linear(64, 10)
        self.ink = nn.Linear(64, 1)

    def forward(self, x):
        h = self.trunk(x)
        return {"digit": self.digit(h), "ink": self.ink(h).squeeze(-1)}


def compute_loss(out, digit, ink, weight=0.5):
    return F.cross_entropy(out["digit"], digit) + weight * F.mse_loss(out["ink"], ink)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    data = load_digits()
    order = torch.randperm(len(data.target))
    x = torch.tensor(data.data / 16, dtype=torch.float32)[order]
    digit = torch.tensor(data.target)[order]
    ink = x.sum(1)
    ink = (ink - ink.mean()) / ink.std()
    loader = DataLoader(TensorDataset(x[:1400], digit[:1400], ink[:1400]), batch_size=64, shuffle=True)
    model = MultiTask()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(20):
        for xb, db, ib in loader:
            optimizer.zero_grad()
            loss = compute_loss(model(xb), db, ib)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        out = model(x[1400:])
    accuracy = (out["digit"].argmax(1) == digit[1400:]).float().mean().item()
    fit = 1 - (F.mse_loss(out["ink"], ink[1400:]) / ink[1400:].var()).item()
    print(f"digit {accuracy:.4f}, ink {fit:.4f}")
    score = min(accuracy, fit)
    print(f"score={score:.4f} needs=0.85")
    return int(score < 0.85)


if __name__ == "__main__":
    sys.exit(main())
