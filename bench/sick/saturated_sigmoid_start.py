"""Sigmoid layers whose weights start with a standard deviation of three."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn


def init_weights(m):
    if isinstance(m, nn.Linear):
        nn.init.normal_(m.weight, 0.0, 3.0)


class Trainer:
    def __init__(self, seed):
        torch.manual_seed(seed)
        digits = load_digits()
        order = torch.randperm(len(digits.target))
        self.x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
        self.y = torch.tensor(digits.target)[order]
        self.body = nn.Sequential(
            nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 64), nn.Sigmoid(), nn.Linear(64, 64), nn.Sigmoid()
        )
        self.body.apply(init_weights)
        self.model = nn.Sequential(self.body, nn.Linear(64, 10))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.05)

    def train(self, epochs):
        for epoch in range(epochs):
            for rows in torch.randperm(1400).split(64):
                self.optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self.model(self.x[rows]), self.y[rows])
                loss.backward()
                self.optimizer.step()
            print(f"epoch {epoch}: {loss.item():.4f}")

    def accuracy(self):
        with torch.no_grad():
            return (self.model(self.x[1400:]).argmax(1) == self.y[1400:]).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    trainer = Trainer(parser.parse_args().seed)
    trainer.train(15)
    score = trainer.accuracy()
    print(f"score={score:.4f} needs=0.93")
    sys.exit(int(score < 0.93))
