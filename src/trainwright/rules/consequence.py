"""How a run stands: the shown consequence that turns a symptom into harm."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from .. import stats
from ..core import Evidence, Run
from ..signals import constant_loss, loss

STEPS = 40
"""Fewer losses than this show no consequence: healthy nets, above all recurrent ones, may idle for twenty."""

MARGIN = 0.02
"""A loss within 2 % of the constant predictor's has learned nothing, however exactly both are known."""

TREND = 0.02
"""A loss that falls by less than 2 % of itself over half of the run does not improve."""


class Standing(NamedTuple):
    """Where the training loss stands at the end of what was seen."""

    late: float
    """Median over the last quarter of the steps; infinite where most of them are not finite."""
    constant: float
    """The loss of the best constant prediction; NaN = unknown."""
    error: float
    """Standard error of the difference of the two, from the spread of the late losses."""
    improving: bool
    """It still falls, beyond its own noise, over the last half of the steps."""
    steps: tuple[int, int]
    """First and last step of the last quarter."""

    @property
    def learned(self) -> bool | None:
        """The loss is better than a constant prediction's beyond noise; `None` = no reference."""
        if not self.constant > 0:
            return None
        return self.late < self.constant - max(MARGIN * self.constant, self.error)

    @property
    def stuck(self) -> bool:
        """No better than a constant prediction, and not on the way there: the consequence that makes harm."""
        return self.learned is False and not self.improving

    @property
    def evidence(self) -> Evidence:
        """The loss beside its reference."""
        return Evidence(
            "loss of the last quarter, limit: the best constant", self.late, self.constant, "loss"
        )


def standing(run: Run) -> Standing | None:
    """How the run stands, or `None` where fewer than 40 losses were seen."""
    steps, losses = run[loss].at() if loss in run else (np.empty(0, np.int64), np.empty(0))
    if len(losses) < STEPS:
        return None
    quarter, half = losses[-(len(losses) // 4) :], losses[len(losses) // 2 :]
    late = float(np.median(quarter))
    # Twenty medians of neighbours, which share their weights: single losses are not independent.
    trend = stats.theil_sen(*stats.blocks(np.arange(len(half)), half, 20))
    fall = -trend.slope * len(half)
    # Of several losses, as in a GAN, one may rise because another falls: no constant is a reference for that.
    known = constant_loss in run and len(run[loss].places) == 1
    reference = run[constant_loss].at()[1] if known else np.empty(0)
    # The reference is a sample's, too: a batch a reading. A median errs by 1.25 times what a mean does.
    batches = 1 / len(quarter) + 1 / max(len(reference), 1)
    return Standing(
        late,
        float(reference[-1]) if len(reference) else float("nan"),
        1.25 * stats.median_abs_deviation(quarter) * sqrt(batches) if np.isfinite(late) else 0.0,
        bool(np.isfinite(late) and trend.high < 0 and fall > TREND * abs(late)),
        (int(steps[-len(quarter)]), int(steps[-1])),
    )


def no_better(run: Run) -> bool:
    """Whether the last losses, however few, are no better than a constant prediction's, within noise."""
    if loss not in run or constant_loss not in run or len(run[loss].places) != 1:
        return False
    losses, reference = run[loss].at()[1], run[constant_loss].at()[1]
    if not len(losses) or not len(reference):
        return False
    last = losses[-10:]
    noise = 2 * stats.median_abs_deviation(last) / len(last) ** 0.5
    return bool(np.median(last[-5:]) + noise >= (1 - MARGIN) * reference[-1]) or not np.isfinite(last[-1])
