"""Batches of four, group norm instead of batch norm."""

import argparse
import sys

import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Subset, TensorDataset

torch.set_num_threads(1)
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def block(cin, cout):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.GroupNorm(4, cout), nn.ReLU())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block1 = block(1, 12)
        self.pool = nn.MaxPool2d(2)
        self.block2 = block(12, 24)
        self.fc = nn.Linear(24 * 4, 10)

    def forward(self, x):
        x = self.pool(self.block1(x))
        x = self.pool(self.block2(x))
        return self.fc(x.flatten(1))


digits = load_digits()
data = TensorDataset(torch.tensor(digits.images / 16).float()[:, None], torch.tensor(digits.target))
order = torch.randperm(len(data)).tolist()
train = DataLoader(Subset(data, order[:1400]), batch_size=4, shuffle=True)
test = DataLoader(Subset(data, order[1400:]), batch_size=100)

net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
for epoch in range(3):
    running_loss = 0.0
    for i, (inputs, labels) in enumerate(train):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        if i % 100 == 99:
            print(f"[{epoch + 1}, {i + 1:5d}] loss: {running_loss / 100:.3f}")
            running_loss = 0.0

correct = 0
with torch.no_grad():
    for inputs, labels in test:
        correct += (net(inputs).argmax(1) == labels).sum().item()
score = correct / 397
print(f"score={score:.4f} needs=0.93")
sys.exit(int(score < 0.93))
