"""A character language model on the descriptions of scikit-learn's data sets."""

import argparse
import math
import sys

import torch
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from torch import nn


class CharModel(nn.Module):
    def __init__(self, vocab, embed=32, hidden=96):
        super().__init__()
        self.embed = nn.Embedding(vocab, embed)
        self.rnn = nn.GRU(embed, hidden, batch_first=True)
        self.decoder = nn.Linear(hidden, vocab)

    def forward(self, tokens):
        out, _ = self.rnn(self.embed(tokens))
        return self.decoder(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=350)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    texts = [load().DESCR for load in (load_breast_cancer, load_wine, load_diabetes)]
    chars = sorted(set("".join(texts)))
    train = torch.tensor([chars.index(c) for text in texts for c in text[: int(0.9 * len(text))]])
    valid = torch.tensor([chars.index(c) for text in texts for c in text[int(0.9 * len(text)) :]])
    model = CharModel(len(chars))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    print(f"{len(chars)} characters, a uniform guess costs {math.log(len(chars)):.2f} nats")

    def sample(source, n=24, length=32):
        starts = torch.randint(len(source) - length - 1, (n,))
        chunk = torch.stack([source[s : s + length + 1] for s in starts])
        return chunk[:, :-1], chunk[:, 1:]

    for step in range(args.steps):
        x, y = sample(train)
        loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step} loss {loss.item():.3f}")

    with torch.no_grad():
        x, y = sample(valid, 64)
        valid_loss = nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten()).item()
    counts = torch.bincount(train, minlength=len(chars)).float() + 1
    unigram = nn.functional.cross_entropy(counts.log().expand(y.numel(), -1), y.flatten()).item()
    score = 1 - valid_loss / unigram  # saved against single-letter frequencies
    print(f"score={score:.4f} needs=0.15")
    return int(score < 0.15)


if __name__ == "__main__":
    sys.exit(main())
