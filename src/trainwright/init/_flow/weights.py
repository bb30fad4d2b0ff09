"""A weight in use: which argument of a call it is, how it lies in memory, and new directions for it.

Every kind of layer is brought to one shape, `(groups, outputs, inputs, taps)`: outputs and inputs of one group, and
the positions of a kernel. Fans, orthogonal draws and mirrored halves are then the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Layout = Literal["out_in", "in_out", "transposed", "table"]

LINEAR = "input weight bias"
CONVOLUTION = "input weight bias stride padding dilation groups"
TRANSPOSED = "input weight bias stride padding output_padding groups dilation"
TABLE = "input weight padding_idx"
CALLS = frozenset(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d embedding embedding_bag".split()
)
"""Functions whose second argument is the weight, even where the first is a parameter, too (learned queries)."""
DEAREST_QR = 2e10
"""Multiplications above which a weight is drawn from a normal distribution: in a matrix that large the rows are
nearly orthogonal anyway, and a QR decomposition would take seconds."""


@dataclass(eq=False)
class Use:
    """One use of a weight by the forward pass."""

    input: Tensor
    weight: Tensor
    bias: Tensor | None
    layout: Layout
    dim: int
    """Where the features lie in input and output, counted from the end."""
    groups: int = 1
    padding_row: int | None = None
    """The row of an embedding that stays zero."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`(groups, outputs, inputs, taps)`."""
        return canonical(self.layout, tuple(self.weight.shape), self.groups)


def use_of(
    name: str, args: tuple[object, ...], kwargs: Mapping[str, object], is_weight: Callable[[object], bool]
) -> Use | None:
    """What weight a call uses and how; `None` where it is no call of a layer, or its weight is no parameter.

    Args:
        name: the function's name, without underscores at its ends.
        args: what it is called with.
        kwargs: the same, by name.
        is_weight: whether a tensor is a parameter or made of parameters alone.
    """

    def bound(names: str) -> dict[str, object]:
        return {**dict(zip(names.split(), args, strict=False)), **kwargs}

    layout: Layout = "out_in"
    if name == "linear":
        got, dim = bound(LINEAR), -1
    elif name in {"conv1d", "conv2d", "conv3d"}:
        got, dim = bound(CONVOLUTION), -1 - int(name[4])
    elif name in {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}:
        got, dim, layout = bound(TRANSPOSED), -1 - int(name[14]), "transposed"
    elif name in {"embedding", "embedding_bag"}:
        got, dim, layout = bound(TABLE), -1, "table"
    elif name == "addmm":
        got, dim, layout = bound("bias input weight"), -1, "in_out"
    elif name in {"matmul", "mm", "bmm"} and is_weight(bound("input weight").get("weight")):
        got, dim, layout = bound("input weight"), -1, "in_out"
    elif name in {"matmul", "mm", "bmm"}:
        got, dim = bound("weight input"), -2
    else:
        return None
    x, weight, bias = got.get("input"), got.get("weight"), got.get("bias")
    if not (isinstance(x, Tensor) and isinstance(weight, Tensor) and is_weight(weight)) or weight.ndim < 2:
        return None
    groups, row = got.get("groups", 1), got.get("padding_idx") if layout == "table" else None
    return Use(
        x,
        weight,
        bias if isinstance(bias, Tensor) else None,
        layout,
        dim,
        groups if isinstance(groups, int) else 1,
        row if isinstance(row, int) else None,
    )


def canonical(layout: Layout, shape: tuple[int, ...], groups: int = 1) -> tuple[int, int, int, int]:
    """`(groups, outputs, inputs, taps)` of a weight.

    >>> canonical("transposed", (8, 3, 4, 4), groups=2)
    (2, 3, 4, 16)
    """
    if layout == "transposed":
        return groups, shape[1], shape[0] // groups, math.prod(shape[2:])
    if layout == "in_out":
        return math.prod(shape[:-2]), shape[-1], shape[-2], 1
    if layout == "table":
        return 1, shape[1], shape[0], 1
    return groups, shape[0] // groups, shape[1], math.prod(shape[2:])


def as_stored(weight: Tensor, layout: Layout, shape: tuple[int, ...]) -> Tensor:
    """A weight of shape `(groups, outputs, inputs, taps)` as the layer holds it."""
    if layout == "out_in":
        return weight.reshape(shape)
    if layout == "transposed":
        return weight.transpose(1, 2).reshape(shape)
    return weight.squeeze(-1).transpose(1, 2).reshape(shape)


def directions(
    use: Use, generator: torch.Generator | None, *, mirror_out: bool = False, mirror_in: bool = False
) -> Tensor:
    """New values for a weight, as the layer holds it: rows of length 1, orthogonal where there is room for that.

    Mirrored outputs come in two halves of opposite sign; mirrored inputs are read as the difference of two halves.
    """
    if use.layout == "table":
        table = normal(tuple(use.weight.shape), generator).to(use.weight)
        if use.padding_row is not None:
            table[use.padding_row] = 0
        return table
    groups, outputs, inputs, taps = use.shape
    rows, columns = outputs // (2 if mirror_out else 1), inputs // (2 if mirror_in else 1)
    drawn = orthogonal(groups, rows, columns * taps, generator).reshape(groups, rows, columns, taps)
    if mirror_in:
        drawn = torch.cat([drawn, -drawn], dim=2)
    if mirror_out:
        drawn = torch.cat([drawn, -drawn], dim=1)
    return as_stored(drawn, use.layout, tuple(use.weight.shape)).to(use.weight)


def orthogonal(count: int, rows: int, columns: int, generator: torch.Generator | None) -> Tensor:
    """Random `(count, rows, columns)` whose rows, or else columns, are orthogonal and whose rows have mean square 1.

    With more rows than columns that is the factor sqrt(rows / columns) which `torch.nn.init.orthogonal_` lacks.
    """
    tall, wide = max(rows, columns), min(rows, columns)
    drawn = normal((count, tall, wide), generator)
    if count * tall * wide * wide > DEAREST_QR:
        drawn = drawn / math.sqrt(tall)
    else:
        drawn, upper = torch.linalg.qr(drawn)
        drawn = drawn * upper.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(
            -2
        )  # else not uniform over rotations
    return drawn.mT if rows < columns else drawn * math.sqrt(rows / columns)


def normal(shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """Standard normal numbers, drawn where the generator lives."""
    return torch.randn(shape, generator=generator, device=generator.device if generator else None)
