"""The data and the loop that the trainings share: scikit-learn's digits, plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F


class Data(NamedTuple):
    """Training and test part; inputs centred and scaled by the training part's mean and standard deviation."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


def digits(seed: int, train: int = 1297, noise: float = 0.0) -> Data:
    """A shuffled split; `noise` is the standard deviation of what is added to pixels of standard deviation 1."""
    generator = torch.Generator().manual_seed(seed)
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=generator)
    x, y = torch.tensor(images, dtype=torch.float32)[order], torch.tensor(labels)[order]
    x = (x - x[:train].mean()) / x[:train].std()
    x = x + noise * torch.randn(x.shape, generator=generator)
    return Data(x[:train], y[:train], x[1297:], y[1297:])


def dense(widths: Sequence[int], function: Callable[[], nn.Module], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers with a function, and dropout if any, between them."""
    layers: list[nn.Module] = []
    for n, m in pairwise(widths):
        layers += [nn.Linear(n, m), function()] + ([nn.Dropout(dropout)] if dropout else [])
    return nn.Sequential(*layers[: -2 if dropout else -1])


def linears(net: nn.Module) -> list[nn.Linear]:
    """The linear layers, in order."""
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear)]


def start_(net: nn.Module, draw: Callable[[Tensor], object]) -> nn.Module:
    """Draw each linear layer's weight anew; biases zero."""
    for layer in linears(net):
        draw(layer.weight)
        nn.init.zeros_(layer.bias)
    return net


def steps(data: Data, epochs: int, batch_size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches; a shorter last one is left out."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(data.y), generator=generator)
        for rows in order.split(batch_size):
            if len(rows) == batch_size:
                yield data.x[rows], data.y[rows]


def train(
    net: nn.Module,
    data: Data,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch_size: int = 32,
    seed: int = 0,
    schedule: Callable[[int], float] | None = None,
) -> nn.Module:
    """Train; a loss that is not finite ends it."""
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule) if schedule else None
    net.train()
    for x, y in steps(data, epochs, batch_size, seed):
        loss = F.cross_entropy(net(x), y)
        if not torch.isfinite(loss):
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
    return net


@torch.no_grad()
def train_loss(net: nn.Module, data: Data) -> float:
    """Mean loss on the training part, in eval mode; infinite where it is not finite."""
    loss = F.cross_entropy(net.eval()(data.x), data.y).item()
    return loss if loss == loss else float("inf")


@torch.no_grad()
def test_error(net: nn.Module, data: Data) -> float:
    """Per cent wrong on the test part; all, where an output is not finite."""
    out = net.eval()(data.test_x)
    return 100 * (1 - (out.argmax(1) == data.test_y).float().mean().item()) if out.isfinite().all() else 100.0
