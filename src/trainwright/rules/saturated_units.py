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

HALF = 0.5
"""With all layers flat throughout, a loss above this share of the constant prediction's is their doing."""


def sigmoid_layers(bias: float) -> None:
    """Train two sigmoid layers whose biases start at `bias`."""
    import torch
    from torch import nn

    first, second = nn.Linear(16, 64), nn.Linear(64, 64)
    net = nn.Sequential(first, nn.Sigmoid(), second, nn.Sigmoid(), nn.Linear(64, 4))
    nn.init.constant_(first.bias, bias)
    nn.init.constant_(second.bias, bias)
    adam = torch.optim.Adam(net.parameters(), lr=0.003)
    for _ in range(300):
        x = torch.randn(64, 16)
        loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1))
        adam.zero_grad()
        loss.backward()
        adam.step()


@rule(
    severity=Severity.HARM,
    needs=(saturated_share,),
    case=Case(sick=partial(sigmoid_layers, 8.0), healthy=partial(sigmoid_layers, 0.0)),
)
def saturated_units(
    run: Run,
    *,
    share: Annotated[
        float,
        Limit(
            "share of outputs",
            "half of a layer: in bench/healthy 0.24 or less",
        ),
    ] = 0.5,
    patience: Annotated[int, Limit("readings", "what the first 10 steps give at the least")] = 5,
) -> Iterator[Finding]:
    """Hidden sigmoid or tanh units sit in the flat part of their curve.

    ## Why it hurts
    The gradient is multiplied by the slope of each activation. In the flat part the slope is near zero: the
    layers before get next to nothing, and the units answer nearly the same whatever they are shown.

    ## Evidence
    On each of the last `patience` readings more than `share` of a hidden layer's outputs lie where the
    slope is below 5 % of the steepest. It is harm if the loss is no better than a constant prediction and
    does not improve, or if all hidden layers were like that at every reading and the loss is still above
    half of a constant prediction's. Before that can be known, it is harm if nine tenths of a layer have
    been there from the start. Otherwise it is a hint.

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
    hidden = {place: series.at(place) for place in series.places if place not in output}
    flat = {p: s for p, s in hidden.items() if len(s[1]) >= patience and np.all(s[1][-patience:] > share)}
    if not flat:
        return
    now = {place: float(np.median(shares[-patience:])) for place, (_, shares) in flat.items()}
    worst = max(now, key=lambda place: now[place])
    gross = any(np.all(shares > GROSS) for _, shares in flat.values())
    always = len(flat) == len(hidden) > 1 and all(np.all(shares > share) for _, shares in flat.values())
    slow = bool(stands and always and stands.late > HALF * stands.constant)
    harm = slow or stands.stuck if stands else gross and no_better(run)
    steps, shares = flat[worst]
    below = np.flatnonzero(shares <= share)
    known = run.facts.get("modules", {}).get(worst)
    function = (known["activation"] if known else None) or "activation"
    more = f", and more than {share:.0%} behind {len(flat) - 1} more" if len(flat) > 1 else ""
    stays = f"; the loss is {stands.late:.4g}, a constant's {stands.constant:.4g}" if stands and harm else ""
    yield Finding(
        f"{now[worst]:.0%} of the {function} outputs behind `{worst}` are in the flat part{more}{stays}",
        evidence=(
            *(Evidence(f"flat outputs behind `{p}`", now[p], share, "share of outputs") for p in flat),
            *((stands.evidence,) if stands else ()),
        ),
        where=tuple(run.where(place) for place in sorted(flat, key=lambda place: -now[place])),
        steps=(int(steps[below[-1] + 1]) if len(below) else int(steps[0]), int(steps[-1])),
        fix=f"Start `{worst}` with smaller weights (`nn.init.xavier_normal_`) and zero bias, "
        f"scale its input, or put a normalisation before its {function}.",
        severity=Severity.HARM if harm else Severity.HINT,
    )
