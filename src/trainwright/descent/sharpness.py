"""Sharpness-aware minimisation around any optimiser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite

import torch
from torch import nn

from ..shards import local
from ._norms import total

__all__ = ["sam"]


@contextmanager
def sam(model: nn.Module, radius: float = 0.05) -> Iterator[None]:
    """Sharpness-aware: inside, the weights stand where the loss nearby is highest; the gradient made there is kept.

        loss_of(net(x), y).backward()  # where to look
        with descent.sam(net):
            loss_of(net(x), y).backward()  # the gradient to step with
        optimizer.step()
        optimizer.zero_grad()

    On leaving, weights and buffers are as before, to the bit: batch norm has counted the first pass only. With AMP
    scale both losses and unscale before `step` only: the direction does not depend on the scale. With DDP make the
    first backward under `no_sync()`, so that each rank looks for itself, as in the paper. Clip after the `with`.

    Args:
        model: with gradients from a first backward; what has none, such as frozen layers, stays.
        radius: Euclidean length of the way up, at least 0; 0.05 is usual, 0.01 to 0.2 the range.

    Raises:
        ValueError: `radius` negative or not finite; no gradients on entering, or none on leaving. A first gradient
            that is zero or not finite shows no way up, so the weights stay.

    Helps: generalisation of large nets that fit their training data.

    Harms: underfitting; small budgets: the same time buys twice as many plain steps.

    Costs: a second forward and backward pass a step, and a copy of the weights while inside.

    Source: Foret et al., "Sharpness-aware minimization", ICLR 2021, equation 2 and algorithm 1.

    >>> w = nn.Linear(1, 1, bias=False)
    >>> w(torch.ones(1, 1)).square().sum().backward()
    >>> before = w.weight.item()
    >>> with sam(w, radius=0.1):
    ...     print(round(abs(w.weight.item()) - abs(before), 3))
    ...     w(torch.ones(1, 1)).square().sum().backward()
    0.1
    >>> w.weight.item() == before
    True
    """
    if not (isfinite(radius) and radius >= 0):
        raise ValueError(f"sam() got radius={radius}; it takes a finite length, at least 0, such as 0.05.")
    moved = [p for p in model.parameters() if p.grad is not None]
    if not moved:
        raise ValueError("sam() found no gradients. Call backward() on a first loss before it.")
    with torch.no_grad():
        gradients = [p.grad for p in moved if p.grad is not None]
        norm = total(gradients, 2)
        share = torch.where((norm > 0) & norm.isfinite(), radius / norm, 0.0)
        live = [local(p) for p in moved] + [local(b) for b in model.buffers()]
        before = [x.clone() for x in live]
        for p, g in zip(moved, gradients, strict=True):
            up = local(g) * share.to(g.device)
            local(p).add_(torch.where(share > 0, up, 0).to(p.dtype))  # 0 times inf is no number
            p.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for x, old in zip(live, before, strict=True):
                x.copy_(old)
    if all(p.grad is None for p in moved):
        raise ValueError("sam() ended without gradients. Call backward() on a second loss inside the `with`.")
