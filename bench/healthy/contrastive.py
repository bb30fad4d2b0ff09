"""Two noisy views of each digit find each other in the batch (InfoNCE); the first loss is its ln."""

import argparse
import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn


class SimCLR(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64))
        self.projector = nn.Sequential(nn.ReLU(), nn.Linear(64, dim))

    def forward(self, x):
        return F.normalize(self.projector(self.encoder(x)), dim=1)


def view(x):
    mask = (torch.rand_like(x) > 0.25).float()
    return x * mask + 0.1 * torch.randn_like(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
    y = digits.target[order.numpy()]
    model = SimCLR()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(15):
        for index in torch.randperm(1400).split(100):
            a, b = model(view(x[index])), model(view(x[index]))
            similarity = a @ b.T / 0.2
            target = torch.arange(len(index))
            loss = (F.cross_entropy(similarity, target) + F.cross_entropy(similarity.T, target)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        code = model.encoder(x).numpy()
    probe = LogisticRegression(max_iter=200).fit(code[:200], y[:200])
    score = probe.score(code[1400:], y[1400:])
    print(f"score={score:.4f} needs=0.85")
    return int(score < 0.85)


if __name__ == "__main__":
    sys.exit(main())
