"""A sigmoid at the end of a regression on targets between 25 and 346."""

# %%
import argparse
import sys

import torch
from sklearn.datasets import load_diabetes
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args, _ = parser.parse_known_args()
torch.manual_seed(args.seed)

# %%
x, y = load_diabetes(return_X_y=True)
x = torch.tensor(x / x.std(0), dtype=torch.float32)
y = torch.tensor(y, dtype=torch.float32).view(-1, 1)
order = torch.randperm(len(y))
x, y = x[order], y[order]

# %%
model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1), nn.Sigmoid())
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(30):
    for i in range(0, 340, 34):
        optimizer.zero_grad()
        loss = nn.MSELoss()(model(x[i : i + 34]), y[i : i + 34])
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(epoch, loss.item())

# %%
with torch.no_grad():
    score = 1 - (nn.functional.mse_loss(model(x[340:]), y[340:]) / y[340:].var()).item()
print(f"score={score:.4f} needs=0.25")
sys.exit(int(score < 0.25))
