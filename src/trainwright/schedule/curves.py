"""Curves that fall from 1 to an end, which stays."""

from __future__ import annotations

from math import cos, pi, sqrt

from ._arguments import count, fraction, past
from .preset import Schedule

__all__ = ["cosine", "linear", "polynomial", "square_root"]


def linear(steps: int, *, start: float = 1.0, end: float = 0.0) -> Schedule:
    """A straight line from `start` to `end`, which stays there.

    Args:
        steps: length, at least 1; `end` is reached at step `steps`.
        start: factor at step 0, at least 0.
        end: factor at the end, at least 0.

    Returns:
        Step to factor.

    Raises:
        ValueError: `steps` below 1; a factor that is negative or not finite.

    Helps: fine-tuning; the last part of a run with a constant rate.

    Harms: nothing in particular; when in doubt between it and a cosine, they end within noise of one another.

    Costs: nothing.

    Source: as `torch.optim.lr_scheduler.LinearLR`; Defazio et al., "Optimal linear decay learning rate schedules",
    2023.

    >>> [linear(4)(step) for step in range(6)]
    [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """
    count("linear", steps=steps)
    fraction("linear", start=start, most=float("inf"))
    fraction("linear", end=end, most=float("inf"))
    return lambda step: between(end, start, 1 - progress(step, steps))


def polynomial(steps: int, power: float = 2.0, *, end: float = 0.0) -> Schedule:
    """(1 − step/steps)^power, from 1 to `end`.

    Args:
        steps: length, at least 1.
        power: above 0; 1 is a line, larger ones fall early.
        end: factor at the end, in [0, 1].

    Returns:
        Step to factor.

    Raises:
        ValueError: an argument outside its range.

    Helps: segmentation recipes, which use 0.9.

    Harms: nothing in particular.

    Costs: nothing.

    Source: as `torch.optim.lr_scheduler.PolynomialLR`, with an end.

    >>> [polynomial(4)(step) for step in range(5)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0]
    """
    count("polynomial", steps=steps)
    fraction("polynomial", power=power, above=0, most=float("inf"))
    fraction("polynomial", end=end)
    return lambda step: between(end, 1.0, float((1 - progress(step, steps)) ** power))


def square_root(steps: int, *, end: float = 0.0) -> Schedule:
    """1 − √(step/steps): a steep fall that flattens, for the last part of `warm_up_stable_decay`.

    Args:
        steps: length, at least 1.
        end: factor at the end, in [0, 1].

    Returns:
        Step to factor.

    Raises:
        ValueError: an argument outside its range.

    Helps: cooling down after a long time at a constant rate.

    Harms: as the schedule of a whole run: half the rate is gone after a quarter of the steps.

    Costs: nothing.

    Source: Hägele et al., "Scaling laws and compute-optimal training beyond fixed training durations", 2024 ("1-sqrt").

    >>> [square_root(4)(step) for step in (0, 1, 4)]
    [1.0, 0.5, 0.0]
    """
    count("square_root", steps=steps)
    fraction("square_root", end=end)
    return lambda step: between(end, 1.0, 1 - sqrt(progress(step, steps)))


def cosine(steps: int, *, end: float = 0.0) -> Schedule:
    """Half a cosine from 1 to `end`, which stays there.

    Args:
        steps: length, at least 1: the optimiser steps of the whole run (less its warm-up).
        end: factor at the end, in [0, 1].

    Returns:
        Step to factor.

    Raises:
        ValueError: an argument outside its range.

    Helps: nearly any run whose length is known.

    Harms: a run that is cut short, which never had its small rates, and one that goes on, which has nothing but them.

    Costs: nothing.

    Source: Loshchilov & Hutter, "SGDR", ICLR 2017, equation 5. As torch's `CosineAnnealingLR` up to `steps`; after
    that torch's climbs again.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> scheduler = torch.optim.lr_scheduler.LambdaLR(sgd, cosine(100))
    >>> [round(0.1 * cosine(100)(step), 3) for step in (0, 50, 100, 150)]
    [0.1, 0.05, 0.0, 0.0]
    """
    count("cosine", steps=steps)
    fraction("cosine", end=end)
    return lambda step: between(end, 1.0, wave(progress(step, steps)))


def wave(share: float) -> float:
    """Half a cosine: from 1 at 0 to 0 at 1, both exactly."""
    return (1 + cos(pi * share)) / 2


def progress(step: int, steps: int) -> float:
    """Share of the way, in [0, 1]."""
    return min(past(step), steps) / steps


def between(low: float, high: float, share: float) -> float:
    """From `low` at share 0 to `high` at share 1, both exactly, and never outside: rounding may not flip a sign."""
    value = low * (1 - share) + high * share
    return min(max(value, min(low, high)), max(low, high))
