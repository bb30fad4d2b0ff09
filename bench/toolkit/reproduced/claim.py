"""What a row of the table is: a paper's claim, what was measured here, and the verdict of a stated criterion."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats


class Row(NamedTuple):
    """One claim and its measurement."""

    paper: str
    says: str
    measured: str
    figures: str
    criterion: str
    agrees: bool


class Mean(NamedTuple):
    """A mean over seeds and its 95 % interval (Student's t)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


def mean(values: Sequence[float]) -> Mean:
    """The mean over seeds; what is not finite makes it infinite."""
    x = np.asarray(values, np.float64)
    if not np.isfinite(x).all():
        return Mean(float("inf"), float("inf"), float("inf"))
    half = float(stats.t.ppf(0.975, len(x) - 1)) * float(x.std(ddof=1)) / sqrt(len(x)) if len(x) > 1 else 0.0
    return Mean(float(x.mean()), float(x.mean()) - half, float(x.mean()) + half)
