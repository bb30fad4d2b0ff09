"""Five-fold cross-validation builds five models in one process."""

import argparse
import sys

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold
from torch import nn


def build_model():
    return nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 2))


def train_one_fold(model, x, y, epochs=8):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            loss = criterion(model(x[index]), y[index])
            loss.backward()
            optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folds", type=int, default=5)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    X, y = load_breast_cancer(return_X_y=True)
    scores = []
    folds = StratifiedKFold(args.folds, shuffle=True, random_state=args.seed)
    for fold, (train, valid) in enumerate(folds.split(X, y)):
        mean, std = X[train].mean(0), X[train].std(0)
        x = torch.tensor((X - mean) / std, dtype=torch.float32)
        target = torch.tensor(y)
        model = build_model()
        loss = train_one_fold(model, x[train], target[train])
        with torch.no_grad():
            accuracy = (model(x[valid]).argmax(1) == target[valid]).float().mean().item()
        print(f"fold {fold}: loss {loss:.4f}, accuracy {accuracy:.4f}")
        scores.append(accuracy)
    score = float(np.mean(scores))
    print(f"score={score:.4f} needs=0.95")
    return int(score < 0.95)


if __name__ == "__main__":
    sys.exit(main())
