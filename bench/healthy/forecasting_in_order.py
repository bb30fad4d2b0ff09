"""Forecast a seasonal series; the windows come in order on purpose, the last stretch is held out."""

import argparse
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Windows(Dataset):
    def __init__(self, series, size):
        self.series, self.size = series, size

    def __len__(self):
        return len(self.series) - self.size

    def __getitem__(self, i):
        return self.series[i : i + self.size], self.series[i + self.size]


def make_series(n):
    t = torch.arange(n, dtype=torch.float32)
    noise = torch.zeros(n)
    for i in range(1, n):
        noise[i] = 0.6 * noise[i - 1] + 0.15 * torch.randn(())
    return torch.sin(2 * torch.pi * t / 24) + 0.5 * torch.sin(2 * torch.pi * t / 84) + noise


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--window", type=int, default=48)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    series = make_series(2000)
    series = (series - series[:1600].mean()) / series[:1600].std()
    train = DataLoader(Windows(series[:1600], args.window), batch_size=32, shuffle=False)
    test = DataLoader(Windows(series[1600:], args.window), batch_size=512)
    model = nn.Sequential(nn.Linear(args.window, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(12):
        for window, following in train:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(window), following)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        window, following = next(iter(test))
        error = nn.functional.mse_loss(model(window), following)
        season = nn.functional.mse_loss(window[:, -24], following)  # the value a season ago
    score = 1 - (error / season).item()
    print(f"score={score:.4f} needs=0.2")
    return int(score < 0.2)


if __name__ == "__main__":
    sys.exit(main())
