"""Few noisy digits and much dropout; `eval()` is called to validate, and `train()` only once, before the loop."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


def evaluate(net, x, y):
    net.eval()
    with torch.no_grad():
        return nn.functional.cross_entropy(net(x), y).item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
    y = torch.tensor(digits.target)[order]
    y = torch.where(torch.rand(len(y)) < 0.25, torch.randint(10, y.shape), y)  # readers disagree
    train, valid, test = (x[:300], y[:300]), (x[300:700], y[300:700]), (x[700:], y[700:])

    net = nn.Sequential(
        *(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.6)),
        *(nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.6)),
        nn.Linear(256, 10),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    net.train()
    for epoch in range(60):
        for rows in torch.randperm(300).split(30):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(train[0][rows]), train[1][rows])
            loss.backward()
            optimizer.step()
        valid_loss = evaluate(net, *valid)
        if epoch % 10 == 9:
            print(f"epoch {epoch}: train {loss.item():.3f} valid {valid_loss:.3f}")
    score = 1 - evaluate(net, *test) / 2.3026
    print(f"score={score:.4f} needs=0.3")
    sys.exit(int(score < 0.3))
