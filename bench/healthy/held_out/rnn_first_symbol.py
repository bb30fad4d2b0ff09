"""A plain tanh RNN remembers the first of eight symbols."""

import argparse
import sys

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--length", type=int, default=8)
args = parser.parse_args()
torch.manual_seed(args.seed)

SYMBOLS = 6


def batch(n):
    s = torch.randint(SYMBOLS, (n, args.length))
    return nn.functional.one_hot(s, SYMBOLS).float(), s[:, 0]


rnn = nn.RNN(SYMBOLS, 48, batch_first=True)
head = nn.Linear(48, SYMBOLS)
params = list(rnn.parameters()) + list(head.parameters())
optimizer = torch.optim.Adam(params, lr=3e-3)

for step in range(800):
    x, y = batch(64)
    out, _ = rnn(x)
    loss = nn.functional.cross_entropy(head(out[:, -1]), y)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(params, 1.0)
    optimizer.step()
    if step % 100 == 0:
        print(step, round(loss.item(), 4))

with torch.no_grad():
    x, y = batch(2000)
    score = (head(rnn(x)[0][:, -1]).argmax(1) == y).float().mean().item()
print(f"score={score:.4f} needs=0.95")
sys.exit(int(score < 0.95))
