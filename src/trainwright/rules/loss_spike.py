"""loss-spike: the loss jumps far beyond its own spread, and may not come back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, NamedTuple

import numpy as np

from .. import stats
from ..core import Case, Evidence, Finding, Limit, Run, Severity, at, rule
from ..signals import learning_rate, loss
from .depth import largest

BEFORE = 20
"""Losses whose median is the level before a jump, and whose spread is the noise it is held against."""

LAST = 7
"""Losses whose median is a level after a jump: three bad batches in seven are outliers, not a spike."""


def one_broken_batch(limit: float) -> None:
    """Fit a plane; the targets of one batch are garbage, and gradients are clipped to the norm `limit`."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    truth = torch.randn(8, 1) / 3
    for step in range(300):
        x = torch.randn(64, 8)
        y = x @ truth + 0.3 * torch.randn(64, 1)
        if step == 100:
            y = y - 300
        loss = nn.functional.mse_loss(net(x), y)
        sgd.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), limit)
        sgd.step()


@rule(
    severity=Severity.HARM,
    needs=(loss,),
    case=Case(sick=partial(one_broken_batch, 1e9), healthy=partial(one_broken_batch, 5.0)),
)
def loss_spike(
    run: Run,
    *,
    spreads: Annotated[
        float,
        Limit(
            "standard deviations", "0 of 2,000 simulated noisy plateaus (Student t, 3 degrees) stay above it"
        ),
    ] = 8.0,
    lost: Annotated[
        float, Limit("share of what was gained", "a fifth of all progress; less is not worth a report")
    ] = 0.2,
) -> Iterator[Finding]:
    """The loss jumps far beyond its own spread, and stays there or comes back.

    ## Why it hurts
    One step far too long undoes the work of many: weights land where gradients are small, units are dead or
    outputs saturated. What does not come back in the run is lost; what does has cost the steps between.

    ## Evidence
    The median of seven losses in a row is above that of the twenty before by more than `spreads` standard
    deviations of these (median absolute deviation), by more than `lost` of all that the loss had fallen, and
    above each of the twenty. HARM where the loss ends as high above the level before and does not fall so
    fast that as many steps again would make up for it: the reference is the run's own past. Where it came
    back it is a HINT, and so it is where the learning rate had just risen. A loss that goes below zero, as in
    reinforcement learning, is not judged.

    ## What to do
    - **clip-gradients**: `torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)` before the step.
    - **look-at-the-batch**: Print the batch of that step: broken samples, a label of another scale, an empty
      sequence.
    - **lower-rate**: If several batches do it, halve the rate, or with Adam lower `betas[1]` to 0.95, so that
      its scale follows a gradient that grows.
    - **go-back**: Load the last checkpoint before the spike and leave out the batches around it.

    ## When it is wrong
    A task that changes on purpose (a curriculum, a warm restart of the rate, an augmentation that sets in)
    makes the loss jump, too. Several losses that play against each other are not judged. A single bad batch
    is not a spike: at least four of seven losses must be high.

    ## Sources
    - Chowdhery et al., "PaLM: scaling language modeling with pathways", 2022, section 5.1: going back and
      leaving out batches
    - Molybog et al., "A theory on Adam instability in large-scale machine learning", 2023
    """
    if len(run[loss].places) != 1:
        return
    steps, losses = run[loss].at()
    spike = _worst(losses, spreads, lost)
    if spike is None or losses.min() < 0:
        return
    after = losses[spike.start :]
    end = float(np.median(after[-max(LAST, len(after) // 4) :]))
    limit = spike.before + spike.chance
    stays = end > limit and not _returning(after, end - limit)
    told = not _rate_rose(run, int(steps[spike.start]))
    back = np.flatnonzero(_medians(after) <= limit)
    if not stays and len(back) and back[0] < LAST // 2:
        return
    came = (
        f"took {int(steps[spike.start + back[0]] - steps[spike.start])} steps to come back"
        if len(back)
        else ""
    )
    site = next((known["site"] for known in run.facts.get("losses", [])), None)
    yield Finding(
        f"The loss jumps at step {steps[spike.start]} from {spike.before:.4g} to {spike.top:.4g} and "
        + (f"stays: {end:.4g} at the end" if stays or not came else came),
        evidence=(
            Evidence(
                "rise of the loss, limit: what noise gives", spike.top - spike.before, spike.chance, "loss"
            ),
            Evidence("loss at the end, limit: before the jump, with noise", end, limit, "loss"),
        ),
        where=(at(site),) if site else (),
        steps=(
            int(steps[spike.start]),
            int(steps[-1] if stays or not came else steps[spike.start + back[0]]),
        ),
        fix=f"Look at the batch of step {steps[spike.start]}, and clip the gradient's norm.",
        severity=Severity.HARM if stays and told else Severity.HINT,
    )


class _Spike(NamedTuple):
    start: int
    before: float
    top: float
    chance: float  # the larger of both limits on the rise


def _worst(losses: stats.Floats, spreads: float, lost: float) -> _Spike | None:
    """The largest jump beyond its limits, or `None`."""
    finite = losses[: int(np.argmin(np.isfinite(losses)))] if not np.isfinite(losses).all() else losses
    if len(finite) < BEFORE + LAST:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(finite, BEFORE)[:-LAST]
    before = np.median(windows, axis=1)
    spread = stats.NORMAL * np.median(np.abs(windows - before[:, None]), axis=1)
    level = _medians(finite)[BEFORE:]
    gained = np.maximum(float(np.median(finite[:LAST])) - before, 0)
    chance = np.maximum(spreads * spread, lost * np.where(gained > 0, gained, np.abs(before)))
    chance = np.maximum(chance, windows.max(axis=1) - before)  # losses of small batches are skewed upwards
    over = (level - before) / np.maximum(chance, 1e-30)
    i = int(np.argmax(over))
    if not over[i] > 1:
        return None
    while i > 0 and over[i - 1] > 1:  # where it begins
        i -= 1
    first = i + int(np.argmax(finite[i + BEFORE : i + BEFORE + LAST] > before[i] + chance[i]))
    top = float(level[i : i + BEFORE].max())
    return _Spike(first + BEFORE, float(before[i]), top, float(chance[i]))


def _medians(values: stats.Floats) -> stats.Floats:
    """Median of each value and the six that follow it."""
    if len(values) < LAST:
        return np.empty(0)
    return np.median(np.lib.stride_tricks.sliding_window_view(values, LAST), axis=1)


def _returning(after: stats.Floats, still: float) -> bool:
    """Falls so fast that as many steps again make up for what is `still` missing."""
    half = after[len(after) // 2 :]
    trend = stats.theil_sen(*stats.blocks(np.arange(len(half)), half, 20))
    return bool(trend.high < 0 and -trend.slope * len(after) > still)


def _rate_rose(run: Run, step: int) -> bool:
    """The learning rate is higher at the jump than a little before."""
    if learning_rate not in run:
        return False
    rates, steps = largest(run[learning_rate].values), run[learning_rate].steps
    here = rates[(steps >= step - BEFORE) & (steps <= step) & ~np.isnan(rates)]
    return bool(len(here) and here[-1] > 1.5 * here.min())
