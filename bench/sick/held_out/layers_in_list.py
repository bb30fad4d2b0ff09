"""The hidden layers live in a plain Python list."""

import argparse
import sys

import torch
import torch.nn as nn
from sklearn.datasets import make_friedman1
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, n_layers=4, n_hidden=24):
        super().__init__()
        self.layers = []
        for i in range(n_layers):
            self.layers.append(nn.Linear(10 if i == 0 else n_hidden, n_hidden))
        self.out = nn.Linear(n_hidden, 1)

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.out(x).squeeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
x, y = make_friedman1(2000, noise=0.5, random_state=args.seed)
x = torch.tensor((x - 0.5) * 12**0.5, dtype=torch.float32)
y = torch.tensor((y - y.mean()) / y.std(), dtype=torch.float32)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), lr=0.003)
criterion = nn.MSELoss()
for epoch in range(15):
    for xb, yb in DataLoader(TensorDataset(x[:1600], y[:1600]), batch_size=32, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(net(xb), yb)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.4f}")
with torch.no_grad():
    score = 1 - (criterion(net(x[1600:]), y[1600:]) / y[1600:].var()).item()
print(f"score={score:.4f} needs=0.85")
sys.exit(int(score < 0.85))
