"""One limit for each element of each gradient."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from ..shards import local
from ._gradients import NonFinite, given, leave_out, size

__all__ = ["by_value_"]


@torch.no_grad()
def by_value_(
    parameters: Tensor | Iterable[Tensor],
    limit: float,
    *,
    nonfinite: NonFinite = "skip",
    scaler: torch.amp.GradScaler | None = None,
) -> Tensor:
    """Limit each element of each gradient to [-limit, limit].

    Args:
        parameters: whose gradients; sharded ones, too: every rank must call.
        limit: > 0.
        nonfinite: as in `by_norm_`; "keep" clips infinities to the limit and leaves NaN, as torch does.
        scaler: the `GradScaler`, if there is one: gradients that it still multiplies are refused.

    Returns:
        The largest absolute value before clipping, over all ranks, a scalar `()`. 0 where there is no gradient.

    Raises:
        ValueError: `limit` is not above 0, `nonfinite="raise"` and a gradient is not finite, or the gradients are still
            scaled. Gradients are then as they were.
        TypeError: a module was given instead of its parameters.

    Helps: against single wild coordinates, as in embeddings of rare words.

    Harms: it turns the gradient toward the sign of its elements; prefer `by_norm_`.

    Costs: one pass over the gradients, and on a processor a second where there is something to clip, on a GPU two more.

    Source: Mikolov, "Statistical language models based on neural networks", thesis, Brno 2012. As
    `torch.nn.utils.clip_grad_value_` where all is finite.

    >>> weight = torch.nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, -0.5])
    >>> by_value_([weight], 1.0), weight.grad
    (tensor(3.), tensor([ 1.0000, -0.5000]))
    """
    if not limit > 0:
        raise ValueError(f"by_value_() got limit={limit}; it needs one above 0 for the size of each element.")
    held = given("by_value_", parameters, scaler, nonfinite)
    grads = [p.grad for p in held if p.grad is not None]
    if not grads:
        return torch.zeros(())
    largest = size(grads, math.inf)
    if nonfinite != "keep":
        value = largest.item()
        if not math.isfinite(value):
            leave_out("by_value_", held, nonfinite)
            return largest
        if value <= limit:
            return largest
    here = [local(grad) for grad in grads]
    if all(
        grad.device.type == "cpu" for grad in here
    ):  # one pass each, where foreach has no kernel of its own
        for grad in here:
            grad.clamp_(-limit, limit)
    else:
        torch._foreach_clamp_min_(here, -limit)
        torch._foreach_clamp_max_(here, limit)
    return largest
