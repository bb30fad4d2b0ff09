"""Regression with wild outliers in the targets and the Huber loss."""

import argparse
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args, _ = parser.parse_known_args()
torch.manual_seed(args.seed)

# In[1]
x = torch.randn(2500, 6)
clean = x[:, 0] * x[:, 1] + torch.sin(2 * x[:, 2]) + 0.5 * x[:, 3]
noisy = clean + 0.1 * torch.randn(2500)
wild = torch.rand(2500) < 0.05
noisy[wild] += 30 * torch.randn(int(wild.sum()))
train = TensorDataset(x[:2000], noisy[:2000].unsqueeze(1))

# In[2]
model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
criterion = nn.HuberLoss(delta=0.5)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(20):
    total = 0.0
    for xb, yb in DataLoader(train, batch_size=64, shuffle=True):
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(epoch, total)

# In[3]
with torch.no_grad():
    prediction = model(x[2000:]).squeeze(1)
score = 1 - (((prediction - clean[2000:]) ** 2).mean() / clean[2000:].var()).item()
print(f"score={score:.4f} needs=0.8")
sys.exit(int(score < 0.8))
