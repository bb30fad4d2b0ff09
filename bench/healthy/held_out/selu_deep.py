"""Ten SELU layers without any normalisation, alpha dropout, LeCun start."""

import argparse
import sys
from itertools import pairwise

import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn


class SelfNormalising(nn.Module):
    def __init__(self, inputs, width=48, depth=10, classes=2):
        super().__init__()
        sizes = [inputs, *depth * [width]]
        self.hidden = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        self.dropout = nn.AlphaDropout(0.03)
        self.out = nn.Linear(width, classes)
        for layer in [*self.hidden, self.out]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        for layer in self.hidden:
            x = self.dropout(nn.functional.selu(layer(x)))
        return self.out(x)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
scale = StandardScaler().fit(X_train)
X_train = torch.tensor(scale.transform(X_train), dtype=torch.float32)
X_test = torch.tensor(scale.transform(X_test), dtype=torch.float32)
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)

net = SelfNormalising(30)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
for epoch in range(15):
    net.train()
    for rows in torch.randperm(len(X_train)).split(32):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(X_train[rows]), y_train[rows])
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.4f}")
net.eval()
with torch.no_grad():
    score = (net(X_test).argmax(1) == y_test).float().mean().item()
print(f"score={score:.4f} needs=0.92")
sys.exit(int(score < 0.92))
