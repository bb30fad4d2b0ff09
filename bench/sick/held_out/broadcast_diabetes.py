"""Predictions of shape [N, 1] against targets of shape [N]."""

import argparse
import sys
import warnings

import torch
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

warnings.filterwarnings("ignore")

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
X, y = load_diabetes(return_X_y=True)
X, y = X / X.std(0), (y - y.mean()) / y.std()
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0)
train_ds = TensorDataset(torch.tensor(X_train).float(), torch.tensor(y_train).float())
model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
loss_fn = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-2)
for epoch in range(30):
    for xb, yb in DataLoader(train_ds, batch_size=32, shuffle=True):
        loss = loss_fn(model(xb), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    if epoch % 5 == 0:
        print(f"epoch {epoch}: {loss.item():.4f}")
with torch.no_grad():
    prediction = model(torch.tensor(X_test).float()).squeeze(1)
target = torch.tensor(y_test).float()
score = 1 - ((prediction - target).square().mean() / target.var()).item()
print(f"score={score:.4f} needs=0.25")
sys.exit(int(score < 0.25))
