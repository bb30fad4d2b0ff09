"""Losses with a known Hessian, and the dense one of any model: the obvious slow way."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel


def cross_entropy(model, batch):
    x, y = batch
    return F.cross_entropy(model(x), y)


def squares(model, batch):
    x, y = batch
    return F.mse_loss(model(x), y)


def quadratic(matrix):
    """A model whose loss is wᵀAw / 2, and that loss."""
    model = nn.Module()
    model.w = nn.Parameter(torch.randn(len(matrix), dtype=matrix.dtype))
    return model, lambda model, a: model.w @ a @ model.w / 2


def dense(model, loss, batches):
    """The Hessian entry by entry, the obvious slow way, in float64."""
    model, parameters = copy.deepcopy(model).double(), {}
    for name, p in model.named_parameters():
        if p.requires_grad:
            parameters[name] = p
    sizes = [p.numel() for p in parameters.values()]

    def value(flat):
        parts = flat.split(sizes)
        new = {k: v.view_as(p) for (k, p), v in zip(parameters.items(), parts, strict=True)}
        total = 0
        for batch in batches:
            wide = [t.double() if t.is_floating_point() else t for t in batch]

            def called(x):
                return torch.func.functional_call(model, new, (x,))

            total = total + loss(called, wide)
        return total / len(batches)

    flat = torch.cat([p.detach().reshape(-1) for p in parameters.values()])
    with sdpa_kernel(SDPBackend.MATH):
        return torch.autograd.functional.hessian(value, flat)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.qkv, self.head = nn.Linear(3, 4), nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, x):
        q, k, v = self.qkv(self.embed(x)).unsqueeze(1).chunk(3, dim=-1)
        return self.head(F.scaled_dot_product_attention(q, k, v, is_causal=True)[:, 0, -1])


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(3, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def cases():
    """Name -> (model, loss, batches)."""
    torch.manual_seed(0)
    rows = [(torch.randn(16, 5), torch.randint(0, 3, (16,))) for _ in range(3)]
    images = [(torch.randn(6, 1, 5, 5), torch.randint(0, 3, (6,)))]
    steps = [(torch.randn(6, 4, 3), torch.randint(0, 3, (6,)))]
    return {
        "tanh": (nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)), rows),
        "one batch": (nn.Sequential(nn.Linear(5, 6), nn.SiLU(), nn.Linear(6, 3)), rows[:1]),
        "layer norm": (nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 3)), rows),
        "batch norm": (
            nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3)),
            rows[:1],
        ),
        "convolution": (
            nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(3, 3)),
            images,
        ),
        "attention": (Attention(), steps),
        "rnn": (Recurrent(nn.RNN), steps),
        "gru": (Recurrent(nn.GRU), steps),
        "lstm": (Recurrent(nn.LSTM), steps),
    }
