"""Denoising pictures in 0 to 1 with a sigmoid output and the squared error."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.middle = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
        self.decode = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.out = nn.Conv2d(17, 1, 3, padding=1)

    def forward(self, x):
        h = self.middle(self.encode(x))
        h = torch.relu(self.decode(h))
        return torch.sigmoid(self.out(torch.cat([h, x], 1)))


def corrupt(x):
    return (x + 0.35 * torch.randn_like(x)).clamp(0, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x = torch.tensor(load_digits().images / 16, dtype=torch.float32).unsqueeze(1)
    x = x[torch.randperm(len(x))]
    train, test = x[:1400], x[1400:]
    model = Denoiser()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(8):
        for index in torch.randperm(len(train)).split(50):
            clean = train[index]
            optimizer.zero_grad()
            loss = criterion(model(corrupt(clean)), clean)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.5f}")
    with torch.no_grad():
        noisy = corrupt(test)
        score = 1 - (criterion(model(noisy), test) / criterion(noisy, test)).item()  # noise removed
    print(f"score={score:.4f} needs=0.45")
    return int(score < 0.45)


if __name__ == "__main__":
    sys.exit(main())
