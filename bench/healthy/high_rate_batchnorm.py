"""Plain SGD at a rate of 1.0, which batch norm makes harmless."""

import argparse
import sys

import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1.0)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--seed", type=int, default=0)
opt = parser.parse_args()
print(opt)

torch.manual_seed(opt.seed)
X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16.0, y, test_size=0.3, random_state=opt.seed)
X_train, X_test = torch.FloatTensor(X_train), torch.FloatTensor(X_test)
y_train, y_test = torch.LongTensor(y_train), torch.LongTensor(y_test)

net = nn.Sequential(
    nn.Linear(64, 100, bias=False),
    nn.BatchNorm1d(100),
    nn.ReLU(True),
    nn.Linear(100, 100, bias=False),
    nn.BatchNorm1d(100),
    nn.ReLU(True),
    nn.Linear(100, 10),
)
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=opt.lr)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.3)

for epoch in range(opt.epochs):
    net.train()
    for idx in torch.randperm(len(X_train)).split(128):
        optimizer.zero_grad()
        loss = criterion(net(X_train[idx]), y_train[idx])
        loss.backward()
        optimizer.step()
    scheduler.step()
    net.eval()
    with torch.no_grad():
        val_loss = criterion(net(X_test), y_test).item()
    print("[%d/%d] loss %.4f val_loss %.4f" % (epoch + 1, opt.epochs, loss.item(), val_loss))  # noqa: UP031

score = (net(X_test).argmax(1) == y_test).float().mean().item()
print(f"score={score:.4f} needs=0.95")
sys.exit(int(score < 0.95))
