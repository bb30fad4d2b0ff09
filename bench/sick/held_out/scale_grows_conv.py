"""A plain convolution stack whose kernels start with standard deviation one half."""

import argparse
import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits


class Plain(nn.Module):
    def __init__(self, width=16, depth=8):
        super().__init__()
        convs = [nn.Conv2d(1, width, 3, padding=1)]
        convs += [nn.Conv2d(width, width, 3, padding=1) for _ in range(depth - 1)]
        self.convs = nn.ModuleList(convs)
        self.fc = nn.Linear(width * 4, 10)
        for m in self.convs:
            m.weight.data.normal_(0, 0.5)

    def forward(self, x):
        for conv in self.convs:
            x = torch.relu(conv(x))
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 2).flatten(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target))
    x = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)[order]
    y = torch.tensor(digits.target)[order]
    net = Plain()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for epoch in range(4):
        for rows in torch.randperm(1400).split(50):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4g}")
    with torch.no_grad():
        score = (net(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
    print(f"score={score:.4f} needs=0.9")
    return int(score < 0.9)


if __name__ == "__main__":
    sys.exit(main())
