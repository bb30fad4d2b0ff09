"""One limit for the norm of all gradients together."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ..shards import local
from ._gradients import NonFinite, given, leave_out, size

__all__ = ["by_norm_"]


@torch.no_grad()
def by_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    *,
    nonfinite: NonFinite = "skip",
    scaler: torch.amp.GradScaler | None = None,
) -> Tensor:
    """Scale all gradients by one number so that their common L2 norm is at most `max_norm`.

    Args:
        parameters: whose gradients, as `model.parameters()`; shared ones count once, those without a gradient not at
            all. Sharded parameters (FSDP2, tensor parallel) give the norm over all ranks: every rank must call.
        max_norm: > 0; `math.inf` only measures.
        nonfinite: where a gradient is NaN or infinite: "skip" removes all gradients (`grad = None`), so that the
            optimiser's step changes nothing, momentum and decay included; "raise"; "keep" leaves them as they are,
            which saves a GPU from waiting: look at the result some time later.
        scaler: the `GradScaler`, if there is one: gradients that it still multiplies are refused.

    Returns:
        The norm before clipping, a float32 scalar `()` (float64 for float64 parameters) on the gradients' device. 0
        where there is no gradient.

    Raises:
        ValueError: `max_norm` is not above 0, `nonfinite="raise"` and a gradient is not finite, or the gradients are
            still scaled. Gradients are then as they were.
        TypeError: a module was given instead of its parameters.

    Helps: recurrent nets, transformers, and any training with rare large gradients; the result is worth logging.

    Harms: with a limit below the usual norm every step has the same size, and the learning rate means something else.

    Costs: one pass over the gradients, and a second where there is something to clip. "skip" and "raise" wait for the
    device.

    Source: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", ICML 2013, algorithm
    1. torch divides by the norm plus 1e-6; here the result is the limit itself.

    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> by_norm_([weight], 1.0), weight.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    if not max_norm > 0:
        raise ValueError(
            f"by_norm_() got max_norm={max_norm}; it needs a limit above 0 for the norm of all gradients."
        )
    held = given("by_norm_", parameters, scaler, nonfinite)
    grads = [p.grad for p in held if p.grad is not None]
    if not grads:
        return torch.zeros(())
    norm = size(grads, 2.0)
    here = [local(grad) for grad in grads]
    if nonfinite == "keep":
        factor = torch.where(norm.isfinite(), (max_norm / norm).clamp(max=1.0), 1.0)
        for device, tensors in _by_device(here).items():
            torch._foreach_mul_(tensors, factor.to(device))
        return norm
    length = norm.item()
    if not math.isfinite(length):
        leave_out("by_norm_", held, nonfinite)
    elif length > max_norm:
        torch._foreach_mul_(here, max_norm / length)
    return norm


def _by_device(tensors: list[Tensor]) -> dict[torch.device, list[Tensor]]:
    found: dict[torch.device, list[Tensor]] = {}
    for tensor in tensors:
        found.setdefault(tensor.device, []).append(tensor)
    return found
