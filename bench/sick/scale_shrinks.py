"""Ten ReLU layers whose weights are drawn with a standard deviation of 0.01."""

import argparse
import sys

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
data, target = load_breast_cancer(return_X_y=True)
x = torch.tensor(StandardScaler().fit_transform(data), dtype=torch.float32)
y = torch.tensor(target)
order = torch.randperm(len(y))
x, y = x[order], y[order]


def layer(a, b):
    linear = nn.Linear(a, b)
    linear.weight.data = 0.01 * torch.randn(b, a)
    linear.bias.data.zero_()
    return linear


net = nn.Sequential(
    layer(30, 48), nn.ReLU(), *[m for _ in range(9) for m in (layer(48, 48), nn.ReLU())], layer(48, 2)
)
optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
for epoch in range(30):
    for i in range(0, 420, 30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x[i : i + 30]), y[i : i + 30])
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch}: {loss.item():.4f}")
with torch.no_grad():
    score = (net(x[420:]).argmax(1) == y[420:]).float().mean().item()
print(f"score={score:.4f} needs=0.92")
sys.exit(int(score < 0.92))
