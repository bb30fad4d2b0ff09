"""What the arguments of schedules must be."""

from __future__ import annotations

from math import isfinite

WHOLE_RUN = {"steps": " Pass the number of optimiser steps, len(loader) * epochs for a whole run."}


def count(who: str, least: int = 1, **numbers: object) -> None:
    """Whole numbers, at least `least`."""
    for name, number in numbers.items():
        hint = WHOLE_RUN.get(name, "")
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"{who}() got {name}={number!r}; it counts steps: a whole number.{hint}")
        if number < least:
            raise ValueError(f"{who}() got {name}={number}; it needs at least {least}.{hint}")


def fraction(who: str, *, above: float | None = None, most: float = 1.0, **numbers: float) -> None:
    """Finite factors, at least 0 or above `above`, at most `most`."""
    for name, number in numbers.items():
        low = number >= 0 if above is None else number > above
        if not (isfinite(number) and low and number <= most):
            bounds = f"{'at least 0' if above is None else f'above {above}'}"
            upper = f" and at most {most:g}" if isfinite(most) else ", finite"
            raise ValueError(f"{who}() got {name}={number}; it takes a factor {bounds}{upper}.")


def past(step: int) -> int:
    """The step itself; the schedule of a negative one is asked for by mistake only."""
    if step < 0:
        raise ValueError(f"A schedule was asked for step {step}; steps count from 0.")
    return step
