"""One cycle with a high peak rate and momentum that mirrors it."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset, random_split

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--max-lr", type=float, default=0.4)
parser.add_argument("--epochs", type=int, default=8)
args, _ = parser.parse_known_args()

# %% data
torch.manual_seed(args.seed)
digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
train_set, valid_set = random_split(TensorDataset(x, torch.tensor(digits.target)), [0.8, 0.2])
train_loader = DataLoader(train_set, batch_size=64, shuffle=True)
valid_loader = DataLoader(valid_set, batch_size=256)

# %% model
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
    nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10),
)  # fmt: skip
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
scheduler = OneCycleLR(optimizer, max_lr=args.max_lr, epochs=args.epochs, steps_per_epoch=len(train_loader))
loss_fn = nn.CrossEntropyLoss()

# %% training
for epoch in range(args.epochs):
    model.train()
    for xb, yb in train_loader:
        loss = loss_fn(model(xb), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    model.eval()
    with torch.no_grad():
        right = sum((model(xb).argmax(1) == yb).sum().item() for xb, yb in valid_loader)
    score = right / len(valid_set)
    print(f"{epoch}: loss {loss.item():.4f}, accuracy {score:.4f}, rate {scheduler.get_last_lr()[0]:.4f}")

# %% result
print(f"score={score:.4f} needs=0.95")
sys.exit(int(score < 0.95))
