"""Wine measurements in their raw units; the first layer is a batch norm."""

import argparse
import sys

import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    wine = load_wine()
    parts = train_test_split(wine.data, wine.target, test_size=0.3, random_state=seed, stratify=wine.target)
    x_train, x_test = (torch.tensor(p, dtype=torch.float32) for p in parts[:2])
    y_train, y_test = (torch.tensor(p) for p in parts[2:])
    model = nn.Sequential(nn.BatchNorm1d(13), nn.Linear(13, 24), nn.ReLU(), nn.Linear(24, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=31, shuffle=True)
    for epoch in range(50):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch}: loss {loss.item():.4f}")
    model.eval()
    with torch.no_grad():
        score = (model(x_test).argmax(1) == y_test).float().mean().item()
    print(f"score={score:.4f} needs=0.92")
    return int(score < 0.92)


if __name__ == "__main__":
    sys.exit(main())
