"""A run that was not watched: its curves come from another tool's log. What may be asked and said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..core import CurveFacts, Rule, Run

FROM_CURVES = frozenset(
    "non-finite exploding-gradient overfitting oscillating-loss loss-spike plateau stopped-too-early "
    "schedule-mistimed".split()
)
"""Rules whose evidence is curves alone. All others would look at nothing and seem clean; `underfitting` is among
those, as it needs the loss of a constant prediction."""

BLIND = (
    "layers, parameters and lines of code: curves do not show where a fault lies",
    "loss function, labels and inputs: a wrong loss, a mismatch or unscaled data show only when a training is watched",
    "loss of a constant prediction: curves do not tell a hard task from one that is not learned",
)
"""What curves alone cannot tell."""


def able(rules: Sequence[Rule], run: Run) -> tuple[Rule, ...]:
    """The rules that can judge a run: all for one that was watched, those on curves for one that was not."""
    return tuple(r for r in rules if "curves" not in run.facts or r.name in FROM_CURVES)


def unit(run: Run) -> str:
    """What one step of the run is."""
    log = run.facts.get("curves")
    return log["unit"] if log else "step"


def looked_at(run: Run, log: CurveFacts) -> Iterator[str]:
    """What was read, from which columns, and what such a log cannot tell: a phrase each."""
    yield f"a log in the format of {log['format']}"
    yield took(log)
    if log["unit"] == "epoch":
        yield "one row an epoch, so a step is an epoch here"
    elif log["unit"] == "row":
        yield "no column of steps: its rows are counted"
    for what in BLIND:
        yield f"no {what}"
    yield from log["notes"]


def took(log: CurveFacts) -> str:
    """Which column was taken for what, in one sentence.

    >>> took(CurveFacts(file="a", format="CSV", unit="step", taken={"loss": ["x"], "step": ["i"]}, notes=[]))
    'taken from the log: `x` for loss and `i` for step'
    """
    told = [f"{_names(names)} for {series}" for series, names in log["taken"].items()]
    return f"taken from the log: {_and(told) or 'nothing'}"


def _names(names: Sequence[str]) -> str:
    return _and([f"`{name}`" for name in names])


def _and(words: Sequence[str]) -> str:
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), *words[-1:]])
