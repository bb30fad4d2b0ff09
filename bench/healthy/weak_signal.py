"""Returns that are nine tenths noise: the best R2 is 0.1, the predictions are nearly constant."""

import argparse
import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=6)
args = parser.parse_args()
torch.manual_seed(args.seed)

factors = torch.randn(8000, 10)
exposure = torch.linspace(-1, 1, 10)
exposure = exposure / exposure.norm()
signal = factors @ exposure
returns = 0.1**0.5 * signal + 0.9**0.5 * torch.randn(8000)
train = DataLoader(TensorDataset(factors[:6000], returns[:6000]), batch_size=100, shuffle=True)

model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
for epoch in range(args.epochs):
    total = 0.0
    for x, y in train:
        loss = nn.functional.mse_loss(model(x).squeeze(-1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch}: {total / len(train):.4f}")

with torch.no_grad():
    prediction = model(factors[6000:]).squeeze(-1)
score = torch.corrcoef(torch.stack([prediction, signal[6000:]]))[
    0, 1
].item()  # with the part that can be known
print(f"score={score:.4f} needs=0.85")
sys.exit(int(score < 0.85))
