"""Ratings from one to ten, predicted by a head that was built for three stars."""

import argparse
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--stars", type=float, default=3.0)
args = parser.parse_args()
torch.manual_seed(args.seed)

columns = torch.randn(4000, 10)
taste = torch.randn(10) / 10**0.5
ratings = (6 + 1.2 * columns @ taste + 0.5 * torch.randn(4000)).clamp(1, 10)
train = DataLoader(TensorDataset(columns[:3000], ratings[:3000]), batch_size=60, shuffle=True)

model = nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Linear(40, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(8):
    for x, y in train:
        loss = nn.functional.mse_loss(args.stars * torch.sigmoid(model(x).squeeze(1)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.4f}")

with torch.no_grad():
    rated = args.stars * torch.sigmoid(model(columns[3000:]).squeeze(1))
    error = nn.functional.mse_loss(rated, ratings[3000:]).item()
score = 1 - error / ratings[3000:].var().item()
print(f"score={score:.4f} needs=0.6")
sys.exit(int(score < 0.6))
