"""A next-word transformer whose output layer shares the embedding's weights, on a made-up grammar."""

import argparse
import sys

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

NOUNS, VERBS, ENDS = 20, 20, 5
VOCAB = NOUNS + VERBS + ENDS


def sentences(n, words=9):
    """Noun, verb, end, three times over; each noun allows two verbs, the end follows from the verb."""
    noun = torch.randint(NOUNS, (n, words // 3))
    verb = (noun * 7 + torch.randint(2, noun.shape)) % VERBS
    end = verb % ENDS
    return torch.stack([noun, NOUNS + verb, NOUNS + VERBS + end], dim=2).reshape(n, words)


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
        return x + self.mlp(self.ln2(x))


class GPT(nn.Module):
    def __init__(self, dim=32, heads=2, layers=2, context=9):
        super().__init__()
        self.wte = nn.Embedding(VOCAB, dim)
        self.wpe = nn.Embedding(context, dim)
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(layers)])
        self.ln_f = nn.LayerNorm(dim)
        self.lm_head = nn.Linear(dim, VOCAB, bias=False)
        self.apply(self._init_weights)
        self.wte.weight = self.lm_head.weight

    def _init_weights(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, idx):
        x = self.wte(idx) + self.wpe(torch.arange(idx.shape[1]))
        return self.lm_head(self.ln_f(self.blocks(x)))


model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
for step in range(400):
    words = sentences(64)
    logits = model(words[:, :-1])
    loss = F.cross_entropy(logits.reshape(-1, VOCAB), words[:, 1:].reshape(-1))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 50 == 0:
        print(f"iter {step}: loss {loss.item():.4f}")

model.eval()
with torch.no_grad():
    words = sentences(500)
    guess = model(words[:, :-1]).argmax(-1)
    ends = words[:, 1:] >= NOUNS + VERBS  # the words that follow with certainty
    score = (guess == words[:, 1:])[ends].float().mean().item()
print(f"score={score:.4f} needs=0.95")
sys.exit(int(score < 0.95))
