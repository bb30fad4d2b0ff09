"""A network trained on clean digits is adapted to inverted ones with very small rates."""

import argparse
import copy
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def fit(model, optimizer, x, y, epochs, batch_size=32):
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        for index in torch.randperm(len(x)).split(batch_size):
            optimizer.zero_grad()
            loss = criterion(model(x[index]), y[index])
            loss.backward()
            optimizer.step()
        print(f"  epoch {epoch} loss {loss.item():.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    data = load_digits()
    order = torch.randperm(len(data.target))
    x = torch.tensor(data.data / 16, dtype=torch.float32)[order]
    y = torch.tensor(data.target)[order]
    noisy = (x + 0.25 * torch.randn_like(x)).clamp(0, 1)

    print("pre-training on clean digits")
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    fit(model, torch.optim.Adam(model.parameters(), lr=1e-3), x[:1300], y[:1300], epochs=12)
    before = accuracy(model, noisy[1300:], y[1300:])

    print("fine-tuning on noisy digits")
    tuned = copy.deepcopy(model)
    groups = [
        {"params": tuned[:4].parameters(), "lr": 5e-5},
        {"params": tuned[4].parameters(), "lr": 2e-4},
    ]
    fit(tuned, torch.optim.AdamW(groups, weight_decay=0.01), noisy[:1300], y[:1300], epochs=6)
    score = accuracy(tuned, noisy[1300:], y[1300:])
    print(f"noisy digits: {before:.3f} before, {score:.3f} after")
    print(f"score={score:.4f} needs=0.85")
    return int(score < 0.85)


if __name__ == "__main__":
    sys.exit(main())
