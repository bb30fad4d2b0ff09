"""How a large tensor is sampled: the same few elements each time, as views, so that reading them costs next
to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ELEMENTS = 16_384
"""Most elements taken of one activation."""

WEIGHTS = 4_096
"""Most elements taken of one parameter."""


def output_sample(x: Tensor, *, channels_first: bool) -> Tensor:
    """A copy of at most 16,384 elements of `x`, float32, of shape `(samples, units, positions)`.

    Samples are spread over the batch, positions are contiguous where the memory is, and units are spread
    over all.

    Args:
        x: what a layer put out: `(batch, ...)`; a vector counts as one sample.
        channels_first: units are dimension 1, as after a convolution; otherwise the last.
    """
    import torch

    x = x.detach()
    if x.ndim < 2:
        x = x.reshape(1, -1)
    if x.ndim == 2:
        x = x.unsqueeze(2)  # (batch, units, 1)
    elif channels_first:
        x = x.flatten(2)
    else:
        x = x.flatten(1, -2).transpose(1, 2)  # (batch, units, positions)
    samples = min(x.shape[0], 64)
    units = min(x.shape[1], max(1, ELEMENTS // samples))
    positions = min(x.shape[2], max(1, ELEMENTS // (samples * units)))
    start = (x.shape[2] - positions) // 2
    x = x[_spread(x.shape[0], samples), _spread(x.shape[1], units), start : start + positions]
    # A copy, always: the layer's output may be changed in place by the next one.
    return torch.empty_like(x, dtype=torch.float32, memory_format=torch.contiguous_format).copy_(x)


def weight_sample(p: Tensor) -> Tensor:
    """At most 4,096 elements of a parameter, spread over it: a copy, flat, of this rank's shard where it is
    sharded."""
    flat = getattr(p.detach(), "_local_tensor", p.detach()).reshape(-1)
    return flat[_spread(flat.shape[0], WEIGHTS)].clone()


def row_sample(x: Tensor, rows: int = 256) -> Tensor:
    """At most `rows` rows of a matrix, spread over it: a view."""
    return x.detach()[_spread(x.shape[0], rows)]


def _spread(size: int, wanted: int) -> slice:
    return slice(None, None, max(1, -(-size // wanted)))
