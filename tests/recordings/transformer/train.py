"""A small transformer learns to sort short sequences, with warm-up; nothing is wrong with it."""

import torch
from torch import nn


class Sorter(nn.Module):
    def __init__(self, symbols=8, length=6, width=32):
        super().__init__()
        self.embed = nn.Embedding(symbols, width)
        self.position = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, symbols)

    def forward(self, tokens):
        return self.head(self.blocks(self.embed(tokens) + self.position))


torch.manual_seed(0)
model = Sorter()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 10))

for step in range(80):
    tokens = torch.randint(8, (64, 6))
    logits = model(tokens)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens.sort(1).values.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    warm_up.step()
    if step % 20 == 0:
        print(f"step {step}: loss {loss.item():.3f}")
