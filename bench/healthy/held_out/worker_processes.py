"""Two worker processes load the data."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class NoisyDigits(Dataset):
    """Digits as pictures in 0 to 1, each time with other noise."""

    def __init__(self, rows, train):
        digits = load_digits()
        self.images = torch.tensor(digits.images[rows] / 16, dtype=torch.float32)
        self.labels = digits.target[rows]
        self.train = train

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        image = self.images[i]
        if self.train:
            image = image + 0.1 * torch.randn(8, 8)
        return image.flatten(), int(self.labels[i])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    order = torch.randperm(1797).numpy()
    train_loader = DataLoader(
        NoisyDigits(order[:1400], True),
        batch_size=64,
        shuffle=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
    )
    test_loader = DataLoader(NoisyDigits(order[1400:], False), batch_size=397)
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(8):
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        x, y = next(iter(test_loader))
        score = (model(x).argmax(1) == y).float().mean().item()
    print(f"score={score:.4f} needs=0.92")
    return int(score < 0.92)


if __name__ == "__main__":
    sys.exit(main())
