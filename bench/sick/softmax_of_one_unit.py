"""A softmax over a single output unit, then BCELoss."""

import argparse
import sys

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = load_breast_cancer(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=seed, stratify=y)
    scaler = StandardScaler().fit(x_train)
    x_train = torch.tensor(scaler.transform(x_train)).float()
    x_test = torch.tensor(scaler.transform(x_test)).float()
    y_train, y_test = torch.tensor(y_train).float().unsqueeze(1), torch.tensor(y_test).float().unsqueeze(1)
    model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softmax(dim=1))
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(15):
        for rows in torch.randperm(len(x_train)).split(16):
            optimizer.zero_grad()
            loss = criterion(model(x_train[rows]), y_train[rows])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        score = ((model(x_test) > 0.5).float() == y_test).float().mean().item()
    print(f"score={score:.4f} needs=0.93")
    return int(score < 0.93)


if __name__ == "__main__":
    sys.exit(main())
