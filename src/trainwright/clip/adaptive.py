"""A limit for each unit, in proportion to its weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from ..shards import whole
from ._gradients import NonFinite, given, leave_out

__all__ = ["adaptive_"]


@torch.no_grad()
def adaptive_(
    model: nn.Module,
    limit: float = 0.01,
    *,
    output: nn.Module | None,
    eps: float = 1e-3,
    nonfinite: NonFinite = "skip",
    scaler: torch.amp.GradScaler | None = None,
) -> Tensor:
    """Limit the norm of each unit's gradient to `limit` times the norm of its weights (adaptive clipping, AGC).

    A unit is an output of a linear layer, an output channel of a convolution (transposed ones, too), a row of an
    embedding; vectors (biases, norm scales) and scalars are one unit each.

    Args:
        model: whose gradients. Sharded parameters (FSDP2) are compared over all ranks: every rank must call.
        limit: share of the weights' norm, > 0: 0.01 for batches of 4096, up to 0.16 for batches of 256.
        output: the output layer, which is left as it is, e.g. `model.head`; `None` = clip all.
        eps: the least that counts as the norm of a unit's weights, > 0: without it, what starts at 0 would stay there.
        nonfinite: as in `by_norm_`.
        scaler: the `GradScaler`, if there is one: gradients that it still multiplies are refused.

    Returns:
        The share of units that were clipped, a scalar `()`; NaN where a gradient was not finite. 0 without gradients.

    Raises:
        ValueError: `limit` or `eps` is not above 0, `output` is no part of the model or all of it, `nonfinite="raise"`
            and a gradient is not finite, or the gradients are sparse or still scaled. Gradients are then as they were.

    Helps: nets without normalisation at large rates and batches, where one limit does not fit all layers.

    Harms: where a layer has to move far from where it starts, such as a head that starts near 0.

    Costs: three passes over gradients and one over weights, about twice `by_norm_`.

    Source: Brock et al., "High-performance large-scale image recognition without normalization", ICML 2021, equation 3,
    with their eps; the output layer is left out as there (section 4.1).

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> net(torch.ones(1, 4)).sum().backward()
    >>> share = adaptive_(net, 0.01, output=net[2])
    >>> rows = net[0].weight.grad.norm(dim=1) / net[0].weight.norm(dim=1)
    >>> bool((rows <= 0.01001).all())
    True
    """
    for name, value in (("limit", limit), ("eps", eps)):
        if not 0 < value < math.inf:
            raise ValueError(f"adaptive_() got {name}={value}; it needs a finite number above 0.")
    if output is not None and (output is model or all(output is not m for m in model.modules())):
        raise ValueError(
            f"adaptive_() got a {type(output).__name__} as `output` that is no layer of the {type(model).__name__}. "
            f"Pass the output layer itself, as `model.head`, or None."
        )
    spared = set() if output is None else set(output.parameters())
    transposed = {m.weight for m in model.modules() if isinstance(m, _ConvTransposeNd)}
    held = given("adaptive_", [p for p in model.parameters() if p not in spared], scaler, nonfinite)
    if not held:
        return torch.zeros(())
    if any(p.grad is not None and p.grad.is_sparse for p in held):
        raise ValueError("adaptive_() cannot take sparse gradients; build the embedding with sparse=False.")
    factors, norms, clipped, units = [], [], [], 0
    for p in held:
        assert p.grad is not None
        axis = 1 if p in transposed else 0
        allowed = _norms(p.detach(), axis).clamp_min(eps) * limit
        norm = _norms(p.grad, axis)
        factors.append((allowed / norm).clamp(max=1.0))  # infinite before the clamp where the gradient is 0
        norms.append(whole(norm.sum()))
        clipped.append(whole((norm > allowed).sum()))
        units += norm.numel()
    if not torch.stack(norms).isfinite().all():
        leave_out("adaptive_", held, nonfinite)
        return torch.tensor(math.nan)
    for p, factor in zip(held, factors, strict=True):
        assert p.grad is not None
        p.grad.mul_(factor)
    return torch.stack(clipped).sum() / units


def _norms(x: Tensor, axis: int) -> Tensor:
    """The norm of each unit along `axis`, so shaped that it goes with `x`; of the whole where only one side is long."""
    precise = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else None
    others = None if sum(side > 1 for side in x.shape) <= 1 else [d for d in range(x.ndim) if d != axis]
    norms: Tensor = torch.linalg.vector_norm(x, dim=others, keepdim=others is not None, dtype=precise)
    return norms
