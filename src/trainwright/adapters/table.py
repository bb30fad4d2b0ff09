"""What every kind of log is read into: named columns of numbers over rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

MISSING = frozenset({"", "-", "--", ".", "?", "na", "n/a", "#n/a", "<na>", "none", "null", "nil"})
"""What stands in a cell that holds no reading, as the usual writers of tables spell it."""

NUMBER = re.compile(
    r"(?:tensor\()?[\s\[(\"']*([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+(?:e[-+]?\d+)?|nan|inf(?:inity)?))"
    r"[\s\])\"']*(?:,\s*(?:device|dtype|grad_fn|requires_grad)=[^)]{0,80}\){0,2})?\)?\s*%?",
    re.IGNORECASE | re.ASCII,
)
"""A number, also as it prints inside a tensor, in brackets, in quotes or before a per cent sign."""

SHOWN = 60
"""Most characters of a name that are repeated in a message."""


class UnreadableLog(ValueError):
    """What was given is no log that can be judged; the message says why, in one sentence."""


class Column(NamedTuple):
    """Readings in the order in which they were written."""

    rows: Whole
    """`(readings,)`: in which row each stands, rising."""
    values: Floats
    """`(readings,)`; NaN or infinite where that was logged."""


@dataclass
class Log:
    """A log as it stands in its file: nothing is known yet of what a column means."""

    format: str
    columns: dict[str, Column]
    rows: int
    notes: list[str] = field(default_factory=list)
    """What had to be left out or guessed, a sentence each."""
    steps: Column | None = None
    """The step of each row, where the format itself has one."""
    names: list[str] = field(default_factory=list)
    """All columns, those included that mean nothing here and were not read."""
    done: int | None = None
    """Optimiser steps made, where the format says so."""


def shown(name: object) -> str:
    """A name from a file as it may stand in a message: short, on one line, without what steers a terminal.

    >>> shown("train/loss"), shown("a`b\\x1b[31m\\nc"), len(shown("x" * 1000))
    ('train/loss', "a'b?[31m?c", 60)
    """
    text = "".join(c if c.isprintable() else "?" for c in str(name)[: SHOWN + 1]).replace("`", "'")
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def listed(names: Sequence[str], most: int = 12) -> str:
    """Names in a sentence: `a`, `b` and 3 more."""
    said = ", ".join(f"`{shown(name)}`" for name in names[:most])
    return said + (f" and {len(names) - most} more" if len(names) > most else "")


def column(cells: Sequence[str], decimal_comma: bool = False) -> tuple[Column | None, int]:
    """The readings among cells of text, and how many cells were neither a number nor blank.

    `None` where more than half of what is not blank is no number: that column holds something else. A cell
    `nan` is a reading that was not a number, or the writer's way to leave a cell blank: see `blanks`.
    """
    try:
        whole = "" not in cells
        told = map(float, cells) if whole else (float(c or "nan") for c in cells)
        values = np.fromiter(told, np.float64, len(cells))
        missing = (
            np.fromiter((not c for c in cells), np.bool_, len(cells))
            if not whole
            else np.zeros(len(cells), np.bool_)
        )
        wrong = 0
    except ValueError:
        read = [_reading(c, decimal_comma) for c in cells]
        missing = np.array([r is None or r is _WRONG for r in read], np.bool_)
        values = np.array([np.nan if no else r for r, no in zip(read, missing, strict=True)], np.float64)
        wrong = sum(r is _WRONG for r in read)
    if wrong * 2 > wrong + int((~missing).sum()):
        return None, wrong
    return kept(values, missing), wrong


_WRONG = object()


def _reading(cell: str, decimal_comma: bool) -> object:
    cell = cell.strip()
    if cell.lower() in MISSING:
        return None
    found = NUMBER.fullmatch(cell.replace(",", ".", 1) if decimal_comma and cell.count(",") == 1 else cell)
    return float(found[1]) if found else _WRONG


def kept(values: Floats, missing: Flags) -> Column | None:
    """A column without its missing cells; `None` where nothing is left."""
    missing = missing | blanks(values, missing)
    rows = np.flatnonzero(~missing).astype(np.int64)
    return Column(rows, values[rows]) if len(rows) else None


def blanks(values: Floats, missing: Flags) -> Flags:
    """Which NaN of a column are cells without a reading.

    Where blank cells are there, they are those. Otherwise a column whose NaN are most of the cells up to the
    last number was read now and then; as many at its end as between two numbers are of that kind, too. All
    others are readings that were not a number.
    """
    nan = np.isnan(values) & ~missing
    none = np.zeros(len(values), np.bool_)
    if not nan.any() or missing.any():
        return none
    numbers = np.flatnonzero(~nan)
    if not len(numbers):
        return none
    last = int(numbers[-1])
    if 2 * int(nan[: last + 1].sum()) <= last + 1:
        return none
    gap = int(np.diff(numbers, prepend=-1).max())
    until = len(values) if len(values) - last <= gap else last + 1
    none[:until] = nan[:until]
    return none


def apart(columns: Mapping[str, Column], part_of_row: Sequence[str]) -> dict[str, Column]:
    """Columns taken apart by what another column says of each row, as `train` and `valid`: one each."""
    parts = np.array(part_of_row)
    found: dict[str, Column] = {}
    for name, (rows, values) in columns.items():
        for part in dict.fromkeys(parts.tolist()):
            here = parts[rows] == part
            if here.any():
                found[f"{part}/{name}" if part else name] = Column(rows[here], values[here])
    return found
