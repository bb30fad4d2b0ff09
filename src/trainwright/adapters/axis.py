"""From what a log calls a step to steps that rise: counters that restart, resumed runs, rows out of order."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np

from .table import Column, Flags, Floats, Whole

FEW = 0.05
"""Share of readings at which the step may fall back in a run that was resumed; above, rows are out of order."""

LARGEST = 2.0**53
"""Steps up to here are exact as floats."""


Steps = TypeVar("Steps", Whole, Floats)


class Axis(NamedTuple):
    """The step of every row."""

    steps: Floats
    """`(rows,)`; NaN = the row has none."""
    unit: str
    """What one step is: "step", "epoch" or "row"."""
    notes: list[str]


def axis(rows: int, step: Column | None, epoch: Column | None, loss: Column) -> Axis:
    """What to count by: the log's steps, or its epochs where each has one row, or else its rows.

    Args:
        loss: the readings that the steps must tell apart.
    """
    notes: list[str] = []
    if step is not None:
        steps = _filled(rows, step, notes)
        steps = _continued(steps, None if epoch is None else _filled(rows, epoch, []), loss, notes)
        if _tells_apart(steps[loss.rows]):
            return Axis(steps, "step", notes)
        notes = ["The steps of the log do not rise, so they are not counted by."]
    if epoch is not None:
        passes = _filled(rows, epoch, [])
        if _tells_apart(passes[loss.rows]) and _whole(passes):
            return Axis(passes, "epoch", notes)
    return Axis(np.arange(rows, dtype=np.float64), "row", notes)


def _filled(rows: int, told: Column, notes: list[str]) -> Floats:
    """A counter for every row: one without takes that of the row before it."""
    good = np.isfinite(told.values) & (told.values >= 0) & (told.values <= LARGEST)
    wrong = int((~good).sum())
    if wrong:
        notes.append(f"{wrong:,} row{'s' * (wrong > 1)} have a step that is no count and were left out.")
    steps = np.full(rows, np.nan)
    steps[told.rows[good]] = told.values[good]
    here = np.where(np.isnan(steps), -1, np.arange(rows))
    before = np.maximum.accumulate(here)
    filled = np.where(before >= 0, steps[before], 0.0)
    filled[told.rows[~good]] = np.nan
    return filled


def _continued(steps: Floats, epochs: Floats | None, loss: Column, notes: list[str]) -> Floats:
    """A counter that starts again with each epoch is carried on over all of them."""
    if epochs is None:
        return steps
    kept = loss.rows[~np.isnan(steps[loss.rows])]
    falls = np.flatnonzero(np.diff(steps[kept]) < 0)
    if not len(falls) or not np.all(epochs[kept[falls + 1]] > epochs[kept[falls]]):
        return steps
    begins = kept[falls + 1]
    whole = np.nan_to_num(steps)
    added = np.zeros(len(steps))
    low = float(np.nanmin(steps[kept]))
    for begin, end in zip(begins, kept[falls], strict=True):
        added[begin] += whole[end] + 1 - low
    notes.append("The step starts again with each epoch, so the epochs were put one behind the other.")
    return np.asarray(steps + np.cumsum(added), np.float64)


def _tells_apart(steps: Floats) -> bool:
    """Whether at least half of the readings have a step of their own, or there is but one."""
    known = steps[~np.isnan(steps)]
    return len(known) > 0 and (len(known) == 1 or 2 * len(distinct(np.floor(known))) > len(known))


def distinct(steps: Steps) -> Steps:
    """The steps without repetitions, rising; by sorting, which for a million is far quicker than by hashes."""
    known = np.sort(steps)
    return known[np.append(known[1:] != known[:-1], True)] if len(known) else known


def _whole(steps: Floats) -> bool:
    known = steps[~np.isnan(steps)]
    return bool(np.all(known == np.floor(known)))


class Resumed(NamedTuple):
    """Where a run was taken up again at an earlier step: what stood beyond that was logged again or given up."""

    rows: Whole
    steps: Floats


def resumed(column: Column, steps: Floats) -> Resumed:
    """The places at which the step of a column falls back; none where that is how its rows are ordered."""
    here = column.rows[~np.isnan(steps[column.rows])]
    falls = np.flatnonzero(np.diff(steps[here]) < 0)
    if len(falls) > max(1, FEW * len(here)):
        falls = falls[:0]
    return Resumed(here[falls + 1], steps[here[falls + 1]])


def rising(column: Column, steps: Floats, again: Resumed) -> tuple[Whole, Floats, int]:
    """Steps, values and how many readings gave way: to those of a resumed run, or to a later one at that step."""
    at, values = steps[column.rows], column.values
    keep: Flags = ~np.isnan(at)
    if len(again.rows):
        lowest = np.minimum.accumulate(again.steps[::-1])[::-1]
        after = np.searchsorted(again.rows, column.rows, side="right")  # the falls that still lie ahead
        ahead = after < len(lowest)
        keep[ahead] &= at[ahead] < lowest[after[ahead]]
    at, values = np.floor(at[keep]).astype(np.int64), values[keep]
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    last = np.append(at[1:] != at[:-1], True) if len(at) else np.empty(0, np.bool_)
    return at[last], values[last], len(column.rows) - int(last.sum())
