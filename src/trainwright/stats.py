"""Robust statistics of noisy series: each formula once, with its source. numpy only.

Every function leaves out values that are not finite, and answers NaN (or `None`) where too few are left.
"""

from __future__ import annotations

from itertools import pairwise
from math import exp, floor, sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

NORMAL = 1.482602218505602
"""Standard deviation of a normal distribution over its median absolute deviation: 1 / Φ⁻¹(3/4)."""

Z95 = 1.959963984540054
"""Half the width of a two-sided 95 % interval of the standard normal: Φ⁻¹(0.975)."""

POINTS = 300
"""Most points whose pairs `theil_sen` compares: 45,000 slopes, a few milliseconds."""


class Slope(NamedTuple):
    """A trend and its 95 % interval, in y per x; NaN where there are fewer than two points."""

    slope: float
    low: float
    high: float


def level(values: npt.ArrayLike) -> float:
    """Where the values lie: their median, which a minority of outliers cannot move far.

    >>> level([1.0, 2.0, 3.0, 1e9, float("inf")])
    2.5
    """
    kept = _finite(values)
    return float(np.median(kept)) if kept.size else float("nan")


def median_abs_deviation(values: npt.ArrayLike) -> float:
    """Spread about the median, scaled so that for normal values it is their standard deviation.

    Source: Hampel, "The influence curve and its role in robust estimation", JASA 1974.

    >>> round(median_abs_deviation([1.0, 2.0, 3.0, 4.0, 1e9]), 4)
    1.4826
    """
    kept = _finite(values)
    return NORMAL * float(np.median(np.abs(kept - np.median(kept)))) if kept.size else float("nan")


def smooth(values: npt.ArrayLike, width: int) -> Floats:
    """Running median over `width` values centred on each; at the ends the window is cut, not padded.

    Args:
        values: `(readings,)`; as long as what comes back.
        width: readings in a window; an even width is taken one larger, so that there is a centre.

    >>> smooth([1, 1, 9, 1, 1], 3)
    array([1., 1., 1., 1., 1.])
    """
    x = np.asarray(values, np.float64)
    if width < 1:
        raise ValueError(f"`width` is {width}; a window holds at least 1 value.")
    half = width // 2
    if half == 0 or x.size == 0:
        return x.copy()
    out = np.empty(x.size)
    if x.size > 2 * half and np.isfinite(x).all():
        out[half : x.size - half] = np.median(
            np.lib.stride_tricks.sliding_window_view(x, 2 * half + 1), axis=1
        )
        cut = [*range(half), *range(x.size - half, x.size)]
    else:
        cut = list(range(x.size))
    for i in cut:
        out[i] = level(x[max(0, i - half) : i + half + 1])
    return out


def theil_sen(x: npt.ArrayLike, y: npt.ArrayLike) -> Slope:
    """Trend of y over x: the median slope of all pairs of points, with the interval that their ranks give.

    Right as long as less than 29 % of the points are outliers. More than 300 points are first thinned to the
    medians of 300 neighbouring groups. The interval takes noise to be independent from point to point: thin a
    series that is not with `blocks`.

    Args:
        x: `(readings,)`, in any order.
        y: `(readings,)`.

    Source: Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 1968; we do not
    correct the variance for ties in y, which makes the interval too wide, never too narrow.

    >>> theil_sen([0, 1, 2, 3, 4], [0, 2, 4, 6, 1000]).slope
    2.0
    """
    at, of = _pairs(x, y)
    at, of = blocks(at, of, POINTS)
    first, second = np.triu_indices(at.size, 1)
    run = at[second] - at[first]
    first, second, run = first[run != 0], second[run != 0], run[run != 0]
    if not run.size:
        return Slope(float("nan"), float("nan"), float("nan"))
    slopes = np.sort((of[second] - of[first]) / run)
    ties = np.unique(at, return_counts=True)[1]
    variance = float(_unordered(np.array([at.size])).sum() - _unordered(ties).sum()) / 18
    low = max(floor((slopes.size - Z95 * sqrt(variance)) / 2) - 1, 0)
    return Slope(float(np.median(slopes)), float(slopes[low]), float(slopes[slopes.size - 1 - low]))


def blocks(x: npt.ArrayLike, y: npt.ArrayLike, count: int) -> tuple[Floats, Floats]:
    """At most `count` points in place of many: the medians of neighbouring groups of about equal size.

    >>> blocks([0, 1, 2, 3, 4, 5], [0, 9, 0, 2, 2, 2], 2)
    (array([1., 4.]), array([0., 2.]))
    """
    at, of = _pairs(x, y)
    if at.size <= count:
        return at, of
    cuts = np.linspace(0, at.size, count + 1).round().astype(np.int64)
    groups = list(pairwise(cuts))
    return (
        np.array([np.median(at[a:b]) for a, b in groups]),
        np.array([np.median(of[a:b]) for a, b in groups]),
    )


def change_point(values: npt.ArrayLike, p: float = 0.01) -> int | None:
    """Index of the first value after the level has changed, or `None` where chance explains the difference.

    It finds one change, the one that best parts the values in two by rank; a trend counts as one too.

    Args:
        values: `(readings,)`, in order of time; one that is not finite only counts in the index.
        p: the most that the chance of such a difference between halves of one distribution may be, in 0..1.

    Source: Pettitt, "A non-parametric approach to the change-point problem", Applied Statistics 1979.

    >>> change_point([1, 2, 1, 2, 1, 2, 1, 2, 7, 8, 7, 8, 7, 8, 7, 8])
    8
    """
    x = np.asarray(values, np.float64)
    places = np.flatnonzero(np.isfinite(x))
    n = places.size
    if n < 2:
        return None
    _, inverse, counts = np.unique(x[places], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # equal values share the mean of their ranks
    parted = np.abs(2 * np.cumsum(ranks) - np.arange(1, n + 1) * (n + 1))[:-1]
    best = int(np.argmax(parted))
    chance = 2 * exp(-6 * float(parted[best]) ** 2 / (n**3 + n**2))
    return int(places[best + 1]) if chance < p else None


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """95 % interval of a share of which `hits` of `tries` were seen; sensible at 0 of n and n of n, too.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", JASA 1927.

    >>> [round(end, 3) for end in wilson(0, 25)]
    [0.0, 0.133]
    """
    if not 0 <= hits <= tries or tries == 0:
        raise ValueError(f"{hits} of {tries} is no share: it takes 0 <= hits <= tries and at least one try.")
    share, z2 = hits / tries, Z95**2
    centre = (share + z2 / (2 * tries)) / (1 + z2 / tries)
    half = Z95 / (1 + z2 / tries) * sqrt(share * (1 - share) / tries + z2 / (4 * tries**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _finite(values: npt.ArrayLike) -> Floats:
    x = np.asarray(values, np.float64).reshape(-1)
    return x[np.isfinite(x)]


def _unordered(ties: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """18 times the variance of Kendall's score among that many points."""
    return ties * (ties - 1) * (2 * ties + 5)


def _pairs(x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both as floats, in order of x; points that are not finite are left out."""
    at, of = np.asarray(x, np.float64).reshape(-1), np.asarray(y, np.float64).reshape(-1)
    if at.size != of.size:
        raise ValueError(f"`x` has {at.size} values and `y` has {of.size}; each point needs one of both.")
    kept = np.isfinite(at) & np.isfinite(of)
    order = np.argsort(at[kept], kind="stable")
    return at[kept][order], of[kept][order]
