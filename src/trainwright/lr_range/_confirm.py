"""Short trainings at rates around the one that a sweep suggests."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from itertools import repeat
from math import inf, isfinite, sqrt

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from ._run import Loss, blown_up, run
from ._undisturbed import Batch, kept_out, undisturbed, without_kept
from .verdict import FEWEST, Floats, RangeTest

RUNG = sqrt(10)
"""Factor from one rate to the next."""
MOST = 8
"""Confirming runs."""
EQUAL = 0.02
"""Share of what the best run gained; those that miss less are as good."""


def confirmed(
    found: RangeTest,
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterable[Batch],
    loss: Loss[Batch],
    steps: int,
) -> RangeTest:
    """The sweep with the rate whose training went best; upwards until two in turn are worse, then downwards."""
    if found.suggestion is None:
        return found
    middle, highest = found.suggestion, float(found.rates[-1])
    ends: dict[int, Floats] = {}
    with undisturbed(batches):
        kept = kept_out(batches)
        begin = _judged(copy.deepcopy(model), kept, loss).mean() if kept else inf

    def train(rung: int) -> float:
        """The mean loss at the end, which is left in `ends`."""
        nonlocal begin
        twin, stepper = copy.deepcopy((model, optimizer))
        with undisturbed(batches):
            rates = repeat(middle * RUNG**rung, steps)
            losses = list(run(twin, stepper, without_kept(batches), loss, rates))
            end = _judged(twin, kept, loss) if kept else np.array(losses[-max(steps // 4, FEWEST) :])
        if not kept:
            begin = losses[0]
        fine = len(losses) == steps and not blown_up(losses) and end.mean() < begin
        ends[rung] = end if fine else np.full_like(end, inf)
        return float(ends[rung].mean())

    best, worse, rung = train(0), 0, 0
    while worse < 2 and len(ends) < MOST and middle * RUNG ** (rung + 1) <= highest:
        rung += 1
        mean = train(rung)
        worse = 0 if mean < best else worse + 1
        best = min(best, mean)
        if not isfinite(mean):
            break
    means = {r: float(e.mean()) for r, e in ends.items()}
    rung = 0
    while len(ends) < MOST and (not isfinite(best) or min(means, key=lambda r: means[r]) <= rung + 1):
        rung -= 1
        means[rung] = train(rung)
        if isfinite(best) and means[rung] > best:
            break
        best = min(best, means[rung])
    trials = {middle * RUNG**r: means[r] for r in sorted(means)}
    if not isfinite(best):
        why = (
            f"The sweep alone suggests {middle:.2g}, but none of {len(trials)} trainings of {steps} steps at "
            f"{min(trials):.1g} to {max(trials):.1g} lowered the loss without blowing up. Use more warm-up, or clip."
        )
        return replace(found, suggestion=None, reason=why, trials=trials)
    lowest = min(means, key=lambda r: means[r])
    chosen = min(r for r in means if _as_good(ends[r], ends[lowest], float(begin)))
    rate = middle * RUNG**chosen
    why = (
        f"Of {len(trials)} trainings of {steps} steps at {min(trials):.1g} to {max(trials):.1g} the one at this rate "
        f"ended with a loss of {means[chosen]:.3g}, the lowest but for noise. The sweep alone suggests {middle:.2g}."
    )
    return replace(found, suggestion=rate, reason=why, trials=trials)


@torch.no_grad()
def _judged(model: nn.Module, kept: list[Batch], loss: Loss[Batch]) -> Floats:
    """Losses of the batches kept out, in evaluation mode."""
    model.eval()
    return np.array([loss(model, batch).item() for batch in kept])


def _as_good(ends: Floats, lowest: Floats, begin: float) -> bool:
    """Whether it misses nothing but noise: a standard error of the difference, from the same batches."""
    if not np.isfinite(ends).all():
        return False
    behind = ends - lowest
    error = float(behind.std(ddof=1)) / sqrt(behind.size) if behind.size > 1 else 0.0
    return float(behind.mean()) <= max(error, EQUAL * (begin - float(lowest.mean())))
