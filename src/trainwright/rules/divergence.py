"""Whether a loss ran away: the consequence of steps that are too large."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .. import stats
from ..core import Evidence, Run
from ..signals import constant_loss, loss

ABOVE = 1.5
"""A loss this many times above where it began has risen: twice what batches of healthy runs scatter."""

FAR = 10.0
"""Where training began above the constant prediction: a loss that stays this many times above it has not "
"come down."""

FEW = 5
"""Losses whose median is the beginning or the end of the shortest runs."""


class Divergence(NamedTuple):
    """How far the loss ran away."""

    now: float
    """Median of the last tenth of the losses; infinite where they are not finite."""
    limit: float
    """What it should lie below: its start, or the constant prediction's."""
    reference: str
    """What that is, in words."""
    step: int
    """First step at which the loss was above `limit` and stayed there."""

    @property
    def sentence(self) -> str:
        """The consequence, in words that can follow a comma."""
        now = f"is {self.now:.4g}" if np.isfinite(self.now) else "is not finite"
        return f"the loss {now} since step {self.step}, while {self.reference} is {self.limit:.4g}"

    @property
    def evidence(self) -> Evidence:
        """The loss beside its reference."""
        return Evidence(f"loss at the end, limit: {self.reference}", self.now, self.limit, "loss")


def diverged(run: Run) -> Divergence | None:
    """How the loss ran away, or `None` where it did not, or where no such thing can be told.

    It cannot be told where several losses are trained: in a GAN one may rise because the other falls.
    """
    if loss not in run or len(run[loss].places) != 1:
        return None
    steps, losses = run[loss].at()
    if len(losses) < FEW or not np.isfinite(losses[0]):
        return None
    start = stats.level(losses[:FEW])
    now = float(np.median(losses[-max(FEW, len(losses) // 10) :]))
    reference = run[constant_loss].at()[1] if constant_loss in run else np.empty(0)
    constant = float(reference[-1]) if len(reference) else float("nan")
    if not np.isfinite(losses[-1]) and not np.isfinite(losses[len(losses) // 2 :]).all():
        now = float("inf")  # it ended in NaN, however short its last part was
    if not np.isfinite(now) or now > ABOVE * max(losses[0], constant if constant > 0 else FAR * start) > 0:
        limit, words = float(losses[0]), "its first value"
    elif constant > 0 and now > FAR * constant and start > FAR * constant:
        limit, words = constant, "the best constant prediction's"
    else:
        return None
    below = np.flatnonzero(losses <= limit)
    since = min(int(below[-1]) + 1, len(steps) - 1) if len(below) else 0
    return Divergence(now, limit, words, int(steps[since]))
