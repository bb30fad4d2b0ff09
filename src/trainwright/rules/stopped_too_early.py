"""stopped-too-early: the loss was still falling when the training ended."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from ..core import Case, Evidence, Finding, Run, Severity, at, rule
from ..signals import learning_rate, loss
from .promise import promise
from .verdict import STEPS


def plane(steps: int) -> None:
    """Fit a noisy plane for so many steps."""
    import torch
    from torch import nn

    net = nn.Linear(8, 1)
    sgd = torch.optim.SGD(net.parameters(), lr=0.005)
    truth = torch.randn(8, 1)
    for _ in range(steps):
        x = torch.randn(64, 8)
        loss = nn.functional.mse_loss(net(x), x @ truth + 0.2 * torch.randn(64, 1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.HINT,
    needs=(loss,),
    case=Case(sick=partial(plane, 150), healthy=partial(plane, 700)),
)
def stopped_too_early(run: Run) -> Iterator[Finding]:
    """The loss was still falling when the training ended.

    ## Why it hurts
    Nothing is broken; what more steps would have given is left lying. It is a hint, never an alarm.

    ## Evidence
    The validation loss, where it was read at seven passes or more, otherwise the training loss over at least
    60 steps, falls over the last third of the run, beyond its noise (Theil-Sen, 95 %). Carried on for as many
    steps again, and slowed once more by as much as it slowed from the third before, that promises a fall of
    more than 1 % of the loss, and of all that was gained. The verdict on the run rests on the same estimate.

    ## What to do
    - **train-longer**: Train for as many steps again as a third of the run, and look again.
    - **longer-schedule**: Where the learning rate was annealed to its end, build the schedule anew for all the
      steps: more steps at a rate of zero give nothing.
    - **raise-learning-rate**: A loss that falls evenly from the first step to the last bears a higher rate.

    ## When it is wrong
    A training loss that falls says nothing of new data: without a validation loss, train longer only with
    one. What was stopped on purpose (a budget, a first look, `check`) is told what it knows. Several losses
    that play against each other give no promise.

    ## Sources
    - Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 1968
    - Hoffer et al., "Train longer, generalize better", NeurIPS 2017
    """
    more = promise(run) if run.steps >= STEPS else None
    if more is None:
        return
    bottom = 0.0 if run[loss].at()[1].min() >= 0 else -np.inf  # a trend is a line, and knows no bottom
    about, best, least = (max(more.level - fall, bottom) for fall in (more.fall, more.high, more.low))
    site = next((known["site"] for known in run.facts.get("losses", [])), None)
    ran_out = _annealed(run)
    unseen = "; no validation loss shows whether new data gain, too" if more.name == "training loss" else ""
    yield Finding(
        f"The {more.name} still falls at the end: another {more.steps:,} steps would bring it from "
        f"{more.level:.3g} to about {about:.3g} ({best:.3g} to {least:.3g}){unseen}",
        evidence=(
            Evidence(
                f"{more.name} after another {more.steps:,} steps, limit: now", about, more.level, "loss"
            ),
            Evidence("its fall to come, lower end of the 95 % interval", more.low, 0.0, "loss"),
        ),
        where=(at(site),) if site else (),
        steps=(max(0, run.steps - 1 - more.steps), max(0, run.steps - 1)),
        fix=f"Train for another {more.steps:,} steps"
        + (", with a schedule that is as much longer: this one has run out." if ran_out else "."),
    )


def _annealed(run: Run) -> bool:
    """The learning rate has come to its end."""
    _, rates = run[learning_rate].at("0") if learning_rate in run else ((), np.empty(0))
    return bool(rates.size and rates[-1] < 0.01 * rates.max())
