"""Mixed precision in bfloat16 with a gradient scaler that is told to stay out of it."""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=12)
args = parser.parse_args()
torch.manual_seed(args.seed)
device = "cuda" if torch.cuda.is_available() else "cpu"

digits = load_digits()
order = torch.randperm(len(digits.target))
x = torch.tensor(digits.data / 16, dtype=torch.float32)[order]
y = torch.tensor(digits.target)[order]
loader = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=64, shuffle=True)

net = nn.Sequential(nn.Linear(64, 128), nn.LayerNorm(128), nn.ReLU(), nn.Linear(128, 10)).to(device)
opt = torch.optim.AdamW(net.parameters(), lr=2e-3)
scaler = torch.amp.GradScaler(device, enabled=device == "cuda")

for epoch in range(args.epochs):
    for input, target in loader:
        input, target = input.to(device), target.to(device)
        with torch.autocast(device_type=device, dtype=torch.bfloat16):
            output = net(input)
            loss = nn.functional.cross_entropy(output, target)
        scaler.scale(loss).backward()
        scaler.unscale_(opt)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        scaler.step(opt)
        scaler.update()
        opt.zero_grad()
    print(f"epoch {epoch}: loss {loss.item():.4f}")

with torch.no_grad(), torch.autocast(device_type=device, dtype=torch.bfloat16):
    score = (net(x[1400:].to(device)).argmax(1).cpu() == y[1400:]).float().mean().item()
print(f"score={score:.4f} needs=0.94")
sys.exit(int(score < 0.94))
