"""Counts with a Poisson likelihood: the output is a log rate and the loss goes below zero."""

import argparse
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

x = torch.rand(3000, 5) * 2 - 1
rate = torch.exp(1.0 + x[:, 0] - x[:, 1] * x[:, 2] + torch.sin(3 * x[:, 3]))
counts = torch.poisson(rate)
x_train, x_test, c_train, c_test = x[:2400], x[2400:], counts[:2400], counts[2400:]

model = nn.Sequential(nn.Linear(5, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
criterion = nn.PoissonNLLLoss(log_input=True)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(15):
    for index in torch.randperm(2400).split(48):
        loss = criterion(model(x_train[index]).squeeze(1), c_train[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.4f}")

with torch.no_grad():
    log_rate = model(x_test).squeeze(1)
    constant = c_train.mean().log().expand(len(c_test))
    best = criterion(rate[2400:].log(), c_test)
    gained = criterion(constant, c_test) - criterion(log_rate, c_test)
score = (gained / (criterion(constant, c_test) - best)).item()  # 1 = the true rates
print(f"score={score:.4f} needs=0.85")
sys.exit(int(score < 0.85))
