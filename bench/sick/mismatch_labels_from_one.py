"""Breast cancer with a logistic loss; the labels come as 1 and 2, as they do from many tables."""

import argparse
import sys

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from torch import nn

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = load_breast_cancer(return_X_y=True)
    x = torch.tensor(StandardScaler().fit_transform(x), dtype=torch.float32)
    y = torch.tensor(y, dtype=torch.float32) + 1
    order = torch.randperm(len(x))
    train, test = order[:400], order[400:]

    model = nn.Sequential(nn.Linear(30, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(20):
        for rows in train[torch.randperm(400)].split(25):
            optimizer.zero_grad()
            loss = criterion(model(x[rows]).squeeze(1), y[rows])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        benign = (model(x[test]).squeeze(1) > 0).float() + 1
        score = (benign == y[test]).float().mean().item()
    print(f"score={score:.4f} needs=0.9")
    sys.exit(int(score < 0.9))
