"""One sample a step: a noisy loss that gets there."""

import argparse
import sys

import torch
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)

iris = load_iris()
data = (iris.data - iris.data.mean(0)) / iris.data.std(0)
X_train, X_test, y_train, y_test = train_test_split(
    torch.tensor(data).float(), torch.tensor(iris.target), test_size=0.3, random_state=1, stratify=iris.target
)
net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.02)

for epoch in range(20):
    total = 0
    for i in torch.randperm(len(X_train)):
        optimizer.zero_grad()
        loss = criterion(net(X_train[i : i + 1]), y_train[i : i + 1])
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 5 == 0:
        print(f"epoch {epoch}: mean loss {total / len(X_train):.4f}")

with torch.no_grad():
    score = (net(X_test).argmax(1) == y_test).float().mean().item()
print(f"score={score:.4f} needs=0.88")
sys.exit(int(score < 0.88))
