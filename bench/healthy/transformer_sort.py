"""A small pre-norm transformer encoder sorts short lists of numbers."""

import argparse
import sys

import torch
import torch.nn as nn


class Sorter(nn.Module):
    def __init__(self, vocab=12, length=7, d_model=48, nhead=4, layers=2):
        super().__init__()
        self.token = nn.Embedding(vocab, d_model)
        self.position = nn.Parameter(torch.randn(length, d_model) * 0.02)
        layer = nn.TransformerEncoderLayer(
            d_model, nhead, 4 * d_model, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(d_model), enable_nested_tensor=False
        )
        self.head = nn.Linear(d_model, vocab)

    def forward(self, tokens):
        return self.head(self.encoder(self.token(tokens) + self.position))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    model = Sorter()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / 50))
    for step in range(args.steps):
        tokens = torch.randint(12, (64, 7))
        target = tokens.sort(dim=1).values
        logits = model(tokens)
        loss = nn.functional.cross_entropy(logits.reshape(-1, 12), target.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            print(f"step {step}: loss {loss.item():.4f}")

    model.eval()
    with torch.no_grad():
        tokens = torch.randint(12, (1000, 7))
        score = (model(tokens).argmax(-1) == tokens.sort(dim=1).values).float().mean().item()
    print(f"score={score:.4f} needs=0.95")
    return int(score < 0.95)


if __name__ == "__main__":
    sys.exit(main())
