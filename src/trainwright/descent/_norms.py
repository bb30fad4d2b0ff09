"""The step of norm 1 that lowers the loss most, and the dual norm of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TypeAlias

import torch
from torch import Tensor

from ..shards import local, whole
from .orthogonal import orthogonalize

Steps: TypeAlias = tuple[list[Tensor], Tensor]
"""Steps that together have norm 1, as far as this rank holds them, and the dual norm of the gradient."""


def _l2(gradient: list[Tensor], exact: bool) -> Steps:
    norm = total(gradient, 2)
    return list(torch._foreach_mul([local(g) for g in gradient], torch.where(norm > 0, 1 / norm, 0.0))), norm


def _linf(gradient: list[Tensor], exact: bool) -> Steps:
    return list(torch._foreach_sign([local(g) for g in gradient])), total(gradient, 1)


def _l1(gradient: list[Tensor], exact: bool) -> Steps:
    largest = total(gradient, inf)
    masks = [(g.abs() == largest).to(g.dtype) for g in gradient]
    ties = torch.stack([m.sum() for m in masks]).sum()
    return [g.sign() * m / ties for g, m in zip(gradient, masks, strict=True)], largest


def _spectral(gradient: list[Tensor], exact: bool) -> Steps:
    steps = [orthogonalize(g.flatten(1), exact=exact).reshape(g.shape) for g in gradient]
    # Of a product of matrices under the largest of their spectral norms, the dual is the sum of the nuclear norms.
    return steps, torch.stack([(s * g).sum() for s, g in zip(steps, gradient, strict=True)]).sum()


NORMS: dict[str, Callable[[list[Tensor], bool], Steps]] = {
    "l1": _l1,
    "l2": _l2,
    "linf": _linf,
    "spectral": _spectral,
}


def total(tensors: list[Tensor], order: float) -> Tensor:
    """The norm of all of them as one vector, over all shards, at least float32."""
    wide = torch.promote_types(tensors[0].dtype, torch.float32)
    norms = [whole(n) for n in torch._foreach_norm(tensors, order, dtype=wide)]
    joined: Tensor = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]), order)
    return joined
