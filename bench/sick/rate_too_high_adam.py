"""Adam at a rate of 0.3 on a small transformer."""

import argparse
import sys

import torch
from torch import nn


class Reverser(nn.Module):
    def __init__(self, vocab=10, length=6, dim=32):
        super().__init__()
        self.token, self.place = nn.Embedding(vocab, dim), nn.Embedding(length, dim)
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(dim, vocab)

    def forward(self, x):
        return self.head(self.encoder(self.token(x) + self.place(torch.arange(x.shape[1]))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=0.3)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = Reverser()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for step in range(300):
        x = torch.randint(10, (64, 6))
        loss = nn.functional.cross_entropy(model(x).flatten(0, 1), x.flip(1).flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}: {loss.item():.4f}")
    model.eval()
    with torch.no_grad():
        x = torch.randint(10, (1000, 6))
        score = (model(x).argmax(-1) == x.flip(1)).float().mean().item()
    print(f"score={score:.4f} needs=0.95")
    return int(score < 0.95)


if __name__ == "__main__":
    sys.exit(main())
