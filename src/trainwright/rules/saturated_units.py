"""saturated-units: hidden sigmoid or tanh units that sit in the flat part of their curve."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, Run, Severity, rule
from ..signals import activation_std
from ..signals import saturated_units as saturated_share
from .consequence import no_better, standing

GROSS = 0.9
"""Before the loss can tell: a layer that lets a tenth of the gradient through from the first step on."""


def tanh_layers(std: float) -> None:
    """Train four tanh layers whose weights start with standard deviation `std`."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(16, 64), nn.Tanh())
    net.extend(m for _ in range(3) for m in (nn.Linear(64, 64), nn.Tanh()))
    net.append(nn.Linear(64, 4))
    for m in list(net)[:-1]:
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=std)
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(300):
        x = torch.randn(64, 16)
        loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.HARM,
    needs=(saturated_share,),
    case=Case(sick=partial(tanh_layers, 3.0), healthy=partial(tanh_layers, 0.15)),
)
def saturated_units(
    run: Run,
    *,
    share: Annotated[
        float,
        Limit(
            "share of outputs",
            "of a unit normal input 3 % lie where tanh's slope is below 5 % of its steepest",
        ),
    ] = 0.5,
    patience: Annotated[int, Limit("readings", "what the first 10 steps give at the least")] = 5,
) -> Iterator[Finding]:
    """Hidden sigmoid or tanh units sit in the flat part of their curve.

    ## Why it hurts
    The gradient is multiplied by the slope of each activation. In the flat part the slope is near zero: the
    layers before get next to nothing, and the units answer nearly the same whatever they are shown.

    ## Evidence
    On each of the last `patience` readings more than `share` of a hidden layer's outputs lie where the slope
    is below 5 % of the steepest. It is harm if the loss is no better than a constant prediction and does not
    improve, or if, before that can be known, nine tenths of them have been there from the start; otherwise a
    hint.

    ## What to do
    - **unit-variance-init**: Start with weights that give each unit an input of variance 1.

          for m in net.modules():
              if isinstance(m, nn.Linear):
                  nn.init.xavier_normal_(m.weight)
                  nn.init.zeros_(m.bias)

    - **scale-inputs**: If it is the first layer, bring each feature to mean 0 and standard deviation 1.
    - **add-normalisation**: Put `nn.LayerNorm(width)` or `nn.BatchNorm1d(width)` before the activation.
    - **swap-activation**: Use ReLU or GELU between layers; they are not flat on both sides.

    ## When it is wrong
    Layers without such an activation are not looked at, and the output layer may be as confident as it likes.
    A gate is meant to saturate: where the loss learns, it is a hint. The gates inside `nn.LSTM` and `nn.GRU`
    are not seen.

    ## Sources
    - Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
      2010
    - LeCun, Bottou, Orr & Müller, "Efficient BackProp", 1998
    """
    stands, series = standing(run), run[saturated_share]
    output = run[activation_std].places[-1:] if activation_std in run else ()
    for place in series.places:
        steps, shares = series.at(place)
        if place in output or len(shares) < patience or not np.all(shares[-patience:] > share):
            continue
        harm = stands.stuck if stands else bool(np.all(shares > GROSS)) and no_better(run)
        below = np.flatnonzero(shares <= share)
        known = run.facts.get("modules", {}).get(place)
        function = (known["activation"] if known else None) or "activation"
        now = float(np.median(shares[-patience:]))
        yield Finding(
            f"{now:.0%} of the {function} outputs behind `{place}` are in the flat part"
            + (f"; the loss stays at {stands.late:.4g}" if stands and harm else ""),
            evidence=(
                Evidence(f"flat {function} outputs", now, share, "share of outputs"),
                *((stands.evidence,) if stands else ()),
            ),
            where=(run.where(place),),
            steps=(int(steps[below[-1] + 1]) if len(below) else int(steps[0]), int(steps[-1])),
            fix=f"Start `{place}` with smaller weights (`nn.init.xavier_normal_`), scale its input to unit "
            f"variance, or "
            f"put a normalisation before its {function}.",
            severity=Severity.HARM if harm else Severity.HINT,
        )
