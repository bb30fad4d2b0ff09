"""Tags sentences of different lengths; padding is masked with ignore_index."""

import argparse
import sys

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

PAD = -100
WORDS, TAGS = 60, 5


def sentence():
    """A word's tag follows from the word and from the word before it."""
    words = torch.randint(1, WORDS, (int(torch.randint(4, 13, ())),))
    before = torch.cat([torch.zeros(1, dtype=torch.long), words[:-1]])
    return words, (words % TAGS + (before % 2)) % TAGS


def collate(sentences):
    words, tags = zip(*sentences, strict=True)
    lengths = torch.tensor([len(w) for w in words])
    return pad_sequence(words, batch_first=True), pad_sequence(tags, True, PAD), lengths


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 24, padding_idx=0)
        self.lstm = nn.LSTM(24, 32, batch_first=True, bidirectional=True)
        self.tag = nn.Linear(64, TAGS)

    def forward(self, words, lengths):
        packed = pack_padded_sequence(self.embedding(words), lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return self.tag(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    train, test = [sentence() for _ in range(1200)], [sentence() for _ in range(200)]
    loader = torch.utils.data.DataLoader(train, batch_size=40, shuffle=True, collate_fn=collate)
    model = Tagger()
    criterion = nn.CrossEntropyLoss(ignore_index=PAD)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(10):
        for words, tags, lengths in loader:
            optimizer.zero_grad()
            loss = criterion(model(words, lengths).flatten(0, 1), tags.flatten())
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: {loss.item():.4f}")
    model.eval()
    with torch.no_grad():
        words, tags, lengths = collate(test)
        guess = model(words, lengths).argmax(-1)
        score = (guess == tags)[tags != PAD].float().mean().item()
    print(f"score={score:.4f} needs=0.95")
    return int(score < 0.95)


if __name__ == "__main__":
    sys.exit(main())
