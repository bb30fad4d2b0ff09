"""House-like prices in the hundred thousands, tanh units, a small rate: the same answer for each."""

import argparse
import sys

import torch
from sklearn.datasets import make_regression
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
x, y = make_regression(1500, 8, n_informative=6, noise=5, random_state=seed)
x = torch.tensor(1000 + 300 * x, dtype=torch.float32)
y = torch.tensor(200_000 + 500 * y, dtype=torch.float32).unsqueeze(1)
model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
for epoch in range(40):
    for i in range(0, 1200, 40):
        loss = nn.functional.mse_loss(model(x[i : i + 40]), y[i : i + 40])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 10 == 0:
        print(f"epoch {epoch}: {loss.item():.4g}")
with torch.no_grad():
    score = 1 - (nn.functional.mse_loss(model(x[1200:]), y[1200:]) / y[1200:].var()).item()
print(f"score={score:.4f} needs=0.9")
sys.exit(int(score < 0.9))
