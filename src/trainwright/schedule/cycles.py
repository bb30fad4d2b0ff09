"""Curves that rise again."""

from __future__ import annotations

from ._arguments import count, fraction, past
from .curves import between, wave
from .preset import Schedule

__all__ = ["cyclical", "one_cycle", "warm_restarts"]


def warm_restarts(first: int, *, growth: int = 1, end: float = 0.0, shrink: float = 1.0) -> Schedule:
    """SGDR: a cosine from 1 to `end`, again and again, each `growth` times as long as the one before.

    Args:
        first: steps of the first cycle.
        growth: at least 1; with 2 the cycles end after 1, 3, 7, 15 times `first`.
        end: factor at the end of each cycle, in [0, 1].
        shrink: each restart begins at this share of the one before, in (0, 1]. Not below `end`.

    Returns:
        Step to factor.

    Raises:
        ValueError: an argument outside its range.

    Helps: several good models from one run (save the weights at the end of each cycle); a length not known in advance.

    Harms: a run that is stopped within a cycle: its loss has just gone up.

    Costs: nothing.

    Source: Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5. As torch's `CosineAnnealingWarmRestarts` stepped one
    by one; the cycle is found in whole numbers, where a logarithm in floating point misses some restarts.

    >>> sgdr = warm_restarts(10, growth=2)
    >>> [round(sgdr(step), 3) for step in (0, 5, 9, 10, 20, 30)]
    [1.0, 0.5, 0.024, 1.0, 0.5, 1.0]
    """
    count("warm_restarts", first=first, growth=growth)
    fraction("warm_restarts", end=end)
    fraction("warm_restarts", shrink=shrink, above=0)

    def at(step: int) -> float:
        past(step)
        if growth == 1:
            cycle, into, length = step // first, step % first, first
        else:
            cycle, into, length = 0, step, first
            while into >= length:
                cycle, into, length = cycle + 1, into - length, length * growth
        return between(end, max(float(shrink**cycle), end), wave(into / length))

    return at


def cyclical(up: int, down: int | None = None, *, low: float = 0.1, shrink: float = 1.0) -> Schedule:
    """A triangle, again and again: `up` steps from `low` to 1, `down` steps back.

    Args:
        up: steps of the rise.
        down: steps of the fall; `None`: no fall of its own, as long as the rise.
        low: factor at the feet, in [0, 1].
        shrink: height over `low` of each triangle as a share of the one before, in (0, 1]; 0.5 is "triangular2".

    Returns:
        Step to factor.

    Raises:
        ValueError: an argument outside its range.

    Helps: a rate known only to lie somewhere between two bounds.

    Harms: at a rate that is too large at the top, once in every cycle.

    Costs: nothing.

    Source: Smith, "Cyclical learning rates for training neural networks", WACV 2017. As torch's `CyclicLR` in modes
    triangular and triangular2, without its change of momentum.

    >>> [round(cyclical(2, 4, low=0.2)(step), 2) for step in range(7)]
    [0.2, 0.6, 1.0, 0.8, 0.6, 0.4, 0.2]
    """
    fall = up if down is None else down
    count("cyclical", up=up, down=fall)
    fraction("cyclical", low=low)
    fraction("cyclical", shrink=shrink, above=0)

    def at(step: int) -> float:
        cycle, into = divmod(past(step), up + fall)
        height = into / up if into <= up else (up + fall - into) / fall
        return between(low, 1.0, height * float(shrink**cycle))

    return at


def one_cycle(steps: int, *, rise: float = 0.3, start: float = 0.04, end: float = 4e-6) -> Schedule:
    """Up to the full rate and far down again, once, both by half a cosine.

    Args:
        steps: length of the run, at least 2. The last step, number `steps - 1`, has the factor `end`, as in torch; it
            stays there.
        rise: share of the steps that go up, in [0, 1).
        start: factor at step 0, in [0, 1].
        end: factor at the last step, in [0, 1].

    Returns:
        Step to factor.

    Raises:
        ValueError: an argument outside its range.

    Helps: short runs at a rate near the largest that still trains.

    Harms: a run that is stopped early or goes on.

    Costs: nothing.

    Source: Smith & Topin, "Super-convergence", 2018. As torch's `OneCycleLR`, whose rise takes `rise * steps - 1`
    steps, without its change of momentum, and without its rebound after the last step.

    >>> cycle = one_cycle(100)
    >>> [round(cycle(step), 3) for step in (0, 29, 99, 200)]
    [0.04, 1.0, 0.0, 0.0]
    """
    count("one_cycle", least=2, steps=steps)
    fraction("one_cycle", rise=rise)
    fraction("one_cycle", start=start)
    fraction("one_cycle", end=end)
    if rise == 1:
        raise ValueError(
            "one_cycle() got rise=1; then nothing is left to fall. Pass a share below 1, such as 0.3."
        )
    top, last = max(rise * steps - 1, 0.0), steps - 1

    def at(step: int) -> float:
        if past(step) < top:
            return between(1.0, start, wave(step / top))
        return between(end, 1.0, wave((min(step, last) - top) / (last - top)))

    return at
