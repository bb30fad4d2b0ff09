"""What more steps would bring: the loss's trend at the end of a run, and how far it goes beyond the noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import stats
from ..core import Run, Signal
from ..signals import loss, valid_loss

PASSES = 7
"""Fewer validation passes than this show no trend: five for an interval (Sen's), two to see it slow."""

LOSSES = 60
"""Fewer training losses than this are too noisy to promise more: the last third must still make 20 points."""

POINTS = 20
"""Medians that a trend is drawn through: neighbouring losses share their weights, so are not independent."""

GAIN = 0.01
"""A promise of less than 1 % of the first loss, or of all that was gained, is no reason to train longer."""


class Promise(NamedTuple):
    """How much lower the loss would be after `steps` more steps."""

    name: str
    level: float
    fall: float
    low: float
    high: float
    """95 % interval of the fall."""
    steps: int


def promise(run: Run) -> Promise | None:
    """What as many steps again as the last third would bring, or `None` where that is within the noise.

    The trend of the last third is carried on, slowed once more by as much as it slowed from the third before.
    The validation loss is judged where there are enough passes, else the training loss. Several losses may
    work against each other, as in a GAN: there is no promise then.
    """
    if several_losses(run):
        return None
    for signal, name, least in ((valid_loss, "validation loss", PASSES), (loss, "training loss", LOSSES)):
        steps, values = readings(run, signal)
        if len(values) >= least:
            return _extrapolate(name, steps, values)
    return None


def readings(run: Run, signal: Signal) -> tuple[stats.Floats, stats.Floats]:
    """Steps and values of what belongs to the whole run, and nothing where it was not read."""
    if signal not in run:
        return np.empty(0), np.empty(0)
    steps, values = run[signal].at()
    return steps.astype(np.float64), values


def several_losses(run: Run) -> bool:
    """More than one loss is minimised, each with an eye of its own."""
    return loss in run and len(run[loss].places) > 1


def _extrapolate(name: str, steps: stats.Floats, values: stats.Floats) -> Promise | None:
    last = max(5, len(values) // 3)
    if not np.isfinite(values[-last:]).all():
        return None
    now = _trend(steps[-last:], values[-last:])
    if not now.high < 0:
        return None
    before = _trend(steps[-2 * last : -last], values[-2 * last : -last])
    slowing = min(1.0, now.slope / before.slope) if before.slope < 0 else 1.0
    span = float(steps[-1] - steps[-last])
    fall, low, high = (-slope * span * slowing for slope in (now.slope, now.high, now.low))
    few = max(1, last // 4)
    first, level = stats.level(values[:few]), stats.level(values[-few:])
    worth = GAIN * max(abs(first), first - level)
    return Promise(name, level, fall, low, high, round(span)) if fall > worth else None


def _trend(steps: stats.Floats, values: stats.Floats) -> stats.Slope:
    return stats.theil_sen(*stats.blocks(steps, values, POINTS))
