"""From numbers to places on a chart: ranges, ticks, and series made short enough to draw."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DECADES = 14
"""Most decades that a log axis spans: below float32's resolution of the largest value there is nothing to see."""


@dataclass(frozen=True)
class Axis:
    """A range of numbers laid along a line."""

    low: float
    high: float
    log: bool = False

    def at(self, values: npt.ArrayLike) -> Floats:
        """Where values lie: 0 at the low end, 1 at the high end, clipped to that.

        >>> Axis(1, 100, log=True).at([0, 1, 10, 1000])
        array([0. , 0. , 0.5, 1. ])
        """
        x = np.asarray(values, np.float64)
        low, high = self.low, self.high
        if self.log:
            x = np.log10(np.maximum(x, low))
            low, high = math.log10(low), math.log10(high)
        return np.clip((x - low) / (high - low), 0, 1)

    def ticks(self, wanted: int = 6) -> list[float]:
        """Round numbers inside the range, about as many as wanted.

        >>> Axis(0, 97).ticks(5), Axis(1e-6, 2, log=True).ticks(4), Axis(0.02, 2, log=True).ticks(5)
        ([0.0, 20.0, 40.0, 60.0, 80.0], [1e-06, 0.0001, 0.01, 1.0], [0.03, 0.1, 0.3, 1.0])
        """
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            if last - first >= 2:
                stride = max(1, math.ceil((last - first) / wanted))
                return [float(f"1e{k}") for k in range(first, last + 1, stride)]
            for multiples in ((1, 2, 5), (1, 3), (1,)):
                fine = [float(f"{m}e{k}") for k in range(first - 1, last + 1) for m in multiples]
                inside = [t for t in fine if self.low * (1 - 1e-9) <= t <= self.high * (1 + 1e-9)]
                if 2 <= len(inside) <= wanted:
                    return inside
        span = self.high - self.low
        raw = span / wanted
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(m * unit for m in (1, 2, 5, 10) if m * unit >= raw * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        return [round(k * step, 12) for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def steps_axis(runs: Iterable[npt.NDArray[np.int64]], floor: int = 1) -> Axis:
    """From the first step of any series to the last of any, and at least `floor` steps long."""
    ends = [int(s) for steps in runs if len(steps) for s in (steps[0], steps[-1])]
    low = min(ends, default=0)
    return Axis(low, max(*ends, low + floor) if ends else low + floor)


def linear(values: npt.ArrayLike) -> Axis:
    """A range that holds all finite values with a little air, and zero where that is near."""
    x = np.asarray(values, np.float64)
    x = x[np.isfinite(x)]
    if not len(x):
        return Axis(0, 1)
    low, high = float(x.min()), float(x.max())
    if 0 <= low < 0.5 * high:
        low = 0.0
    air = 0.06 * (high - low) or max(abs(high) * 0.5, 1e-9)
    return Axis(low - air if low else 0.0, high + air)


def logarithmic(values: npt.ArrayLike) -> Axis:
    """A log range over all positive finite values: at least one decade, at most 14."""
    x = np.asarray(values, np.float64)
    x = x[np.isfinite(x) & (x > 0)]
    if not len(x):
        return Axis(1e-3, 1.0, log=True)
    high = math.log10(float(x.max()))
    low = max(math.log10(float(x.min())), high - DECADES)
    air = max(0.04 * (high - low), (1 - (high - low)) / 2)
    return Axis(10 ** max(-300, low - air), 10 ** min(300, high + air), log=True)


def fitting(values: npt.ArrayLike, decades: float = 1.5) -> Axis:
    """Logarithmic where all values are positive and span more than `decades`, otherwise linear."""
    x = np.asarray(values, np.float64)
    x = x[np.isfinite(x)]
    if len(x) and x.min() > 0 and math.log10(x.max()) - math.log10(x.min()) > decades:
        return logarithmic(x)
    return linear(x)


def extremes(values: Floats, pieces: int) -> npt.NDArray[np.int64]:
    """Which values to draw: the lowest and the highest of each of `pieces` stretches, so that spikes survive.

    The first and the last value are always among them; what is not finite is never.

    >>> extremes(np.array([0.0, 5, 1, 1, 1, -9, 1, 2]), 2)
    array([0, 1, 5, 7])
    """
    finite = np.flatnonzero(np.isfinite(values))
    if len(finite) <= 2 * pieces:
        return finite
    keep = {int(finite[0]), int(finite[-1])}
    for stretch in np.array_split(finite, pieces):
        here = values[stretch]
        keep |= {int(stretch[here.argmin()]), int(stretch[here.argmax()])}
    return np.array(sorted(keep), np.int64)


def trend(steps: npt.NDArray[np.int64], values: Floats, pieces: int) -> tuple[Floats, Floats]:
    """The median of each of `pieces` stretches, at its middle step."""
    finite = np.flatnonzero(np.isfinite(values))
    stretches = np.array_split(finite, min(pieces, max(1, len(finite))))
    return (
        np.array([float(np.mean(steps[s])) for s in stretches if len(s)]),
        np.array([float(np.median(values[s])) for s in stretches if len(s)]),
    )
