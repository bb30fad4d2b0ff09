"""Whether a loss ran away: the consequence of steps that are too large."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .. import stats
from ..core import Evidence, Run
from ..signals import constant_loss, loss
from .consequence import no_better, standing

ABOVE = 1.5
"""A loss this many times above where it began has risen: twice what batches of healthy runs scatter."""

FAR = 10.0
"""Where training began above the constant prediction: a loss that stays this many times above it has not "
"come down."""

FEW = 5
"""Losses whose median is the beginning or the end of the shortest runs."""

CONSTANT = "the best constant prediction's"


class Divergence(NamedTuple):
    """How far the loss ran away."""

    top: float
    """The highest loss; infinite where one is not finite."""
    now: float
    """Median of the last tenth of the losses; infinite where it ended in one that is not finite."""
    limit: float
    """What it should lie below: its start, or the constant prediction's."""
    reference: str
    """What that is, in words."""
    step: int
    """First step from which on the loss stayed above `limit`, or at which it was highest."""

    @property
    def sentence(self) -> str:
        """The consequence, in words that can follow a comma."""
        if self.now < ABOVE * self.limit:
            return (
                f"the loss rose to {self.top:.4g} at step {self.step} and is {self.now:.4g} now, no better "
                f"than "
                f"{self.reference} of {self.limit:.4g}"
            )
        now = f"is {self.now:.4g}" if np.isfinite(self.now) else "is not finite"
        return f"the loss {now} since step {self.step}, while {self.reference} is {self.limit:.4g}"

    @property
    def evidence(self) -> Evidence:
        """The loss beside its reference."""
        return Evidence(f"loss at the end, limit: {self.reference}", self.now, self.limit, "loss")


def diverged(run: Run) -> Divergence | None:
    """How the loss ran away, or `None` where it did not, or where no such thing can be told.

    It ended in losses that are not finite; or above its start and above a constant prediction's; or it began
    far above the latter and stays there; or it rose and, since it fell again, is no better than a constant
    prediction. It cannot be told where several losses are trained: in a GAN one may rise because the other
    falls.
    """
    if loss not in run or len(run[loss].places) != 1:
        return None
    steps, losses = run[loss].at()
    if len(losses) < FEW or not np.isfinite(losses[0]):
        return None
    first, start, top = float(losses[0]), stats.level(losses[:FEW]), float(losses.max())
    now = float(np.median(losses[-max(FEW, len(losses) // 10) :]))
    if not np.isfinite(losses[-1]) and not np.isfinite(losses[len(losses) // 2 :]).all():
        now = float("inf")  # it ended in NaN, however short its last part was
    reference = run[constant_loss].at()[1] if constant_loss in run else np.empty(0)
    constant = float(reference[-1]) if len(reference) else float("nan")
    known = constant > 0
    if not np.isfinite(now) or now > ABOVE * max(first, constant if known else FAR * start) > 0:
        return Divergence(top, now, first, "its first value", _since(steps, losses, first))
    if known and now > FAR * constant and start > FAR * constant:
        return Divergence(top, now, constant, CONSTANT, _since(steps, losses, constant))
    if known and top > ABOVE * max(first, constant) and _stuck(run):
        return Divergence(top, now, constant, CONSTANT, int(steps[int(np.argmax(losses))]))
    return None


def _stuck(run: Run) -> bool:
    stands = standing(run)
    return stands.stuck if stands else no_better(run)


def _since(steps: npt.NDArray[np.int64], losses: npt.NDArray[np.float64], limit: float) -> int:
    """First step from which on the loss is above the limit."""
    below = np.flatnonzero(losses <= limit)
    return int(steps[min(int(below[-1]) + 1, len(steps) - 1)]) if len(below) else int(steps[0])
