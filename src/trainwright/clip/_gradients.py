"""Gradients to be clipped: found, checked, and measured over all their shards."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import OptState

from ..shards import is_sharded, local

NonFinite = Literal["skip", "raise", "keep"]


def given(
    who: str, parameters: Tensor | Iterable[Tensor], scaler: torch.amp.GradScaler | None, nonfinite: str
) -> list[Tensor]:
    """The parameters that have a gradient, each once; refuses what makes no sense."""
    if nonfinite not in get_args(NonFinite):
        raise ValueError(f"{who}() got nonfinite={nonfinite!r}; it knows {', '.join(get_args(NonFinite))}.")
    if isinstance(parameters, nn.Module):
        raise TypeError(
            f"{who}() got a {type(parameters).__name__}; it needs parameters, as `model.parameters()`."
        )
    if scaler is not None and scaler.is_enabled():
        stages = [state["stage"] for state in scaler._per_optimizer_states.values()]
        if not stages or OptState.READY in stages:
            raise ValueError(
                f"{who}() got gradients that are still multiplied by the scaler's {scaler.get_scale():g}. Call "
                f"scaler.unscale_(optimizer) before it."
            )
    every = [parameters] if isinstance(parameters, Tensor) else parameters
    found = [p for p in dict.fromkeys(every) if p.grad is not None]
    for p in found:
        grad = p.grad
        if grad is not None and is_sharded(grad) and any(placed.is_partial() for placed in grad.placements):
            from torch.distributed.tensor import Replicate

            whole = [Replicate() if placed.is_partial() else placed for placed in grad.placements]
            p.grad = grad.redistribute(placements=whole)
        elif grad is not None and grad.is_sparse:
            p.grad = grad.coalesce()
    return found


def size(grads: list[Tensor], order: float) -> Tensor:
    """The norm over all elements of all gradients on all ranks, a plain float32 scalar (float64 for float64).

    One collective for each mesh and placement; copies count once.
    """
    alike: dict[object, list[Tensor]] = {}
    for grad in grads:
        where = (grad.device_mesh, grad.placements) if is_sharded(grad) else None
        alike.setdefault((grad.dtype, grad.device, where), []).append(grad)
    norms = [_size_of_alike(tensors, order) for tensors in alike.values()]
    if len(norms) == 1:
        return norms[0]
    return _joined([norm.to(norms[0].device, norms[0].dtype) for norm in norms], order)


def _size_of_alike(grads: list[Tensor], order: float) -> Tensor:
    """The norm of gradients of one dtype, on one device and spread over ranks in one way."""
    first = grads[0]
    here = [x for x in map(local, grads) if x.numel()]  # a rank may hold no row of a small tensor
    precise = torch.float32 if first.dtype in (torch.float16, torch.bfloat16) else first.dtype
    if not here:
        norm = torch.zeros((), dtype=precise, device=first.device)
    elif order == math.inf and first.device.type == "cpu":  # some 17 times faster there than the norm
        ends = [end for x in here for end in torch.aminmax(x)]
        norm = torch.stack(ends).abs().max().to(precise)
    else:
        norm = _joined(torch._foreach_norm(here, order, dtype=precise), order)
    if not is_sharded(first):
        return norm
    from torch.distributed.tensor import DTensor, Partial
    from torch.distributed.tensor.placement_types import Placement

    part: Placement = Partial("max" if order == math.inf else "sum")
    spread = [placed if placed.is_replicate() else part for placed in first.placements]
    power = norm if order == math.inf else norm.square()
    whole: Tensor = DTensor.from_local(power, first.device_mesh, spread, run_check=False).full_tensor()
    return whole if order == math.inf else whole.sqrt()


def _joined(norms: Sequence[Tensor], order: float) -> Tensor:
    """The norm of the whole from the norms of its parts."""
    joined: Tensor = torch.linalg.vector_norm(torch.stack(tuple(norms)), order)
    return joined


def leave_out(who: str, parameters: list[Tensor], nonfinite: NonFinite) -> None:
    """Some gradient is NaN or infinite: raise, or take all gradients away, so that the optimiser does nothing."""
    if nonfinite == "skip":
        for p in parameters:
            p.grad = None
        return
    bad = [k for k, p in enumerate(parameters) if p.grad is not None and not local(p.grad).isfinite().all()]
    first = f"; the first is number {bad[0]}, of shape {tuple(parameters[bad[0]].shape)}" if bad else " here"
    raise ValueError(
        f"{who}() got gradients that are not finite: {len(bad)} of {len(parameters)}{first}. Nothing was changed. "
        "Skip the "
        f'step, or let nonfinite="skip" do so.'
    )
