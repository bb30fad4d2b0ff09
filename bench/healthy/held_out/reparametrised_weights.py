"""Weight norm in one half of the network and spectral norm in the other."""

import argparse
import sys

import torch
from sklearn.datasets import make_circles
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

x, y = make_circles(1200, noise=0.08, factor=0.5, random_state=args.seed)
x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
train_dl = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=45, shuffle=True)

model = nn.Sequential(
    weight_norm(nn.Linear(2, 48)),
    nn.LeakyReLU(0.1),
    weight_norm(nn.Linear(48, 48)),
    nn.LeakyReLU(0.1),
    spectral_norm(nn.Linear(48, 48)),
    nn.LeakyReLU(0.1),
    nn.Linear(48, 2),
)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
for epoch in range(20):
    for xb, yb in train_dl:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(xb), yb)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch} loss {loss.item():.4f}")

model.eval()
with torch.no_grad():
    score = (model(x[900:]).argmax(1) == y[900:]).float().mean().item()
print(f"score={score:.4f} needs=0.95")
sys.exit(int(score < 0.95))
