"""SGD at a rate of one millionth."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=1e-6)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)[order]
    y = torch.tensor(digits.target)[order]
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    for epoch in range(6):
        for xb, yb in DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=32, shuffle=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        score = (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"score={score:.4f} needs=0.9")
    return int(score < 0.9)


if __name__ == "__main__":
    sys.exit(main())
