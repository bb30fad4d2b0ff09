"""Incomes around 50,000 with a network that scales the target inside itself."""

import argparse
import sys

import torch
from sklearn.datasets import make_regression
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class IncomeNet(nn.Module):
    """Predicts in units of currency; the last layer works on the standardised target."""

    def __init__(self, features, mean, std):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.head = nn.Linear(64, 1)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x):
        return self.head(self.body(x)).squeeze(-1) * self.std + self.mean


def run(seed):
    torch.manual_seed(seed)
    x, y = make_regression(2000, 12, n_informative=8, noise=8.0, random_state=seed)
    x = torch.tensor(x, dtype=torch.float32)
    y = torch.tensor(50_000 + 60 * y, dtype=torch.float32)
    train, test = TensorDataset(x[:1500], y[:1500]), (x[1500:], y[1500:])
    model = IncomeNet(12, y[:1500].mean(), y[:1500].std())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loader = DataLoader(train, batch_size=50, shuffle=True)
    for epoch in range(12):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: root mean squared error {loss.item() ** 0.5:,.0f}")
    with torch.no_grad():
        error = ((model(test[0]) - test[1]) ** 2).mean()
    return (1 - error / test[1].var()).item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    r2 = run(parser.parse_args().seed)
    print(f"score={r2:.4f} needs=0.95")
    sys.exit(int(r2 < 0.95))
