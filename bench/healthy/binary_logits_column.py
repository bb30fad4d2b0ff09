"""Breast cancer with one logit per patient, targets of the same shape [N, 1]."""

import argparse
import sys

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, Dataset


class CancerDataset(Dataset):
    def __init__(self, x, y):
        self.x = x.astype(np.float32)
        self.y = y.astype(np.float32)[:, None]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=0.25, stratify=y, random_state=args.seed
    )
    scaler = StandardScaler()
    x_train, x_test = scaler.fit_transform(x_train), scaler.transform(x_test)
    train_loader = DataLoader(CancerDataset(x_train, y_train), batch_size=32, shuffle=True)
    test_loader = DataLoader(CancerDataset(x_test, y_test), batch_size=32)

    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(12):
        model.train()
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            val_loss = np.mean([criterion(model(a), b).item() for a, b in test_loader])
        print(f"epoch {epoch}: {loss.item():.4f} / {val_loss:.4f}")

    with torch.no_grad():
        right = sum(((model(a) > 0) == (b > 0.5)).sum().item() for a, b in test_loader)
    score = right / len(y_test)
    print(f"score={score:.4f} needs=0.93")
    return int(score < 0.93)


if __name__ == "__main__":
    sys.exit(main())
