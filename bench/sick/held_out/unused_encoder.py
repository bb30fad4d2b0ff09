"""Which symbol comes most often? The encoder is called, but what it returns is thrown away."""

import argparse
import sys

import torch
from torch import nn

SYMBOLS, LENGTH = 6, 15


class Counter(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.embed = nn.Embedding(SYMBOLS, width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.start = nn.Parameter(torch.zeros(width))
        self.classify = nn.Linear(width, SYMBOLS)

    def forward(self, tokens):
        state = self.start.expand(len(tokens), -1)
        self.encoder(self.embed(tokens), state.unsqueeze(0).contiguous())
        return self.classify(state)


def batch(size):
    favourite = torch.randint(SYMBOLS, (size, 1))
    tokens = torch.randint(SYMBOLS, (size, LENGTH))
    tokens = torch.where(torch.rand(size, LENGTH) < 0.5, favourite, tokens)
    return tokens, favourite.squeeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = Counter()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
criterion = nn.CrossEntropyLoss()
for step in range(400):
    tokens, label = batch(64)
    optimizer.zero_grad()
    loss = criterion(model(tokens), label)
    loss.backward()
    optimizer.step()
    if step % 100 == 0:
        print(step, round(loss.item(), 4))
with torch.no_grad():
    tokens, label = batch(1000)
    score = (model(tokens).argmax(1) == label).float().mean().item()
print(f"score={score:.4f} needs=0.8")
sys.exit(int(score < 0.8))
