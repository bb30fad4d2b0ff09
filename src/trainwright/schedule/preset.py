"""The same rate, preset steps, and a fall at a constant pace."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeAlias

from ._arguments import count, fraction, past

__all__ = ["Schedule", "constant", "exponential", "milestones", "staircase"]

Schedule: TypeAlias = Callable[[int], float]
"""Optimiser step, from 0, to factor of the learning rate."""


def constant(factor: float = 1.0) -> Schedule:
    """The same factor at every step.

    Args:
        factor: at least 0.

    Returns:
        Step to factor.

    Raises:
        ValueError: a factor that is negative or not finite.

    Helps: as a part of others, and as the control in an experiment: a well chosen constant rate is hard to beat early.

    Harms: the end of a run, where noise of a large rate keeps the loss up.

    Costs: nothing.

    Source: Robbins & Monro, "A stochastic approximation method", 1951, which needs it to fall in the end.

    >>> import torch
    >>> sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    >>> torch.optim.lr_scheduler.LambdaLR(sgd, constant(0.5)).get_last_lr()
    [0.05]
    """
    fraction("constant", factor=factor, most=float("inf"))

    def at(step: int) -> float:
        past(step)
        return factor

    return at


def staircase(every: int, factor: float = 0.5) -> Schedule:
    """Preset steps: every so many optimiser steps the rate is multiplied by `factor`; by default it halves.

    Args:
        every: steps on one stair; epochs, if put through `per_epoch`.
        factor: in (0, 1].

    Returns:
        Step to factor.

    Raises:
        ValueError: `every` below 1, or a factor outside (0, 1].

    Helps: long runs whose length is not known in advance.

    Harms: stairs too short leave the rate near zero while there is much to learn.

    Costs: nothing.

    Source: as `torch.optim.lr_scheduler.StepLR`.

    >>> halve = staircase(every=30)
    >>> [halve(step) for step in (0, 29, 30, 59, 60)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    count("staircase", every=every)
    fraction("staircase", factor=factor, above=0)
    return lambda step: float(factor ** (past(step) // every))


def milestones(at: Sequence[int], factor: float = 0.1) -> Schedule:
    """Preset steps at chosen places: from each of `at` on, the rate is multiplied by `factor` once more.

    Args:
        at: optimiser steps, rising.
        factor: in (0, 1].

    Returns:
        Step to factor.

    Raises:
        ValueError: places that do not rise or lie below 1, or a factor outside (0, 1].

    Helps: repeating a published recipe ("divided by 10 after 60 and 80 epochs").

    Harms: copied to a run of another length.

    Costs: nothing.

    Source: as `torch.optim.lr_scheduler.MultiStepLR`.

    >>> drop = milestones([60, 80])
    >>> [drop(step) for step in (59, 60, 80)]
    [1.0, 0.1, 0.01...]
    """
    places = list(at)
    for place in places:
        count("milestones", at=place)
    if any(a >= b for a, b in pairwise(places)):
        raise ValueError(f"milestones() got at={places}; the steps must rise, e.g. [60, 80].")
    fraction("milestones", factor=factor, above=0)
    return lambda step: float(factor ** bisect_right(places, past(step)))


def exponential(per_step: float) -> Schedule:
    """The rate is multiplied by `per_step` at every step.

    Args:
        per_step: in (0, 1]; `0.01 ** (1 / 9000)` brings it to a hundredth in 9,000 steps.

    Returns:
        Step to factor.

    Raises:
        ValueError: `per_step` outside (0, 1].

    Helps: runs that shall slow down at the same pace for ever.

    Harms: a factor chosen per epoch (0.95) and used per step ends training within a hundred steps.

    Costs: nothing.

    Source: as `torch.optim.lr_scheduler.ExponentialLR`, by a power instead of repeated products, so without drift.

    >>> fall = exponential(0.01 ** (1 / 9000))
    >>> [round(fall(step), 3) for step in (0, 4500, 9000)]
    [1.0, 0.1, 0.01]
    """
    fraction("exponential", per_step=per_step, above=0)
    return lambda step: float(per_step ** past(step))
