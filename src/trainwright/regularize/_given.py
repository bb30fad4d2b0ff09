"""What the arguments must be, and lists of tensors as foreach likes them."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import torch
from torch import Tensor, nn

from ..shards import local, whole


def given(who: str, parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """Once each, in order."""
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not given:
        raise ValueError(f"{who}() got no parameters. Was a generator used up before? Pass a list.")
    for p in given:
        if not isinstance(p, Tensor) or not p.is_floating_point():
            got = p.dtype if isinstance(p, Tensor) else type(p).__name__
            raise TypeError(f"{who}() got {got}; it takes tensors of floating point, e.g. net.parameters().")
    return list({id(p): p for p in given}.values())


def by_kind(parameters: list[Tensor]) -> list[list[Tensor]]:
    """This rank's part of each, without the frozen, in lists of one device and dtype: what foreach is fast on."""
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for p in parameters:
        if p.requires_grad or not isinstance(p, nn.Parameter):
            kinds.setdefault((p.device, p.dtype), []).append(local(p))
    return list(kinds.values())


def sum_of_powers(tensors: list[Tensor], power: int) -> Tensor:
    """Sum of |x|^power over all, on the first one's device; with gradient."""
    sums: list[Tensor] = []
    for device, dtype in dict.fromkeys((t.device, t.dtype) for t in tensors):
        kind = [t for t in tensors if (t.device, t.dtype) == (device, dtype)]
        if power == 1:  # half the time of a norm's
            sums += [whole(t.abs().sum(dtype=wide(t))) for t in kind]
        else:
            sums += [whole(n).pow(power) for n in torch._foreach_norm(kind, power, dtype=wide(kind[0]))]
    widest = max((s.dtype for s in sums), key=lambda dtype: torch.finfo(dtype).bits)
    return torch.stack([s.to(tensors[0].device, widest) for s in sums]).sum()


def wide(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def at_least_0(who: str, **numbers: float) -> float:
    """Their product."""
    product = 1.0
    for name, number in numbers.items():
        if not (isfinite(number) and number >= 0):
            raise ValueError(f"{who}() got {name}={number}; it takes a finite number, at least 0.")
        product *= number
    return product


def share_of_1(who: str, share: float) -> None:
    if share > 1:
        raise ValueError(
            f"{who}() got lr·strength = {share:g}; above 1 it would overshoot. Lower one of them."
        )


def sample_count(who: str, samples: int) -> int:
    if samples < 1:
        raise ValueError(
            f"{who}() got samples={samples}; it takes the number of training samples, at least 1."
        )
    return samples
