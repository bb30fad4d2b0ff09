"""Strong dropout: the validation loss lies below the training loss all the way."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Learner:
    def __init__(self, model, train_dl, valid_dl, lr):
        self.model, self.train_dl, self.valid_dl = model, train_dl, valid_dl
        self.loss_func = nn.CrossEntropyLoss()
        self.opt = torch.optim.Adam(model.parameters(), lr)

    def fit(self, epochs):
        for epoch in range(epochs):
            self.model.train()
            train = [self.batch(x, y, update=True) for x, y in self.train_dl]
            self.model.eval()
            with torch.no_grad():
                valid = [self.batch(x, y, update=False) for x, y in self.valid_dl]
            print(f"{epoch:3d} {sum(train) / len(train):.4f} {sum(valid) / len(valid):.4f}")

    def batch(self, x, y, update):
        loss = self.loss_func(self.model(x), y)
        if update:
            loss.backward()
            self.opt.step()
            self.opt.zero_grad()
        return loss.item()

    def accuracy(self):
        self.model.eval()
        with torch.no_grad():
            pairs = [(self.model(x).argmax(1), y) for x, y in self.valid_dl]
        return torch.cat([p == y for p, y in pairs]).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    a, b, c, d = train_test_split(x / 16, y, random_state=seed, stratify=y)
    train_ds = TensorDataset(torch.tensor(a).float(), torch.tensor(c))
    valid_ds = TensorDataset(torch.tensor(b).float(), torch.tensor(d))
    model = nn.Sequential(
        nn.Dropout(0.2), nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.6), nn.Linear(256, 128), nn.ReLU(),
        nn.Dropout(0.6), nn.Linear(128, 10),
    )  # fmt: skip
    learner = Learner(model, DataLoader(train_ds, 64, shuffle=True), DataLoader(valid_ds, 128), 2e-3)
    learner.fit(20)
    score = learner.accuracy()
    print(f"score={score:.4f} needs=0.94")
    sys.exit(int(score < 0.94))
