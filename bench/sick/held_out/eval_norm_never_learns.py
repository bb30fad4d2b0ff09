"""A deep batch-normalised net on diabetes; its inference helper switches it to evaluation mode for good."""

import argparse
import sys

import torch
from sklearn.datasets import load_diabetes
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, width, bias=False)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, x):
        return torch.sigmoid(self.norm(self.linear(x)))


class Regressor(nn.Module):
    def __init__(self, width=24, depth=6):
        super().__init__()
        self.stem = nn.Linear(10, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.blocks(self.stem(x)))

    def predict(self, x):
        self.eval()
        with torch.no_grad():
            return self(x)


def main(seed):
    torch.manual_seed(seed)
    x, y = (torch.tensor(a, dtype=torch.float32) for a in load_diabetes(return_X_y=True))
    x, y = x / x.std(0), ((y - y.mean()) / y.std()).unsqueeze(1)
    order = torch.randperm(len(y))
    train, test = order[:340], order[340:]
    model = Regressor()
    print("before:", nn.functional.mse_loss(model.predict(x[test]), y[test]).item())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for epoch in range(40):
        for rows in train[torch.randperm(len(train))].split(34):
            loss = nn.functional.mse_loss(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 10 == 9:
            print(epoch, loss.item())
    score = 1 - (nn.functional.mse_loss(model.predict(x[test]), y[test]) / y[test].var()).item()
    print(f"score={score:.4f} needs=0.25")
    return int(score < 0.25)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(main(parser.parse_args().seed))
