"""Tensors of which each rank holds a part (`DTensor`), known without a second spent on importing torch's module."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

from torch import Tensor

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


def is_sharded(x: Tensor) -> TypeGuard[DTensor]:
    """Whether this is torch's `DTensor`."""
    return hasattr(x, "to_local")


def local(x: Tensor) -> Tensor:
    """The part that lies here; writing into it writes into `x`. Of a sparse one the values."""
    if is_sharded(x):
        return x.to_local()
    return x._values() if x.is_sparse else x


def whole(x: Tensor) -> Tensor:
    """All of it, on every rank."""
    return x.full_tensor() if is_sharded(x) else x
