"""A script may train one model after the other (folds, a search, phases): each is a training of its own."""

from __future__ import annotations

from collections.abc import Mapping

from ..core import Facts, Run, Series


def last_training(run: Run) -> tuple[Run, int]:
    """The part of a run since the script began to train another model, with steps from 0, and its first step.

    The earlier ones are not judged: what is known of modules and parameters is of the last.
    """
    restarts = run.facts.get("restarts") or []
    first = restarts[-1] if restarts else 0
    if not first:
        return run, 0
    series: Mapping[str, Series] = {name: _since(s, first) for name, s in run.series.items()}
    facts: Facts = {**run.facts, "steps": max(0, run.steps - first)}
    non_finite = run.facts.get("non_finite")
    if non_finite is not None:
        before = non_finite["step"] < first
        facts["non_finite"] = None if before else {**non_finite, "step": non_finite["step"] - first}
    return Run({name: s for name, s in series.items() if len(s.steps)}, facts), first


def _since(series: Series, first: int) -> Series:
    keep = series.steps >= first
    return Series(series.steps[keep] - first, series.places, series.values[keep])
