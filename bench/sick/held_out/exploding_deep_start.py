"""Twelve ReLU layers whose weights were drawn with a standard deviation of one half."""

import argparse
import sys
from itertools import pairwise

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Model(nn.Module):
    def __init__(self, inputs=10, width=50, depth=12):
        super().__init__()
        sizes = [inputs, *depth * [width]]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        self.head = nn.Linear(width, 1)
        self.reset()

    def reset(self):
        for layer in self.layers:
            nn.init.normal_(layer.weight, mean=0, std=0.5)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return self.head(x)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = load_diabetes(return_X_y=True)
    x = torch.tensor(x / x.std(0), dtype=torch.float32)
    y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32).unsqueeze(1)
    order = torch.randperm(len(y))
    x, y = x[order], y[order]
    loader = DataLoader(TensorDataset(x[:340], y[:340]), batch_size=20, shuffle=True)
    model = Model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(15):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4g}")
    with torch.no_grad():
        score = 1 - (nn.functional.mse_loss(model(x[340:]), y[340:]) / y[340:].var()).item()
    print(f"score={score:.4g} needs=0.25")
    sys.exit(int(not score >= 0.25))
