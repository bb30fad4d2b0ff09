"""Breast cancer with L-BFGS on the whole batch."""

import argparse
import sys

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=12, help="steps to run")
opt = parser.parse_args()
torch.manual_seed(opt.seed)

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, random_state=opt.seed, stratify=y)
scaler = StandardScaler().fit(X)
input = torch.from_numpy(scaler.transform(X))  # double precision, as L-BFGS likes it
target = torch.from_numpy(y)
test_input = torch.from_numpy(scaler.transform(X_test))

model = nn.Sequential(nn.Linear(30, 8), nn.Tanh(), nn.Linear(8, 2)).double()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.3)

for i in range(opt.steps):
    print("STEP: ", i)

    def closure():
        optimizer.zero_grad()
        penalty = sum((p**2).sum() for p in model.parameters())
        loss = criterion(model(input), target) + 3e-3 * penalty
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    print("loss:", loss.item())

with torch.no_grad():
    score = (model(test_input).argmax(1) == torch.from_numpy(y_test)).double().mean().item()
print(f"score={score:.4f} needs=0.93")
sys.exit(int(score < 0.93))
