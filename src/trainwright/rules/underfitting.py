"""underfitting: the loss fell, and came to rest above what a constant prediction reaches."""

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


def plane(decay: float) -> None:
    """Fit a plane that lies around 3 with this weight decay."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.05, weight_decay=decay)
    truth = torch.randn(8, 1) / 2
    for _ in range(300):
        x = torch.randn(64, 8)
        loss = nn.functional.mse_loss(net(x), 3 + x @ truth + 0.2 * torch.randn(64, 1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.HARM,
    needs=(loss,),
    case=Case(sick=partial(plane, 4.0), healthy=partial(plane, 0.0)),
)
def underfitting(
    run: Run,
    *,
    patience: Annotated[int, Limit("steps", "half of them at rest: fewer are no end of a training")] = 100,
    fall: Annotated[
        float,
        Limit("share of the first loss", "a loss that fell less lies on a plateau, which has its own rule"),
    ] = 0.1,
) -> Iterator[Finding]:
    """The loss fell, and came to rest above what a constant prediction reaches.

    ## Why it hurts
    Training has ended by itself, at an answer that takes no network: something holds the model back.

    ## Evidence
    The median loss fell by at least `fall` of its start, does not fall over the last half of at least
    `patience` steps any more (Theil-Sen, 95 %), and over the last quarter is no better than the loss of the
    best constant prediction on the same batches. That constant is known for one loss function of PyTorch
    whose value is what backward starts from. **What is not known**: what a linear model, or a better network,
    would reach on the same data; a run that beats the constant by little may still underfit, and nothing is
    said of it. Without that reference, as with curves from a log, nothing is said at all.

    ## What to do
    - **lower-weight-decay**: Divide the decay by ten, or take it out for a trial.
    - **lower-dropout**: Take dropout out for a trial, and put back what helps the validation loss.
    - **widen-the-model**: Double the width; where it is a plain stack, add a layer.
    - **check-the-output**: An output that cannot take the targets' values (bounded, clipped, scaled) rests where
      it can go no further.

    ## When it is wrong
    Inputs that say nothing of the targets: the constant is then the best answer. A penalty that is part of the
    loss makes it larger than the constant's, so such losses are not judged.

    ## Sources
    - Goodfellow, Bengio & Courville, "Deep Learning", 2016, sections 5.2 and 11.3
    """
    stands = standing(run)
    if stands is None or not stands.stuck or len(run[loss].places) != 1:
        return
    losses = run[loss].at()[1]
    if len(losses) < patience or not np.isfinite(losses).all():
        return
    start = stats.level(losses[:FIRST])
    rose = stands.late > 1.5 * float(
        np.nanmin(stats.smooth(losses, 21))
    )  # it ran away, and did not come to rest
    if start - stands.late < fall * abs(start) or rose:
        return
    site = next((known["site"] for known in run.facts.get("losses", [])), None)
    yield Finding(
        f"The loss fell from {start:.4g} and came to rest at {stands.late:.4g}, no better than the "
        f"{stands.constant:.4g} of a constant prediction",
        evidence=(stands.evidence, Evidence("first loss", start, stands.late / (1 - fall), "loss")),
        where=(at(site),) if site else (),
        steps=stands.steps,
        fix="Take out what holds it back, one at a time: decay, dropout, a bounded output, a model too small.",
    )
