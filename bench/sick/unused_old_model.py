"""Cross-entropy on wine: a warm-started copy replaces the model, the optimiser still has the first one."""

import argparse
import copy
import sys

import torch
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def build():
    return nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))


class Experiment:
    def __init__(self, seed):
        torch.manual_seed(seed)
        x, y = load_wine(return_X_y=True)
        x = torch.tensor(StandardScaler().fit_transform(x), dtype=torch.float32)
        order = torch.randperm(len(x))
        x, y = x[order], torch.tensor(y)[order]
        self.train = DataLoader(TensorDataset(x[:130], y[:130]), batch_size=16, shuffle=True)
        self.test = x[130:], y[130:]
        self.model = build()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=3e-3)
        self.initial = copy.deepcopy(self.model)

    def reset(self):
        """Every experiment starts from the same weights."""
        self.model = copy.deepcopy(self.initial)

    def run(self, epochs=40):
        self.reset()
        for epoch in range(epochs):
            for x, y in self.train:
                self.optimizer.zero_grad()
                loss = nn.functional.cross_entropy(self.model(x), y)
                loss.backward()
                self.optimizer.step()
            if epoch % 10 == 0:
                print(f"epoch {epoch}: {loss.item():.4f}")
        self.model.eval()
        with torch.no_grad():
            return (self.model(self.test[0]).argmax(1) == self.test[1]).float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    score = Experiment(parser.parse_args().seed).run()
    print(f"score={score:.4f} needs=0.9")
    sys.exit(int(score < 0.9))
