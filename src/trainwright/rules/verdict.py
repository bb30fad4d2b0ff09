"""The verdict on a whole run, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from typing import Literal, NamedTuple

import numpy as np

from ..core import Finding, Run, Severity, Signal
from ..signals import ALL, epoch, grad_norm, learning_rate, loss, valid_accuracy, valid_loss
from . import unwatched
from .promise import LOSSES, PASSES, Promise, promise, readings, several_losses

Kind = Literal["findings", "still-improving", "nothing-found", "too-little-seen"]

STEPS = 10
"""Fewer optimiser steps than this show no trend of anything: the median of each half rests on five."""

WHY = {
    "valid_loss": "the loss was never computed without gradient",
    "valid_accuracy": "no classification loss was computed without gradient",
    "accuracy": "no classification loss",
    "majority_share": "no class ids as targets",
    "constant_loss": "no loss function whose best constant answer is known",
    "dead_units": "no ReLU or kin, or fewer than five readings",
    "saturated_units": "no sigmoid or tanh",
    "leftover_grad": "fewer than two steps",
    "epoch": "no data loader",
}
"""What the absence of a signal means when nothing went wrong."""


CURVES = (loss, valid_loss, valid_accuracy, learning_rate, grad_norm)
"""What a log of another tool may hold."""


class Verdict(NamedTuple):
    """What one may conclude from a run, in words with numbers."""

    kind: Kind
    sentence: str
    looked_at: tuple[str, ...]
    """What was looked at and what was not, a phrase each."""


def verdict(run: Run, findings: Iterable[Finding]) -> Verdict:
    """Say what a run and the findings on it amount to.

    A hint is no alarm: with hints alone the verdict is one of the other three, and counts them.

    >>> verdict(Run({}), ()).kind
    'too-little-seen'
    """
    seen = tuple(looked_at(run))
    grades = [f.severity or Severity.HARM for f in findings]
    hints = grades.count(Severity.HINT)
    if len(grades) > hints:
        return Verdict("findings", _findings(run, grades), seen)
    lacking = _lacking(run)
    if lacking:
        return Verdict("too-little-seen", lacking, seen)
    besides = f" ({_count(hints, 'hint')} besides)" if hints else ""
    more = promise(run)
    if more:
        return Verdict("still-improving", f"Nothing harmful found{besides}, and {_longer(run, more)}", seen)
    return Verdict(
        "nothing-found",
        f"Nothing harmful found in {_count(run.steps, unwatched.unit(run))}{besides}. {_ended(run)}".rstrip(),
        seen,
    )


def looked_at(run: Run) -> Iterator[str]:
    """What was seen of the run, and what was not and why: a phrase each."""
    facts = run.facts
    losses, passes = (_finite(run, s) for s in (loss, valid_loss))
    epochs = len(np.unique(readings(run, epoch)[1])) or facts.get("epochs") or 0
    parameters, modules = facts.get("parameters", {}), facts.get("modules", {})
    layers = {place for s in run.series.values() for place in s.places if place and place in modules}
    sampled = facts.get("overhead", {}).get("sampled")
    log = facts.get("curves")

    step = unwatched.unit(run) if log else "optimiser step"
    yield _count(run.steps, step) + (f" in {_count(epochs, 'epoch')}" if epochs and step != "epoch" else "")
    yield f"{_count(losses, 'reading')} of the loss"
    yield _count(passes, "validation pass", "validation passes")
    weights = sum(prod(p["shape"]) for p in parameters.values())
    if log:
        yield from unwatched.looked_at(run, log)
    else:
        yield f"{_count(len(parameters), 'parameter')} of {_count(weights, 'weight')}"
        yield f"{_count(len(layers), 'layer')} of {_count(len(modules), 'module')}"
    if isinstance(sampled, int | float) and sampled < run.steps:
        yield f"gradients, weights and layers at {_count(int(sampled), 'sampled step')}"
    if several_losses(run):
        yield "no trend of the loss: several losses were minimised, and one may rise as another falls"
    elif passes < PASSES and losses < LOSSES:
        yield f"no trend of the loss: that takes {PASSES} validation passes or {LOSSES} steps"
    absent = [s.name for s in (CURVES if log else ALL) if s not in run or np.isnan(run[s].values).all()]
    for name in absent:
        if log:
            yield f"no {name}: no such column"
        elif name in WHY:
            yield f"no {name}: {WHY[name]}"
    unexplained = [name for name in absent if name not in WHY and not log]
    if unexplained:
        yield f"no {', '.join(unexplained)}"
    yield from facts.get("given_up", [])


def _finite(run: Run, signal: Signal) -> int:
    return int(np.isfinite(readings(run, signal)[1]).sum())


def _findings(run: Run, grades: list[Severity]) -> str:
    words = {Severity.FATAL: "fatal finding", Severity.HARM: "harmful finding", Severity.HINT: "hint"}
    found = [_count(grades.count(grade), word) for grade, word in words.items() if grade in grades]
    return f"{', '.join(found)} in {_count(run.steps, unwatched.unit(run))}."


def _lacking(run: Run) -> str:
    """What is missing for any judgement, and what to do; empty where enough was seen."""
    losses = _finite(run, loss)
    log = run.facts.get("curves")
    if log:
        enough = losses >= STEPS or _finite(run, valid_loss) >= PASSES
        return "" if enough else f"Only {_count(losses, 'reading')} of the loss; it takes {STEPS} to judge."
    script = run.facts.get("script") or "the script"
    if not run.steps and not losses:
        return (
            f"No training was seen: no optimiser stepped and no loss ran backward in {script}. {_ended(run)}"
            f"Does it train when run by itself with the same arguments?"
        )
    if not run.steps:
        return (
            f"{_count(losses, 'loss', 'losses')} ran backward in {script}, but no optimiser stepped. "
            f"{_ended(run)}Is `optimizer.step()` called?"
        )
    if not losses:
        return (
            f"{_count(run.steps, 'optimiser step')}, but no loss ran backward in {script}: there is nothing "
            f"to judge them by. {_ended(run)}Is `loss.backward()` called, in this process?"
        )
    if run.steps < STEPS:
        return (
            f"Only {_count(run.steps, 'optimiser step')} seen; it takes {STEPS} to judge. {_ended(run)}"
            f"For more: trainwright run {script}, with more epochs or more data."
        )
    return ""


def _ended(run: Run) -> str:
    """What cut the run short, as a sentence and a space; empty where nothing did."""
    exception, stopped = run.facts.get("exception"), run.facts.get("stopped_by")
    if exception:
        return f"The script ended with {exception.splitlines()[0].rstrip('.')}. "
    if stopped == "check":
        return "`check` ended the script there; what takes time to show needs `trainwright run`. "
    if stopped == "interrupt":
        return "The run was interrupted there. "
    return ""


def _longer(run: Run, more: Promise) -> str:
    per_epoch = run.facts.get("steps_per_epoch")
    epochs = f" (about {more.steps / per_epoch:.2g} epochs)" if per_epoch and more.steps >= per_epoch else ""
    further = _count(more.steps, unwatched.unit(run))
    sentence = (
        f"the {more.name} still falls: {more.level:.3g} at the end, and about {more.fall:.2g} less "
        f"({more.low:.2g} to {more.high:.2g}) after another {further}{epochs} if it goes on as it "
        f"does. Train longer."
    )
    if more.name == "training loss":
        sentence += " (Of a validation loss too little was seen: only that one tells whether longer helps.)"
    _, rates = run[learning_rate].at("0") if learning_rate in run else ((), np.empty(0))
    if rates.size and rates[-1] < 0.01 * rates.max():
        sentence += " The schedule has run out, so a longer run needs a longer schedule."
    return sentence


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n:,} {one if n == 1 else many or one + 's'}"
