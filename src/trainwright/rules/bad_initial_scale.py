"""bad-initial-scale: activations grow or shrink from layer to layer before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, Run, Severity, rule
from ..signals import activation_std
from .consequence import no_better, standing
from .depth import LAYERS, layers, only, pace, weights
from .divergence import diverged

STILL = 1e-7
"""Change per step below which the first weights get nowhere: 1 % in 100,000 steps."""


def relu_stack(gain: float) -> None:
    """Train eight ReLU layers whose starting weights are `gain` times those of He."""
    import torch
    from torch import nn

    net = nn.Sequential(*(m for _ in range(8) for m in (nn.Linear(32, 32), nn.ReLU())), nn.Linear(32, 4))
    for m in net:
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=gain * (2 / m.in_features) ** 0.5)
            nn.init.zeros_(m.bias)
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(200):
        x = torch.randn(64, 32)
        loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.HARM,
    needs=(activation_std,),
    case=Case(sick=partial(relu_stack, 0.2), healthy=partial(relu_stack, 1.0)),
)
def bad_initial_scale(
    run: Run,
    *,
    factor: Annotated[
        float, Limit("per layer", "He's start gives 1; torch's own for linear layers 0.41 with ReLU")
    ] = 2.0,
    change: Annotated[
        float,
        Limit(
            "first to last layer",
            "torch's own start, held by its biases, stays within ten",
        ),
    ] = 1e3,
) -> Iterator[Finding]:
    """Activations grow or shrink from layer to layer before the first step.

    ## Why it hurts
    Each layer multiplies the spread of what passes through it. By the power of depth a factor of two becomes
    thousands: the answer no longer depends on the input, or is thousands of times too large, and gradients go
    the same way.

    ## Evidence
    At the first reading the standard deviation of the hidden layers' outputs changes by a factor of `factor`
    or more a layer in the median, in one direction, and by `change` or more over all. He's or Glorot's start
    gives 1 a layer. It is harm if the loss then diverges or is no better than a constant prediction and does
    not improve, or if, before that can be known, the first layers stand still; otherwise a hint.

    ## What to do
    - **unit-variance-init**: Start with weights that keep the variance of activations from layer to layer.

          for m in net.modules():
              if isinstance(m, nn.Linear | nn.Conv2d):
                  nn.init.kaiming_normal_(m.weight, nonlinearity="relu")  # tanh: nn.init.xavier_normal_
                  nn.init.zeros_(m.bias)

    - **add-normalisation**: Put a normalisation layer behind each layer; the starting scale then cancels.

    ## When it is wrong
    Residual streams grow with depth, but by their square root; the output layer may start small on purpose
    and is not looked at. A net that trains all the same gets a hint.

    ## Sources
    - He et al., "Delving deep into rectifiers", ICCV 2015, equations 10 and 14
    - Mishkin & Matas, "All you need is a good init", ICLR 2016
    """
    names = layers(run)[:-1]  # the output layer has reasons of its own
    seen = only(run[activation_std], names)
    if len(seen.places) < LAYERS or not len(seen.steps) or seen.steps[0] > 1:
        return
    stds = np.maximum(seen.values[0].astype(np.float64), 1e-38)
    if not np.all(np.isfinite(stds)):
        return
    steps = np.log(stds[1:] / stds[:-1])
    typical, whole = float(np.exp(np.median(steps))), float(stds[-1] / stds[0])
    grows = typical > 1
    if (
        max(typical, 1 / typical) < factor
        or max(whole, 1 / whole) < change
        or np.mean((steps > 0) == grows) < 0.8
    ):
        return
    stands, away = standing(run), diverged(run)
    still = pace(run, weights(run)[:2]) < STILL and no_better(run)
    stuck = stands.stuck if stands else still and not grows
    harm = stuck or (grows and bool(away))
    first, last = seen.places[0], seen.places[-1]
    how = "grows" if grows else "shrinks"
    shown = (
        f"; {away.sentence}" if away else f"; the loss stays at {stands.late:.4g}" if stands and stuck else ""
    )
    yield Finding(
        f"Before training the spread of activations {how} from {stds[0]:.2g} behind `{first}` to "
        f"{stds[-1]:.2g} "
        f"behind `{last}`, by {typical:.2g} a layer{shown}",
        evidence=(
            Evidence(
                "spread of activations, factor per layer",
                typical,
                factor if grows else 1 / factor,
                "per layer",
            ),
            Evidence("last layer / first layer", whole, change if grows else 1 / change, "ratio"),
            *((away.evidence,) if away else (stands.evidence,) if stands else ()),
        ),
        where=(run.where(first), run.where(last)),
        steps=(int(seen.steps[0]), int(seen.steps[0])),
        fix=f"Start the layers from `{first}` to `{last}` with `nn.init.kaiming_normal_` (ReLU) or "
        f"`nn.init.xavier_normal_` "
        f"(tanh), which keep the spread at 1 a layer.",
        severity=Severity.HARM if harm else Severity.HINT,
    )
