"""The text classifier averages over the batch instead of over the words, so each answer is the same."""

import argparse
import sys

import torch
from torch import nn

WORDS, LENGTH, TOPICS = 80, 15, 4


def texts(n):
    topic = torch.randint(TOPICS, (n,))
    own = topic[:, None] * (WORDS // TOPICS) + torch.randint(WORDS // TOPICS, (n, LENGTH))
    common = torch.randint(WORDS, (n, LENGTH))
    return torch.where(torch.rand(n, LENGTH) < 0.5, own, common), topic


class BagOfWords(nn.Module):
    def __init__(self, dim=24):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, dim)
        self.fc = nn.Linear(dim, TOPICS)

    def forward(self, tokens):
        words = self.embedding(tokens)  # (batch, words, dim)
        pooled = words.mean(0).mean(0, keepdim=True)
        return self.fc(pooled.expand(len(tokens), -1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = BagOfWords()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(400):
        tokens, topic = texts(64)
        loss = nn.functional.cross_entropy(model(tokens), topic)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}: {loss.item():.4f}")
    with torch.no_grad():
        tokens, topic = texts(1000)
        score = (model(tokens).argmax(1) == topic).float().mean().item()
    print(f"score={score:.4f} needs=0.9")
    sys.exit(int(score < 0.9))
