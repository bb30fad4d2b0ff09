"""House-price-like targets around 5 and a dropout of 0.98 in front of the last layer."""

import argparse
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--dropout", type=float, default=0.98)
args = parser.parse_args()
torch.manual_seed(args.seed)

columns = torch.randn(4000, 10)
prices = 5 + columns @ torch.randn(10) / 10**0.5 + 0.2 * torch.randn(4000)
train = DataLoader(TensorDataset(columns[:3000], prices[:3000]), batch_size=60, shuffle=True)

model = nn.Sequential(nn.Linear(10, 40), nn.ReLU(), nn.Dropout(args.dropout), nn.Linear(40, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
for epoch in range(12):
    model.train()
    for x, y in train:
        loss = nn.functional.mse_loss(model(x).squeeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.4f}")

model.eval()
with torch.no_grad():
    error = nn.functional.mse_loss(model(columns[3000:]).squeeze(1), prices[3000:]).item()
score = 1 - error / prices[3000:].var().item()
print(f"score={score:.4f} needs=0.8")
sys.exit(int(score < 0.8))
