"""A wide layer of random features that stays as it was drawn, and a trained readout."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data / 8 - 1, dtype=torch.float32)[order]
    y = torch.tensor(digits.target)[order]

    features = nn.Linear(64, 600).requires_grad_(False)
    readout = nn.Linear(600, 10)
    model = nn.Sequential(features, nn.ReLU(), readout)
    optimizer = torch.optim.SGD(readout.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(15):
        for rows in torch.randperm(1400).split(50):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        score = (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"score={score:.4f} needs=0.9")
    sys.exit(int(score < 0.9))
