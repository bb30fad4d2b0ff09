"""Group norm in place of batch norm."""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn

__all__ = ["batch_to_group_"]

KINDS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@torch.no_grad()
def batch_to_group_(model: nn.Module, groups: int = 32) -> nn.Module:
    """Replace every batch norm of a model in place by group norm, which does not look at other samples.

    Scale and shift go over as they are, the very parameters where there are some, so an optimiser still holds them; the
    population statistics are dropped. What the model computes changes: train it, or train it on, afterwards.

    Args:
        model: the model. Replace before compiling it or wrapping it for several processes.
        groups: groups of channels at most; each norm takes the largest divisor of its channels that divides `groups`,
            too.

    Returns:
        `model` itself.

    Raises:
        ValueError: `groups` is below 1; there is no batch norm; a norm is a subclass of torch's that may do more than
            batch norm; or the model itself is the batch norm.

    Helps: with fewer than some 16 samples a batch and device, where batch statistics are noise: detection,
    segmentation, video.

    Harms: with large batches batch norm mostly ends better and is faster in testing.

    Costs: as batch norm in training; in testing it must compute statistics, which batch norm need not.

    Source: Wu & He, "Group normalization", ECCV 2018; 32 groups as there.

    >>> net = batch_to_group_(nn.Sequential(nn.Conv2d(3, 48, 3), nn.BatchNorm2d(48)))
    >>> net[1]
    GroupNorm(16, 48, ...)
    """
    if groups < 1:
        raise ValueError(f"batch_to_group_() got groups={groups}; it needs at least 1.")
    if isinstance(model, nn.modules.batchnorm._BatchNorm):
        raise ValueError("The model is itself the batch norm, so there is nothing to put a group norm into.")
    new: dict[nn.Module, nn.GroupNorm] = {}
    for name, m in model.named_modules():
        if type(m) in KINDS:
            new[m] = _like(m, groups)
        elif isinstance(m, nn.modules.batchnorm._BatchNorm):
            raise ValueError(
                f"`{name}` is a {type(m).__name__}, which may do more than batch norm; replace it by hand."
            )
    if not new:
        raise ValueError(f"batch_to_group_() found no batch norm in {type(model).__name__}.")
    for holder in list(model.modules()):
        for key, child in holder._modules.items():
            if child in new:
                holder._modules[key] = new[child]
    return model


def _like(norm: nn.Module, groups: int) -> nn.GroupNorm:
    """A group norm with the batch norm's own scale and shift."""
    channels, eps = norm.num_features, norm.eps
    assert isinstance(channels, int)
    assert isinstance(eps, float)
    made = nn.GroupNorm(parted(channels, groups), channels, eps, affine=False)
    scale, shift = norm._parameters["weight"], norm._parameters["bias"]
    if isinstance(scale, Tensor):
        made.affine = True
        made.register_parameter("weight", scale)
        made.register_parameter("bias", shift)
    return made.train(norm.training)


def parted(channels: int, groups: int) -> int:
    """How many groups of at least two channels; a group of one channel and one position would always be 0.

    >>> parted(48, 32), parted(32, 32), parted(7, 32), parted(1, 32)
    (16, 16, 1, 1)
    """
    common = gcd(groups, channels)
    return max((g for g in range(1, common + 1) if common % g == 0 and 2 * g <= channels), default=1)
