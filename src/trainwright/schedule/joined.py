"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod

from ._arguments import count, fraction, past
from .curves import linear
from .preset import Schedule, constant

__all__ = ["join", "multiply", "per_epoch", "warm_up", "warm_up_stable_decay"]


def warm_up(steps: int, then: Schedule | None = None, *, start: float = 0.01) -> Schedule:
    """A line from `start` to where `then` begins, and `then` from its own step 0 on.

    Args:
        steps: length of the warm-up; 0 is none. Step `steps` is the first at the full rate.
        then: what follows, asked for `step - steps`; `None`: nothing follows, the rate stays.
        start: factor at step 0, in [0, 1]. With 0 the first step does nothing.

    Returns:
        Step to factor.

    Raises:
        ValueError: an argument outside its range.

    Helps: Adam, whose first steps are as large as its rate; large batches; transformers; a new head on old layers.

    Harms: nothing but the steps it takes; some hundred are enough, 1 to 5 % of a run.

    Costs: nothing.

    Source: Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2. As torch's `LinearLR` in `SequentialLR`,
    and as optax's `warmup_cosine_decay_schedule` with `then=cosine(...)`.

    >>> schedule = warm_up(4, then=linear(4), start=0.2)
    >>> [round(schedule(step), 2) for step in range(9)]
    [0.2, 0.4, 0.6, 0.8, 1.0, 0.75, 0.5, 0.25, 0.0]
    """
    count("warm_up", least=0, steps=steps)
    fraction("warm_up", start=start)
    after = constant() if then is None else then
    if steps == 0:
        return after
    ramp = linear(steps, start=start, end=1.0)
    return lambda step: ramp(step) * after(0) if step < steps else after(step - steps)


def warm_up_stable_decay(
    steps: int,
    *,
    warm: int,
    decay: int,
    start: float = 0.01,
    fall: Callable[[int], Schedule] = linear,
) -> Schedule:
    """Warm-up, a constant rate, and a fall at the end.

    Args:
        steps: length of the whole run.
        warm: steps of the warm-up; 0 is none.
        decay: steps of the fall, at least 1; 10 to 20 % of the run.
        start: factor at step 0, in [0, 1].
        fall: makes the fall from its length: `linear`, `square_root`, `cosine`, or a `partial` of them.

    Returns:
        Step to factor.

    Raises:
        ValueError: an argument outside its range, or `warm` and `decay` together longer than `steps`.

    Helps: a run that may be continued or branched: all but the fall is the same for every length.

    Harms: nothing in particular; its loss looks worse than a cosine's until the fall begins.

    Costs: nothing.

    Source: Hu et al., "MiniCPM", 2024, section 4; Hägele et al. 2024.

    >>> schedule = warm_up_stable_decay(100, warm=10, decay=20)
    >>> [schedule(step) for step in (10, 80, 90, 100)]
    [1.0, 1.0, 0.5, 0.0]
    """
    count("warm_up_stable_decay", steps=steps, decay=decay)
    count("warm_up_stable_decay", least=0, warm=warm)
    if warm + decay > steps:
        raise ValueError(
            f"warm_up_stable_decay() got warm={warm} and decay={decay} for steps={steps}; together they may not be "
            f"longer than the run. Shorten one of them."
        )
    ends = fall(decay)
    return warm_up(
        warm, join([constant(), ends], [steps - decay - warm]) if steps > decay + warm else ends, start=start
    )


def join(schedules: Sequence[Schedule], at: Sequence[int]) -> Schedule:
    """One schedule after the other; each begins at its own step 0.

    Args:
        schedules: in order.
        at: the steps at which the second, third, ... begin, rising.

    Returns:
        Step to factor.

    Raises:
        ValueError: not one step fewer than schedules, or steps that do not rise or lie below 1.

    Helps: any course that the other functions do not give.

    Harms: factors that jump where one ends and the next begins; plot them.

    Costs: nothing.

    Source: as optax's `join_schedules`, and torch's `SequentialLR`.

    >>> schedule = join([constant(1.0), constant(0.1)], at=[50])
    >>> schedule(49), schedule(50)
    (1.0, 0.1)
    """
    parts, places = list(schedules), list(at)
    for place in places:
        count("join", at=place)
    if len(places) != len(parts) - 1 or any(a >= b for a, b in pairwise(places)):
        raise ValueError(
            f"join() got {len(parts)} schedules and at={places}; it needs the steps at which the second and all later "
            f"ones begin, rising: one step fewer than schedules."
        )
    begins = [0, *places]

    def now(step: int) -> float:
        part = bisect_right(places, past(step))
        return parts[part](step - begins[part])

    return now


def multiply(*schedules: Schedule) -> Schedule:
    """The product of several, such as a cosine and a `Plateau`.

    Args:
        schedules: one or more.

    Returns:
        Step to factor.

    Raises:
        ValueError: none was given.

    Helps: lowering a preset course by performance as well.

    Harms: two that fall together fall twice.

    Costs: nothing.

    Source: as torch's `ChainedScheduler`.

    >>> multiply(linear(10), constant(0.5))(5)
    0.25
    """
    if not schedules:
        raise ValueError(
            "multiply() got no schedules; it needs at least one, e.g. multiply(cosine(100), plateau)."
        )
    return lambda step: prod(schedule(step) for schedule in schedules)


def per_epoch(schedule: Schedule, steps_per_epoch: int) -> Schedule:
    """A schedule that counts epochs, for a loop that steps its scheduler after every optimiser step.

    Args:
        schedule: epoch, from 0, to factor.
        steps_per_epoch: optimiser steps of an epoch, e.g. `len(loader)`.

    Returns:
        Step to factor.

    Raises:
        ValueError: `steps_per_epoch` below 1.

    Helps: recipes given in epochs.

    Harms: with a scheduler that is stepped once an epoch: then the schedule itself is already right.

    Costs: nothing.

    Source: arithmetic.

    >>> halve = per_epoch(lambda epoch: 0.5 ** (epoch // 10), steps_per_epoch=100)
    >>> halve(999), halve(1000)
    (1.0, 0.5)
    """
    count("per_epoch", steps_per_epoch=steps_per_epoch)
    return lambda step: schedule(past(step) // steps_per_epoch)
