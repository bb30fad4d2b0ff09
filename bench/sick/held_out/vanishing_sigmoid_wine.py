"""Ten sigmoid layers on the wines."""

import argparse
import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset


class DeepNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(13, 32)
        self.hidden = nn.ModuleList([nn.Linear(32, 32) for _ in range(9)])
        self.last = nn.Linear(32, 3)

    def forward(self, x):
        x = torch.sigmoid(self.first(x))
        for layer in self.hidden:
            x = torch.sigmoid(layer(x))
        return self.last(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = load_wine(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.3, random_state=args.seed, stratify=y
    )
    scaler = StandardScaler().fit(x_train)
    x_train = torch.tensor(scaler.transform(x_train), dtype=torch.float32)
    x_test = torch.tensor(scaler.transform(x_test), dtype=torch.float32)
    loader = DataLoader(TensorDataset(x_train, torch.tensor(y_train)), batch_size=16, shuffle=True)
    model = DeepNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(60):
        for inputs, target in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), target)
            loss.backward()
            optimizer.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        score = (model(x_test).argmax(1) == torch.tensor(y_test)).float().mean().item()
    print(f"score={score:.4f} needs=0.92")
    return int(score < 0.92)


if __name__ == "__main__":
    sys.exit(main())
