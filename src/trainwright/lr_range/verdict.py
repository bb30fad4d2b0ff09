"""What a sweep shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, sqrt

import numpy as np
import numpy.typing as npt

__all__ = ["RangeTest", "judge"]

Floats = npt.NDArray[np.float64]

WIDTH = 0.15
"""Standard deviation of the window that smooths the losses, in decades of the rate."""
FEWEST = 10
"""Finite losses without which nothing is said."""
SIGNIFICANT = 3.0
"""The loss must fall by this many standard errors of its smoothed value: the lowest of some fifty independent ones that
do not fall lies about 2.3 below their level."""


@dataclass(frozen=True, repr=False)
class RangeTest:
    """What a sweep saw, and the rate that it suggests; print it to see the curve.

    Helps: plotting `losses` and `smoothed` over `rates` (logarithmic) to judge for oneself.

    Harms: nothing.

    Costs: nothing.

    Source: `range_test` makes it.

    >>> judge([1e-3, 1e-2], [1.0, 1.0]).suggestion is None
    True
    """

    rates: Floats
    """`(steps,)`, rising; of the largest parameter group."""
    losses: Floats
    """`(steps,)`, each of the batch before its step; the last may be not finite."""
    smoothed: Floats
    """`(steps,)`, as the suggestion sees them."""
    suggestion: float | None
    """A rate to begin with; `None` where the sweep shows none."""
    reason: str
    """Why it is that, or why there is none."""
    trials: Mapping[float, float] = field(default_factory=dict)
    """Loss at the end of each confirming run, by its rate; infinite where it blew up or ended higher than it began."""

    def __repr__(self) -> str:
        head = f"suggestion {self.suggestion:.2g}" if self.suggestion is not None else "no suggestion"
        if not self.rates.size:
            return f"RangeTest: {head}. {self.reason}"
        return (
            f"RangeTest: {head}. {self.reason}\n"
            f"  {_bars(self.smoothed)}\n"
            f"  {self.rates[0]:<8.1g}{'rate':^{max(len(_bars(self.smoothed)) - 16, 4)}}{self.rates[-1]:>8.1g}"
        )


@np.errstate(over="ignore", invalid="ignore")  # of absurd losses no rate comes, and no warning
def judge(rates: npt.ArrayLike, losses: npt.ArrayLike) -> RangeTest:
    """The rate that a finished sweep suggests, or the reason why it suggests none.

    Args:
        rates: `(steps,)`, rising by equal factors.
        losses: `(steps,)`, the loss before each step; what follows the first that is not finite is left out.

    Returns:
        As `range_test`, which calls it.

    Raises:
        ValueError: rates that do not rise, or not as many losses.

    Helps: sweeps made by a loop of one's own.

    Harms: nothing.

    Costs: nothing.

    Source: ours; see `range_test`.

    >>> import numpy as np
    >>> rates = np.geomspace(1e-6, 10, 100)
    >>> print(judge(rates, 1 / (1 + 1000 * rates) + rates**2))
    RangeTest: suggestion 0.0029. Half of ...
    """
    r, y = np.asarray(rates, np.float64), np.asarray(losses, np.float64)
    if r.ndim != 1 or r.shape != y.shape or not (np.diff(r) > 0).all() or not (r > 0).all():
        raise ValueError(
            f"judge() got rates {r.shape} and losses {y.shape}; as many of both, and rates that rise."
        )
    finite = np.isfinite(y)
    n = int(finite.argmin()) if not finite.all() else y.size
    r, y = r[: n + 1], y[: n + 1]
    if n < FEWEST:
        at = (
            f"was {y[n]} at step {n}, before the rate could matter. Look for it in the data"
            if n < y.size
            else f"has {n} values"
        )
        return RangeTest(r, y, y, None, f"The loss {at}; a suggestion takes {FEWEST} at least.")
    x, kept = np.log10(r[:n]), y[:n]
    head = max(FEWEST, n // 5)  # where nothing moves yet
    level = float(np.median(kept[:head]))
    width = max(WIDTH / float(np.median(np.diff(x))), 1.0)
    clipped = np.minimum(kept, level + 2 * (level - kept.min()))  # else the blow-up would reach back
    smoothed = _gaussian(clipped, width)
    lowest = int(smoothed.argmin())
    fall = level - float(smoothed[lowest])
    scatter = max(_error(clipped[:head], width), _error(clipped[: lowest + 1], width))
    behind = np.flatnonzero(smoothed <= level - fall / 2)
    half = int(behind[0]) if behind.size else 0

    def none(why: str) -> RangeTest:
        return RangeTest(r, y, _padded(smoothed, y.size), None, why)

    if not fall > SIGNIFICANT * scatter:
        return none(
            f"The loss fell by {max(fall, 0):.2g} at most, with a noise of {scatter:.2g} after smoothing: no rate "
            f"trains within {n} steps. Sweep with more of them or larger batches, or look at data, loss and weights."
        )
    if half < FEWEST // 2 or smoothed[0] - smoothed[FEWEST - 1] > fall / 2:
        return none(f"The loss falls from the first rate on. Sweep from lower than {r[0]:.1g}.")
    risen = float(smoothed[-1]) > smoothed[lowest] + fall / 4
    if n < y.size and not risen:
        return none(
            f"The loss became {y[n]} at rate {r[n]:.1g} without having risen before, so it may not be the rate: look "
            f"for a batch with NaN, or for overflow in half precision."
        )
    if not risen and smoothed[-FEWEST] - smoothed[-1] > fall / 4:
        return none(f"The loss is still falling at rate {r[n - 1]:.1g}. Sweep to a higher one.")
    found = float(10 ** ((x[half] + x[lowest] - 1) / 2))
    ends = f"grows again up to {r[n - 1]:.1g}" if risen else f"has not blown up at {r[n - 1]:.1g}"
    why = f"Half of the loss's fall lies behind at rate {r[half]:.1g}, it is lowest at {r[lowest]:.1g}, and {ends}."
    return RangeTest(r, y, _padded(smoothed, y.size), found, why)


def _gaussian(values: Floats, width: float) -> Floats:
    """Means weighted by distance in steps; at the ends the window is cut."""
    i = np.arange(values.size)
    weights = np.exp(-0.5 * ((i[:, None] - i[None]) / width) ** 2)
    smoothed: Floats = (weights @ values) / weights.sum(1)
    return smoothed


def _error(values: Floats, width: float) -> float:
    """Standard error of the smoothed last value, from those before it only: behind it may lie the blow-up."""
    weights = np.exp(-0.5 * (np.arange(1 - values.size, 1) / width) ** 2)
    weights /= weights.sum()
    spread = sqrt(float(weights @ (values - weights @ values) ** 2))
    return spread * sqrt(float((weights**2).sum()))


def _padded(values: Floats, size: int) -> Floats:
    return np.concatenate([values, np.full(size - values.size, np.nan)])


def _bars(values: Floats, columns: int = 60) -> str:
    """A line of characters, low to high; `x` is not finite."""
    finite = values[np.isfinite(values)]
    low, span = (float(finite.min()), float(np.ptp(finite)) or 1.0) if finite.size else (0.0, 1.0)
    picked = values[np.linspace(0, values.size - 1, min(columns, values.size)).round().astype(int)]
    heights = (picked - low) / span * 7.99
    return "".join("▁▂▃▄▅▆▇█"[int(h)] if isfinite(h) else "x" for h in heights)
