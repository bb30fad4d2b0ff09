"""learning-rate-too-high: the first steps are as large as the weights, and the loss runs away."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from .. import stats
from ..core import Case, Evidence, Finding, Limit, Run, Severity, at, rule
from ..signals import learning_rate, loss, update_ratio
from .consequence import standing
from .depth import largest, only, weights
from .divergence import ABOVE, FAR, diverged


def adam(lr: float) -> None:
    """Train a small classifier with Adam at the rate `lr`."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    for _ in range(200):
        x = torch.randn(64, 16)
        loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@rule(
    severity=Severity.HARM,
    needs=(loss, update_ratio),
    case=Case(sick=partial(adam, 1.0), healthy=partial(adam, 0.003)),
)
def learning_rate_too_high(
    run: Run,
    *,
    update: Annotated[
        float,
        Limit(
            "of the weights' size per step", "a hundred times the 1e-3 that is aimed at (Bottou, section 5.1)"
        ),
    ] = 0.1,
) -> Iterator[Finding]:
    """The steps are as large as the weights, and the loss runs away.

    ## Why it hurts
    A step goes downhill only within the reach of the gradient. A larger one lands higher up, where gradients
    are larger still, or so far out that units die and outputs saturate: what follows does not come back.

    ## Evidence
    Both a cause and its effect. At some reading a step changed a typical weight matrix by `update` of its
    size or more. And the loss ran away: it ends in values that are not finite, or above its start and above
    the constant prediction's, or it rose to one and a half times both and is no better than the latter since.
    Large steps alone are not reported: their size says nothing while the loss falls.

    ## What to do
    - **lower-learning-rate**: Divide the rate by ten until the loss falls from the first steps on.
    - **warm-up**: If only the first steps are too large, raise the rate over some hundred steps.

          warm_up = torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, total_iters=200)

    - **clip-gradients**: If single batches do it, `torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)`.

    ## When it is wrong
    Gradients that are never zeroed, targets or inputs that were not scaled, and a start that is too large
    make any rate too high: cure those first, where they are reported. A loss that is meant to rise, as in
    reinforcement learning, and losses that play against each other are not judged.

    ## Sources
    - Bottou, "Stochastic gradient descent tricks", 2012
    - Cohen et al., "Gradient descent on neural networks typically occurs at the edge of stability", ICLR 2021
    """
    if len(run[loss].places) != 1:
        return
    moved = only(run[update_ratio], weights(run))
    steps, losses = run[loss].at()
    if not moved.places or not len(losses) or not np.isfinite(losses[0]):
        return
    typical = np.array([stats.level(row) for row in moved.values])
    large, away = np.flatnonzero(typical >= update), diverged(run)
    if not len(large) or not away:
        return
    peak = float(typical[large].max())
    rates = largest(run[learning_rate].values) if learning_rate in run else np.empty(0)
    rates = rates[~np.isnan(rates)]
    rate = f"at a learning rate of {rates.max():.3g} " if len(rates) else ""
    lower = f", to {rates.max() / 10:.2g}" if len(rates) else ""
    fastest = moved.places[int(np.argmax(np.nan_to_num(moved.values[large[0]])))]
    early = (
        standing(run) is None and away.top < FAR * losses[0]
    )  # too few steps to say that it does not come back
    yield Finding(
        f"A step {rate}changes the weights by {peak:.2g} of their size, most at `{fastest}`; {away.sentence}",
        evidence=(
            Evidence("change of a typical weight matrix", peak, update, "of its size per step"),
            Evidence("highest loss / first loss", away.top / max(float(losses[0]), 1e-30), ABOVE, "ratio"),
            away.evidence,
        ),
        where=(at(next((o["site"] for o in run.facts.get("optimizers", [])), None)), run.where(fastest)),
        steps=(int(moved.steps[large[0]]), int(steps[-1])),
        fix=f"Divide the learning rate by ten{lower}, or warm it up.",
        severity=Severity.HINT if early else Severity.HARM,
    )
