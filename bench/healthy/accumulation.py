"""Four small batches make one step."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--accumulate", type=int, default=4)
args = parser.parse_args()
torch.manual_seed(args.seed)

x, y = load_digits(return_X_y=True)
xt, xv, yt, yv = train_test_split(x / 16, y, test_size=0.25, random_state=args.seed)
dataset = TensorDataset(torch.tensor(xt, dtype=torch.float32), torch.tensor(yt))
dataloader = DataLoader(dataset, batch_size=16, shuffle=True, drop_last=True)

model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(15):
    optimizer.zero_grad()
    for i, (inputs, labels) in enumerate(dataloader):
        loss = loss_fn(model(inputs), labels) / args.accumulate
        loss.backward()
        if (i + 1) % args.accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    print(f"epoch {epoch}: loss {loss.item() * args.accumulate:.4f}")

with torch.no_grad():
    prediction = model(torch.tensor(xv, dtype=torch.float32)).argmax(1)
    score = (prediction == torch.tensor(yv)).float().mean().item()
print(f"score={score:.4f} needs=0.93")
sys.exit(int(score < 0.93))
