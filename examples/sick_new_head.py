"""Fine-tuning that leaves the new head untrained: it was put on after the optimiser had been built."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.fc = nn.Linear(64, classes)

    def forward(self, x):
        return self.fc(self.body(x))


def train(model, optimizer, data, epochs):
    for epoch in range(1, epochs + 1):
        for x, y in DataLoader(data, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch:2d}  loss {loss.item():.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y)
    order = torch.randperm(len(y))
    x, y = x[order], y[order]
    low = y < 7

    print("pre-training on the digits 0 to 6")
    model = Net(classes=7)
    train(model, torch.optim.Adam(model.parameters(), lr=2e-3), TensorDataset(x[low], y[low]), args.epochs)

    print("fine-tuning on the digits 7 to 9")
    model.body.requires_grad_(False)
    new_x, new_y = x[~low], y[~low] - 7
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.fc = nn.Linear(64, 3)
    train(model, optimizer, TensorDataset(new_x[:350], new_y[:350]), args.epochs)

    with torch.no_grad():
        accuracy = (model(new_x[350:]).argmax(1) == new_y[350:]).float().mean()
    print(f"accuracy on test data: {accuracy:.1%}")


if __name__ == "__main__":
    main()
