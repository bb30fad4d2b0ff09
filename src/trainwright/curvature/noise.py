"""How noisy the gradient is, in units of the batch size."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from ..stats import Z95
from ._objective import Batch, Loss, Objective, still


class NoiseScale(NamedTuple):
    """The batch size at which noise and signal in the gradient are equal, and what it is made of."""

    noise_scale: float
    """In samples; infinite where no signal could be told from the noise."""
    low: float
    high: float
    """95 % interval of it; `high` is infinite where the batches do not bound it."""
    signal: float
    """Squared norm of the true gradient, an unbiased estimate: it may come out below zero."""
    noise: float
    """Trace of the covariance of one sample's gradient, an unbiased estimate."""


def noise_scale(
    model: nn.Module,
    loss: Loss[Batch],
    batches: Iterable[Batch],
    batch_size: int,
    *,
    generator: torch.Generator | None = None,
) -> NoiseScale:
    """The gradient noise scale: the batch size from which on larger batches bring little.

    The squared norm of a mean gradient over B samples is |G|² + tr(Σ) / B on average. The given batches are the
    small B and all of them together the large one; from the two norms come unbiased estimates of |G|², the
    signal, and tr(Σ), the noise of one sample, and the noise scale is tr(Σ) / |G|².

    Args:
        model: left bitwise as it was. In train mode batch normalisation ties the samples of a batch together;
            the noise is then that of the gradient you train with.
        loss: `loss(model, batch)`, the mean over the batch.
        batches: at least 4, better 16 or more, drawn independently and all of the same size: leave out a shorter
            last one. They are read once and kept.
        batch_size: samples in one of them: pictures, sequences, whatever `batch` counts for you.
        generator: fixes dropout, which differs from batch to batch.

    Returns:
        The noise scale in samples with its 95 % interval (jackknife over batches), `signal` and `noise`.

    Raises:
        ValueError: as `hessian_vector` does, fewer than 4 batches, a batch size below 1, or batches whose
            gradients are all equal, so that there is no noise to measure.

    Helps: to choose the batch size: well below it, twice the batch makes nearly twice the progress a step; well
    above it, hardly any more. It grows as the loss falls.

    Harms: where the loss is a sum over the batch, or batches are not drawn independently (sorted, or neighbouring
    frames of a film): the figure is then meaningless. For Adam it is only a rough guide.

    Costs: two gradients a batch, so about two training steps for each, and the memory of three copies of the
    weights.

    Source: McCandlish, Kaplan, Amodei et al., "An empirical model of large-batch training", 2018, appendix A.1
    (B_simple); the interval is ours: a jackknife of 1 / B, whose error is nearer to normal.

    >>> net = nn.Linear(1, 1)
    >>> _ = torch.manual_seed(0)
    >>> batches = [torch.randn(8, 1) for _ in range(32)]
    >>> found = noise_scale(net, lambda net, x: (net(x) - 3 * x - 1).pow(2).mean(), batches, batch_size=8)
    >>> found.low < found.noise_scale < found.high
    True
    """
    if batch_size < 1:
        raise ValueError(f"noise_scale() got batch_size={batch_size}; a batch has at least 1 sample.")
    with still(model):
        objective = Objective("noise_scale", model, loss, batches, generator)
        k = len(objective.batches)
        if k < 4:
            raise ValueError(f"noise_scale() got {k} batches; it needs at least 4 to tell signal from noise.")
        total = objective.zeros()
        squares = np.zeros(k)
        for i, gradient in enumerate(objective.gradients()):
            total += gradient
            squares[i] = float(gradient.double().square().sum())
        # A second pass in place of keeping every gradient: memory for three, not for k.
        with_total = np.array([float(g.double() @ total.double()) for g in objective.gradients()])
    whole = float(with_total.sum())
    signal, noise = _unbiased(squares.sum(), whole, k, batch_size)
    if not noise > 1e-12 * squares.mean():
        raise ValueError(
            "noise_scale() got batches that all have the same gradient, so there is no noise to measure. "
            "Are they copies of one batch?"
        )
    inverse = signal / noise
    parts = [
        _unbiased(squares.sum() - squares[i], whole - 2 * with_total[i] + squares[i], k - 1, batch_size)
        for i in range(k)
    ]
    without = np.array([s / n for s, n in parts])
    half = Z95 * sqrt((k - 1) / k * float(((without - without.mean()) ** 2).sum()))
    scale, low, high = (1 / x if x > 0 else inf for x in (inverse, inverse + half, inverse - half))
    return NoiseScale(scale, low, high, signal, noise)


def _unbiased(squares: float, whole: float, k: int, batch_size: int) -> tuple[float, float]:
    """|G|² and tr(Σ) from the sum of squared norms and the squared norm of the sum of `k` batch gradients."""
    small, big = squares / k, whole / k**2
    return float((k * big - small) / (k - 1)), float(batch_size * (small - big) * k / (k - 1))
