"""A noisy sine, the whole data as one batch, as in the beginner's tutorial."""

import argparse
import math
import sys

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

x = torch.linspace(-math.pi, math.pi, 400).unsqueeze(1)
y = torch.sin(2 * x) + 0.1 * torch.randn_like(x)
held_out = torch.arange(400) % 5 == 0
x_train, y_train, x_test, y_test = x[~held_out], y[~held_out], x[held_out], y[held_out]

model = torch.nn.Sequential(
    torch.nn.Linear(1, 40),
    torch.nn.Tanh(),
    torch.nn.Linear(40, 40),
    torch.nn.Tanh(),
    torch.nn.Linear(40, 1),
)
loss_fn = torch.nn.MSELoss(reduction="mean")
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
for t in range(1000):
    y_pred = model(x_train)
    loss = loss_fn(y_pred, y_train)
    if t % 100 == 99:
        print(t, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

with torch.no_grad():
    score = 1 - (loss_fn(model(x_test), y_test) / y_test.var()).item()
print(f"score={score:.4f} needs=0.95")
sys.exit(int(score < 0.95))
