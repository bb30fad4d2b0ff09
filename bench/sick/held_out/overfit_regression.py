"""Disease progression fitted to the last patient by far too large a network."""

import argparse
import sys

import torch
from sklearn.datasets import load_diabetes
from torch import nn


class Experiment:
    def __init__(self, seed):
        torch.manual_seed(seed)
        x, y = load_diabetes(return_X_y=True)
        order = torch.randperm(len(y))
        x = torch.tensor(x / x.std(0), dtype=torch.float32)[order]
        y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)[order].unsqueeze(1)
        self.train, self.valid, self.test = (x[:60], y[:60]), (x[60:290], y[60:290]), (x[290:], y[290:])
        self.net = nn.Sequential(
            nn.Linear(10, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1)
        )
        self.criterion = nn.MSELoss()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=2e-3)

    def epoch(self):
        self.net.train()
        x, y = self.train
        for rows in torch.randperm(len(x)).split(20):
            self.optimizer.zero_grad()
            loss = self.criterion(self.net(x[rows]), y[rows])
            loss.backward()
            self.optimizer.step()
        return loss.item()

    def evaluate(self, part):
        self.net.eval()
        with torch.no_grad():
            return self.criterion(self.net(part[0]), part[1]).item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    experiment = Experiment(parser.parse_args().seed)
    for epoch in range(300):
        train = experiment.epoch()
        valid = experiment.evaluate(experiment.valid)
        if epoch % 15 == 0:
            print(f"epoch {epoch}: {train:.4f} {valid:.4f}")
    score = 1 - experiment.evaluate(experiment.test) / experiment.test[1].var().item()
    print(f"score={score:.4f} needs=0.35")
    sys.exit(int(score < 0.35))
