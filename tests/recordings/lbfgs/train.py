"""Breast cancer with L-BFGS on the whole batch: many backwards a step, nothing wrong."""

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale
from torch import nn

torch.manual_seed(0)
columns, labels = load_breast_cancer(return_X_y=True)
x, y = torch.tensor(scale(columns)), torch.tensor(labels)  # double precision, as L-BFGS likes it
model = nn.Sequential(nn.Linear(30, 8), nn.Tanh(), nn.Linear(8, 2)).double()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.3, max_iter=8)


def closure():
    optimizer.zero_grad()
    loss = criterion(model(x), y) + 3e-3 * sum((p**2).sum() for p in model.parameters())
    loss.backward()
    return loss


for step in range(20):
    loss = optimizer.step(closure)
    print(f"step {step}: loss {loss.item():.4f}")
