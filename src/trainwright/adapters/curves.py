"""From a log to a `Run` that rules can judge: which columns are which curves, and over which steps."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core import CurveFacts, Facts, Run, Series
from .axis import Resumed, axis, distinct, resumed, rising
from .found import find, folder, load
from .names import SERIES, Choice, choose
from .table import Floats, Log, UnreadableLog, Whole, listed, shown

RATES = 16
"""Most columns of learning rates, one a parameter group."""

PERCENT = 100.0

PASSES = 2**24 - 1
"""Most passes over the data that are taken for a count: float32 holds no larger ones exactly."""

Given = Mapping[str, Sequence[str]]
Curve = tuple[Whole, Floats]
"""Steps and values."""


def read(path: Path, given: Given | None = None) -> Run | None:
    """The curves of a log as a run without modules and parameters, or `None` where a path holds no log.

    `run.facts["curves"]` says which column was taken for what, and what had to be guessed.

    Args:
        path: a file, or the folder of a run as Lightning, the Hugging Face Trainer, TensorBoard or W&B write it.
        given: columns by series, as `{"loss": ["train/ce"]}`: they win over what names say. A series without
            columns is left out.

    Raises:
        UnreadableLog: what is there cannot be read or has no loss in it.
        OSError: the file cannot be opened.
    """
    given = dict(given or {})
    files = find(path)
    if not files:
        return None
    collecting = gc.isenabled()
    gc.disable()  # a million rows are millions of objects that are all alive: looking through them is in vain
    try:
        return _run(files, load(files, [name for names in given.values() for name in names]), given)
    except MemoryError:
        raise UnreadableLog(f"`{path}` is too large for the memory of this machine.") from None
    finally:
        if collecting:
            gc.enable()


def _run(files: Sequence[Path], log: Log, given: Given) -> Run:
    file = files[0] if len(files) == 1 else folder(files)
    has = f"it has {listed(log.names or list(log.columns))}"
    for names in given.values():
        unknown = [name for name in names if name not in log.columns]
        if unknown:
            raise UnreadableLog(f"`{file}` has no column {listed(unknown)} with numbers; {has}.")
    _one_run(file, log, given)
    chosen = choose({name: len(c.rows) for name, c in log.columns.items()}, given)
    taken, main = chosen.taken, next((s for s in ("loss", "valid_loss") if s in chosen.taken), None)
    if main is None:
        raise UnreadableLog(
            f"`{file}` has no column that looks like a loss; {has}. Name it: --map loss=COLUMN."
        )
    lead = log.columns[taken[main][0]]
    step, epoch = (log.columns[taken[s][0]] if s in taken else None for s in ("step", "epoch"))
    counted = axis(log.rows, step if "step" in given or log.steps is None else log.steps, epoch, lead)
    notes = [*log.notes, *chosen.notes, *counted.notes]
    again = resumed(lead, counted.steps)
    if len(again.rows):
        notes.append(_resumed(again))
    curves = {
        name: rising(log.columns[name], counted.steps, again)[:2]
        for series, names in taken.items()
        if series != "step"
        for name in names[:RATES]
    }
    series = _series(curves, chosen, notes)
    last = max(int(s.steps[-1]) for s in series.values())
    first = min(int(s.steps[0]) for s in series.values())
    steps = log.done or last + (first == 0)
    told = {series: list(names) for series, names in taken.items() if series in SERIES}
    facts = CurveFacts(
        file=str(file),
        format=log.format,
        unit=counted.unit,
        taken=_told(told, log, counted.unit),
        notes=notes,
    )
    return Run(series, Facts(steps=max(steps, last), curves=facts))


def _one_run(file: Path, log: Log, given: Given) -> None:
    """Refuse the chart of several runs, `run-1 - loss` beside `run-2 - loss`, unless the user chose."""
    ends: dict[str, list[str]] = {}
    for name in log.columns:
        run, parted, what = name.rpartition(" - ")
        if parted and not what.endswith(("__MIN", "__MAX")):
            ends.setdefault(what, []).append(run)
    several = next((runs for runs in ends.values() if len(set(runs)) > 1), None)
    if several and not given.get("loss"):
        raise UnreadableLog(
            f"`{file}` holds the curves of {len(several)} runs: {listed(several)}. Choose: --map loss=COLUMN."
        )


def _series(curves: Mapping[str, Curve], chosen: Choice, notes: list[str]) -> dict[str, Series]:
    series: dict[str, Series] = {}
    ends = [int(curves[name][0][-1]) for name in chosen.taken.get("loss", ()) if len(curves[name][0])]
    end = max(ends, default=0)
    for name, columns in chosen.taken.items():
        if name == "step":
            continue
        told = [curves[column] for column in columns[:RATES] if len(curves[column][0])]
        if not told:
            continue
        if name.startswith("valid_"):
            told = [_spread(curve, end, name, notes) for curve in told]
        if name.endswith("accuracy"):
            shares = [share for curve in told if (share := _share(curve, columns[0], notes)) is not None]
            told = shares
        if name == "epoch":
            told = [begun for curve in told if len((begun := _begun(*curve))[0])]
        if told:
            series[name] = _laid(told, name)
    if not {"loss", "valid_loss"} & set(series):
        raise UnreadableLog("The columns of the loss have no readings at any step.")
    return series


def _laid(curves: Sequence[Curve], name: str) -> Series:
    """Curves side by side, over all their steps."""
    steps = distinct(np.concatenate([steps for steps, _ in curves]))
    table = np.full((len(steps), len(curves)), np.nan, np.float32)
    for i, (at, values) in enumerate(curves):
        with np.errstate(over="ignore"):  # beyond float32 is infinity
            told = np.where(np.isnan(values), np.inf, values).astype(np.float32)
        table[np.searchsorted(steps, at), i] = told
    places = tuple(map(str, range(len(curves)))) if name == "learning_rate" else ("",)
    if len(places) < len(curves):  # losses of their own
        places = ("", *(f"loss {i}" for i in range(2, len(curves) + 1)))
    return Series(steps, places, table)


def _spread(curve: Curve, end: int, name: str, notes: list[str]) -> Curve:
    """Validation that counts its own passes, 0, 1, 2, ..., laid evenly along the steps of the training."""
    steps, values = curve
    passes = len(steps)
    if (
        passes < 2
        or not np.all(np.diff(steps) == 1)
        or steps[0] > 1
        or 2 * int(steps[-1]) > end
        or end < 4 * passes
    ):
        return curve
    notes.append(f"The {name} counts its own passes; they were laid evenly along the steps of the loss.")
    return np.arange(1, passes + 1) * end // passes, values


def _share(curve: Curve, name: str, notes: list[str]) -> Curve | None:
    """Right answers as a share, also where they are logged in per cent."""
    steps, values = curve
    known = values[np.isfinite(values)]
    if not len(known) or known.min() < 0 or known.max() > PERCENT:
        notes.append(f"`{shown(name)}` is no share of right answers and was left out.")
        return None
    if known.max() <= 1:
        return curve
    notes.append(f"`{shown(name)}` was taken as per cent.")
    return steps, values / PERCENT


def _begun(steps: Whole, epochs: Floats) -> Curve:
    """Passes begun: an epoch that is counted from 0 is the first pass, and so is 0.3 of one."""
    counts = (epochs >= 0) & (epochs <= PASSES)
    steps, epochs = steps[counts], epochs[counts]
    whole = bool(np.all(epochs == np.floor(epochs)))
    return steps, epochs + 1 if whole and len(epochs) and epochs.min() == 0 else np.maximum(
        np.ceil(epochs), 1
    )


def _resumed(again: Resumed) -> str:
    times = len(again.rows)
    first = int(again.steps[0])
    return (
        f"The steps go back to {first:,}{f' and {times - 1:,} times more' if times > 1 else ''}: the run was taken up "
        f"again there, and what stood beyond was left out."
    )


def _told(taken: Mapping[str, Sequence[str]], log: Log, unit: str) -> dict[str, list[str]]:
    """The columns that were used, each once, and the one that steps were counted by."""
    told = {series: [shown(name) for name in names[:RATES]] for series, names in taken.items()}
    if unit != "step" or log.steps is not None:
        told.pop("step", None)
    return told
