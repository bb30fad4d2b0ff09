"""learning-rate-too-low: all the steps together hardly change the weights, and the loss is where it began."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, Run, Severity, at, rule
from ..signals import grad_norm, learning_rate, loss, update_ratio, weight_norm
from .consequence import standing
from .depth import largest, only, pace, weights

LONG = 50
"""Steps after which a loss that is no better than a constant prediction's is held against the rate."""


def sgd(lr: float) -> None:
    """Train a small classifier with gradient descent at the rate `lr`."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    for _ in range(300):
        x = torch.randn(64, 16)
        loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@rule(
    severity=Severity.HARM,
    needs=(loss, update_ratio, grad_norm, weight_norm),
    case=Case(sick=partial(sgd, 1e-6), healthy=partial(sgd, 0.03)),
)
def learning_rate_too_low(
    run: Run,
    *,
    update: Annotated[
        float, Limit("of the weights' size per step", "a hundredth of the usual 1e-3 (Bottou, section 5.1)")
    ] = 1e-5,
    travel: Annotated[
        float, Limit("of the weights' size, all steps", "weights that are 99 % their start know nothing")
    ] = 0.01,
    slope: Annotated[
        float, Limit("gradient / weight", "bench/healthy: 0.02 or more, once converged less")
    ] = 1e-3,
) -> Iterator[Finding]:
    """All the steps together hardly change the weights, and the loss is where it began.

    ## Why it hurts
    The gradient shows the way, and nearly none of it is gone. The run looks healthy and ends where it
    started.

    ## Evidence
    At full rate a step changes even the fastest weight matrix by less than `update` of its size, all steps
    seen together by less than `travel`, while its gradient is larger than `slope` of it: the rate is small,
    not the gradient. It is harm if the loss is no better than a constant prediction after at least 50 steps;
    before, a hint.

    ## What to do
    - **raise-learning-rate**: Multiply the rate by ten until the loss falls visibly, or find where it falls
      fastest. Usual starts are 1e-3 for Adam and 1e-2 to 1e-1 for SGD with momentum.
    - **check-schedule**: If the rate was meant to be higher, look where it is stepped: a schedule written for
      epochs and stepped per batch ends too early.

    ## When it is wrong
    A run that has converged or was annealed is not meant: its loss is below the constant prediction's, and
    readings at less than half of the highest rate do not count. While a warm-up is under way nothing is said,
    and after weights were loaded it is a hint at most.

    ## Sources
    - Bottou, "Stochastic gradient descent tricks", 2012, section 5.1
    """
    names = weights(run)
    steps, losses = run[loss].at()
    at_rate, rates = steps, np.ones(len(steps))
    if learning_rate in run:  # of the group with the highest rate
        at_rate, rates = run[learning_rate].steps, np.nan_to_num(largest(run[learning_rate].values))
    if not len(rates) or not len(losses):
        return
    full = at_rate[rates >= 0.5 * rates.max()]
    moved = only(run[update_ratio], names)
    moved = moved._replace(steps=moved.steps[keep := np.isin(moved.steps, full)], values=moved.values[keep])
    step = pace(Run({update_ratio.name: moved}), names)
    distance = step * len(full)
    gradient = _relative(run, names)
    if not step < update or not distance < travel or not gradient > slope:
        return
    stands = standing(run)
    if stands is not None and (stands.learned or stands.learned is None):
        return
    if rates[-1] == rates.max() > rates[0]:  # a warm-up is under way
        return
    harm = len(losses) >= LONG and stands is not None and not run.facts.get("loaded")
    fastest = moved.places[int(np.argmax(np.nan_to_num(moved.values).max(axis=0)))]
    rate = f"{rates.max():.3g}" if learning_rate in run else "this rate"
    went = f": the loss went from {losses[0]:.4g} to {stands.late:.4g}" if stands else ""
    yield Finding(
        f"At a learning rate of {rate} a step changes even `{fastest}` by only {step:.1e} of its size, "
        f"and {len(full)} steps by {distance:.1e}{went}",
        evidence=(
            Evidence("change of the fastest weight matrix", step, update, "of its size per step"),
            Evidence("all steps together, at most", distance, travel, "of its size"),
            *((stands.evidence,) if stands else ()),
        ),
        where=(at(next((o["site"] for o in run.facts.get("optimizers", [])), None)), run.where(fastest)),
        steps=(int(full[0]), int(full[-1])),
        fix="Multiply the learning rate by ten until the loss falls from the first steps on.",
        severity=Severity.HARM if harm else Severity.HINT,
    )


def _relative(run: Run, names: tuple[str, ...]) -> float:
    """Largest gradient relative to its weight, median over readings."""
    grads, sizes = only(run[grad_norm], names), only(run[weight_norm], names)
    ratios = [
        float(np.median(grads.at(p)[1])) / max(float(np.median(sizes.at(p)[1])), 1e-12)
        for p in grads.places
        if p in sizes.places
    ]
    return max(ratios, default=float("nan"))
