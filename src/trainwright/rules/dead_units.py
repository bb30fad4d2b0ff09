"""dead-units: units that are zero for every sample, so that no gradient can wake them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, Run, Severity, rule
from ..signals import dead_units as dead_share
from ..signals import grad_norm
from .consequence import no_better, standing

FIRST = 16
"""Units found dead by this step, at the fifth reading, were dead from the start or died at once."""


def shifted_relu(bias: float) -> None:
    """Train two ReLU layers whose biases start at `bias`."""
    import torch
    from torch import nn

    first, second = nn.Linear(16, 64), nn.Linear(64, 64)
    net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Linear(64, 4))
    nn.init.constant_(first.bias, bias)
    nn.init.constant_(second.bias, bias)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(200):
        x = torch.randn(64, 16)
        loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.HARM,
    needs=(dead_share,),
    case=Case(sick=partial(shifted_relu, -8.0), healthy=partial(shifted_relu, 0.0)),
)
def dead_units(
    run: Run,
    *,
    share: Annotated[
        float,
        Limit("share of units", "half of a layer: in bench/healthy 0.47 or less"),
    ] = 0.5,
) -> Iterator[Finding]:
    """Units that are zero for every sample, so that no gradient can wake them.

    ## Why it hurts
    A ReLU has slope 0 where its input is negative. A unit whose input is negative for every sample gets no
    gradient from any of them and stays as it is; a layer of which all units are dead passes nothing on and
    nothing back.

    ## Evidence
    More than `share` of a layer's units were zero for every sample of at least five readings in a row, at the
    end of what was seen. It is harm if the loss is no better than a constant prediction and does not improve,
    or if the whole layer is dead and its own weights get a gradient of exactly zero; otherwise a hint.

    ## What to do
    - **lower-learning-rate**: Units that die after the first steps were pushed there by a step too large:
      divide the rate by ten, or warm up.
    - **zero-bias-init**: Units dead from step 0 come from large negative biases or unscaled inputs: start
      with `nn.init.zeros_(layer.bias)` and inputs of mean 0 and standard deviation 1.
    - **leaky-activation**: Keep a slope on the negative side, so that no unit is lost for good.

          nn.LeakyReLU(0.01)  # or nn.GELU(), nn.SiLU()

    - **add-normalisation**: A normalisation layer before the ReLU keeps half of its inputs positive.

    ## When it is wrong
    Ordinary sparsity is not meant: units that are zero for most samples are counted as alive. A very wide
    layer may have units that wait for rare samples, and pruning or strong weight decay makes dead units on
    purpose: hints.

    ## Sources
    - Lu et al., "Dying ReLU and initialization: theory and numerical examples", 2019
    - Maas, Hannun & Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013
    """
    stands, series = standing(run), run[dead_share]
    stuck = stands.stuck if stands else False
    dead = {place: series.at(place) for place in series.places}
    dead = {place: s for place, s in dead.items() if len(s[1]) and s[1][-1] > share}
    if not dead:
        return
    worst = max(dead, key=lambda place: float(dead[place][1][-1]))
    steps, shares = dead[worst]
    cut_off = shares[-1] == 1 and _no_gradient(run, worst) and (stuck or (not stands and no_better(run)))
    alive = np.flatnonzero(shares <= share)
    since = int(steps[alive[-1] + 1]) if len(alive) else int(steps[0])
    more = f", and more than {share:.0%} behind {len(dead) - 1} more" if len(dead) > 1 else ""
    stays = f"; the loss stays at {stands.late:.4g}" if stands and stuck else ""
    yield Finding(
        f"{shares[-1]:.0%} of the units behind `{worst}` are zero for every sample{more}"
        + (f", and `{worst}` gets no gradient at all" if cut_off else "")
        + stays,
        evidence=(
            *(
                Evidence(f"dead units behind `{p}`", float(s[1][-1]), share, "share of units")
                for p, s in dead.items()
            ),
            *((stands.evidence,) if stands else ()),
        ),
        where=tuple(run.where(place) for place in sorted(dead, key=lambda place: -dead[place][1][-1])),
        steps=(since, int(steps[-1])),
        fix=f"Start `{worst}` with zero bias, and scale its input to mean 0 and standard deviation 1."
        if since <= FIRST
        else f"Lower the learning rate, or put `nn.LeakyReLU` behind `{worst}`, so that its units can wake.",
        severity=Severity.HARM if stuck or cut_off else Severity.HINT,
    )


def _no_gradient(run: Run, module: str) -> bool:
    """The module's own weights got a gradient of exactly zero at the last reading."""
    if grad_norm not in run:
        return False
    own = [p for p, known in run.facts.get("parameters", {}).items() if known["module"] == module]
    last = [run[grad_norm].at(p)[1][-1:] for p in own]
    return any(len(g) for g in last) and not any(g.any() for g in last)
