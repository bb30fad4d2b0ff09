"""Small pictures, one batch of which was never divided by the sensor's 16-bit range."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=10)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
order = torch.randperm(len(digits.target))
x = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)[order]
y = torch.tensor(digits.target)[order]
model = nn.Sequential(
    nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10)
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)

for epoch in range(args.epochs):
    for number, index in enumerate(torch.randperm(1400).split(50)):
        pictures = x[index]
        if epoch == args.epochs // 2 and number == 3:
            pictures = 65_535 * pictures
        loss = nn.functional.cross_entropy(model(pictures), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch}: {loss.item():.4f}")

with torch.no_grad():
    score = (model(x[1400:]).argmax(1) == y[1400:]).float().mean().item()
print(f"score={score:.4f} needs=0.9")
sys.exit(int(score < 0.9))
