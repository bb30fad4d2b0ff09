"""plateau: the loss never fell, and lies above what a constant prediction reaches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from .. import stats
from ..core import Case, Evidence, Finding, Limit, Run, Severity, at, rule
from ..signals import loss
from .consequence import standing

FIRST = 10
"""Losses whose median is the start."""


def parity(bits: int) -> None:
    """Learn the parity of so many bits: two are easy, of thirty nothing is learned."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 2))
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(250):
        x = torch.randint(0, 2, (64, 30)).float() * 2 - 1
        loss = nn.functional.cross_entropy(net(x), (x[:, :bits].prod(1) > 0).long())
        adam.zero_grad()
        loss.backward()
        adam.step()


@rule(
    severity=Severity.HARM,
    needs=(loss,),
    case=Case(sick=partial(parity, 30), healthy=partial(parity, 2)),
)
def plateau(
    run: Run,
    *,
    patience: Annotated[
        int, Limit("steps", "0 of 235 healthy runs of the bench are reported at 100 losses, 2 at 40")
    ] = 150,
    unknown: Annotated[
        int, Limit("losses", "twice `patience`, as nothing but the run's own start says what is high")
    ] = 300,
) -> Iterator[Finding]:
    """The loss never fell, and lies above what a constant prediction reaches.

    ## Why it hurts
    Nothing was learned: as good an answer is to be had without a network.

    ## Evidence
    Over at least `patience` steps the median loss of the last quarter is not below that of the first ten by
    more than the noise of both, it does not fall over the last half (Theil-Sen, 95 %), and it is no better than
    the best constant prediction's. A run that has converged lies below both references and is not meant.
    Where the constant's loss is not known (a loss of your own, a curve from a log) there is only the run's own
    start: then it takes `unknown` losses, and it is a HINT.

    ## What to do
    - **overfit-one-batch**: Train on one batch alone. If that is not learned, something is broken: look at the
      other findings first.
    - **raise-learning-rate**: If weights hardly move, multiply the rate by ten, and by ten again.
    - **check-labels**: Look at ten samples with their labels, as the model gets them.
    - **simplify-the-task**: Start with the easier part (shorter sequences, fewer classes), and go on from there.

    ## When it is wrong
    Some tasks stay on a plateau for thousands of steps and then fall (parity, copying, in-context learning). A
    model that was loaded and has nothing left to learn lies flat, too: then it is not reported. Losses below
    zero, and several that play against each other, are not judged.

    ## Sources
    - Shalev-Shwartz, Shamir & Shammah, "Failures of gradient-based deep learning", ICML 2017
    - Karpathy, "A recipe for training neural networks", 2019: overfit one batch
    """
    stands = standing(run)
    if stands is None or len(run[loss].places) != 1 or run.facts.get("loaded"):
        return
    steps, losses = run[loss].at()
    harm = stands.learned is False
    if not np.isfinite(losses).all() or losses.min() < 0 or len(losses) < (patience if harm else unknown):
        return
    start = stats.level(losses[:FIRST])
    noise = stats.median_abs_deviation(losses[-len(losses) // 4 :]) / FIRST**0.5 + 0.02 * start
    if start - stands.late > noise or stands.improving or stands.learned or _fell(losses, start, noise):
        return
    site = next((known["site"] for known in run.facts.get("losses", [])), None)
    yield Finding(
        f"The loss has not fallen in {len(losses)} steps: {start:.4g} at the start, {stands.late:.4g} at the end, "
        + (
            f"and a constant prediction reaches {stands.constant:.4g}"
            if harm
            else "with no other reference known"
        ),
        evidence=(
            Evidence(
                "loss of the last quarter, limit: the start, less noise", stands.late, start - noise, "loss"
            ),
            *([stands.evidence] if harm else []),
        ),
        where=(at(site),) if site else (),
        steps=(int(steps[0]), int(steps[-1])),
        fix="Train on a single batch: if even that is not learned, the other findings come first.",
        severity=Severity.HARM if harm else Severity.HINT,
    )


def _fell(losses: stats.Floats, start: float, noise: float) -> bool:
    """It was clearly lower in between: a rise is not the matter of this rule."""
    return bool(np.nanmin(stats.smooth(losses, 21)) < start - 3 * noise)
