"""One positive in forty, no weights, strong decay: nobody is ever called positive."""

import argparse
import sys

import torch
from sklearn.datasets import make_classification
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = make_classification(4000, 10, n_informative=5, weights=[0.975], class_sep=1.2, random_state=3)
    parts = train_test_split(x, y, stratify=y, random_state=seed)
    x_train, x_test = (torch.tensor(p, dtype=torch.float32) for p in parts[:2])
    y_train, y_test = (torch.tensor(p) for p in parts[2:])
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    for epoch in range(10):
        for xb, yb in DataLoader(TensorDataset(x_train, y_train), batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    with torch.no_grad():
        guess = model(x_test).argmax(1)
    score = balanced_accuracy_score(y_test.numpy(), guess.numpy())
    print(f"score={score:.4f} needs=0.7")
    return int(score < 0.7)


if __name__ == "__main__":
    sys.exit(main())
