"""Two moons with a tanh network, a sigmoid at its end and BCELoss."""

import argparse
import sys

import torch
from sklearn.datasets import make_moons

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)

X, y = make_moons(1200, noise=0.15, random_state=seed)
X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
X_train, y_train, X_test, y_test = X[:900], y[:900], X[900:], y[900:]


class MoonNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden1 = torch.nn.Linear(2, 24)
        self.hidden2 = torch.nn.Linear(24, 24)
        self.output = torch.nn.Linear(24, 1)

    def forward(self, x):
        x = torch.tanh(self.hidden1(x))
        x = torch.tanh(self.hidden2(x))
        return torch.sigmoid(self.output(x)).squeeze(1)


net = MoonNet()
criterion = torch.nn.BCELoss()
optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
for epoch in range(25):
    permutation = torch.randperm(900)
    for i in range(0, 900, 30):
        idx = permutation[i : i + 30]
        optimizer.zero_grad()
        loss = criterion(net(X_train[idx]), y_train[idx])
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        with torch.no_grad():
            print(epoch, loss.item(), criterion(net(X_test), y_test).item())

with torch.no_grad():
    score = ((net(X_test) > 0.5) == y_test.bool()).float().mean().item()
print(f"score={score:.4f} needs=0.94")
sys.exit(int(score < 0.94))
