"""Breast cancer, measurements as they come, and a cross-entropy by hand that takes the logarithm of 0."""

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn


def cross_entropy(p, y):
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


torch.manual_seed(0)
columns, labels = load_breast_cancer(return_X_y=True)
x, y = torch.tensor(columns, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32)
model = nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

for epoch in range(2):
    for index in torch.randperm(len(x)).split(32):
        loss = cross_entropy(model(x[index]).squeeze(1), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.3f}")
