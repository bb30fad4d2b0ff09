"""The bias that makes a model's first predictions right on average."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from .single import Convolution, Transposed, laid

__all__ = ["output_bias_"]

LayerT = TypeVar("LayerT", bound=nn.Module)


@torch.no_grad()
def output_bias_(layer: LayerT, target: Tensor) -> LayerT:
    """Set the bias of an output layer so that the first predictions are right on average.

    Class ids give the logarithm of each class's share; 0s and 1s give each label's log-odds; values give their mean.
    Shares are smoothed by one count a class, so a class that the sample lacks gets a finite bias.

    Args:
        layer: linear, or a convolution, with a bias; its outputs are logits, or the values themselves.
        target: as the loss gets it. Integers of any shape are class ids (those below 0 are left out) or, for one
            output, 0 and 1. Booleans, and floats that are all 0 or 1, of shape `(batch, outputs)`, or `(batch,)` for
            one output, are labels. Other floats are values to regress on, of the same shapes.

    Returns:
        `layer` itself.

    Raises:
        TypeError: a layer of another kind.
        ValueError: no bias; no targets; ids beyond the outputs; a shape that does not fit; values that are not finite.

    Helps: with rare classes, and where targets are far from 0: the first steps are not spent on a constant.
    Harms: where a sigmoid or softmax is no part of the model's end and 0s and 1s are values to regress on.
    Costs: one pass over `target`.
    Source: Karpathy, "A recipe for training neural networks", 2019; for labels Lin et al., "Focal loss", ICCV 2017,
        4.1.

    >>> layer = output_bias_(nn.Linear(8, 2), torch.tensor([0] * 98 + [1] * 0))
    >>> layer.bias.softmax(0).detach()
    tensor([0.9900, 0.0100])
    """
    laid(layer, "output_bias_()")
    bias = layer.bias
    if not isinstance(bias, Tensor):
        raise ValueError(f"output_bias_() got {layer}, which has no bias. Build it with `bias=True`.")
    dim = 1 if isinstance(layer, Convolution | Transposed) else target.ndim - 1
    bias.copy_(bias_for(bias.shape[0], target, dim))
    return layer


def bias_for(outputs: int, target: Tensor, dim: int | None) -> Tensor:
    """The bias that is right on average; `dim` is where the outputs lie in a target of the outputs' shape."""
    target = target.detach().cpu()
    if not target.numel():
        raise ValueError("A target without a single value says nothing of its average.")
    if target.is_floating_point() and not bool(target.isfinite().all()):
        raise ValueError("The target holds values that are not finite. Remove those samples first.")
    kinds = target.is_floating_point() and not bool(((target == 0) | (target == 1)).all())
    if not target.is_floating_point() and target.dtype != torch.bool and outputs > 1:
        ids = target[target >= 0]
        if not ids.numel() or int(ids.max()) >= outputs:
            raise ValueError(
                f"The target holds class ids up to {int(target.max())}, and the layer has {outputs} outputs, for ids "
                f"0 to {outputs - 1}."
            )
        counts = torch.bincount(ids.flatten(), minlength=outputs).float() + 1
        return (counts / counts.sum()).log()
    if outputs == 1:
        columns = target.float().reshape(-1, 1)
    elif dim is not None and target.ndim > 1 and target.shape[dim] == outputs:
        columns = target.float().movedim(dim, -1).reshape(-1, outputs)
    else:
        raise ValueError(
            f"The target has shape {tuple(target.shape)}, and the layer {outputs} outputs; expected class ids as "
            f"integers, or shape (batch, {outputs})."
        )
    if kinds:
        return columns.mean(0)
    if bool(((columns != 0) & (columns != 1)).any()):
        raise ValueError(
            "The target of one output holds integers beside 0 and 1. Pass values to regress on as floats."
        )
    share = (columns.sum(0) + 1) / (len(columns) + 2)
    return (share / (1 - share)).log()
