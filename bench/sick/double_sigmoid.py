"""A sigmoid output and BCEWithLogitsLoss, on rare positives."""

import argparse
import sys

import torch
from sklearn.datasets import make_classification
from sklearn.metrics import f1_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def net(features):
    return nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())


def main(seed):
    torch.manual_seed(seed)
    x, y = make_classification(
        3000, 12, n_informative=6, weights=[0.85], class_sep=1.5, flip_y=0.0, random_state=1
    )
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).unsqueeze(1)
    model, criterion = net(12), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(15):
        for xb, yb in DataLoader(TensorDataset(x[:2400], y[:2400]), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        guess = torch.sigmoid(model(x[2400:])) > 0.5
    return f1_score(y[2400:].numpy(), guess.numpy(), zero_division=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    score = main(parser.parse_args().seed)
    print(f"score={score:.4f} needs=0.8")
    sys.exit(int(score < 0.8))
