"""missing-zero-grad: the gradients of earlier steps are never cleared."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, Run, Severity, at, rule
from ..signals import leftover_grad


def regression(clear: bool) -> None:
    """Fit a plane by gradient descent that clears its gradients before each step, or never does."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    truth = torch.randn(4, 1)
    for _ in range(60):
        x = torch.randn(64, 4)
        loss = nn.functional.mse_loss(net(x), x @ truth)
        if clear:
            sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.HARM,
    needs=(leftover_grad,),
    case=Case(sick=partial(regression, False), healthy=partial(regression, True)),
)
def missing_zero_grad(
    run: Run,
    *,
    leftover: Annotated[
        float, Limit("ratio", "0 when cleared; 0.88-2.2 measured over the first steps of a loop without")
    ] = 0.05,
    share: Annotated[
        float, Limit("share of readings", "all but a stray one: accumulation leaves 0 at each first backward")
    ] = 0.9,
    patience: Annotated[int, Limit("readings", "steps 1, 2, 4: what `check` sees in its first half")] = 3,
) -> Iterator[Finding]:
    """The gradients of earlier steps are still there when a step begins.

    ## Why it hurts
    `backward` adds to what is in `.grad`. Without clearing, each step follows the sum of all gradients since
    the start: a momentum that never fades, which overshoots, swings and usually diverges.

    ## Evidence
    The norm of the gradient left over when a step's first backward pass begins, over its norm at the step. It
    is 0 where gradients are cleared between steps, however that is done (`zero_grad` of optimiser or model,
    `grad = None`), and where they are accumulated over several backward passes of one step. Reported where it
    is above `leftover` at a share of at least `share` of the readings after the first step, at least
    `patience` of them. HARM where the optimiser's `zero_grad` was called in fewer than half of the steps;
    otherwise, and where several optimisers share the gradients, a HINT.

    ## What to do
    - **clear-gradients**: Clear the gradients once per optimiser step.

        ```python
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ```

    ## When it is wrong
    Momentum made by hand, by shrinking `.grad` instead of clearing it, looks the same.

    ## Sources
    - PyTorch recipe, "Zeroing out gradients in PyTorch"
    - Karpathy, "A recipe for training neural networks", 2019: "you forgot to .zero_grad() before .backward()"
    """
    series = run[leftover_grad]
    owners = {place: _owner(run, place) for place in series.places}
    optimizers = run.facts.get("optimizers", [])
    for index in sorted({owner for owner in owners.values() if owner is not None}):
        places = [place for place in series.places if owners[place] == index]
        steps = np.concatenate([series.at(place)[0] for place in places])
        ratios = np.concatenate([series.at(place)[1] for place in places])[steps > 0]
        steps = steps[steps > 0]
        seen = len(np.unique(steps))
        if seen < patience or np.mean(ratios > leftover) < share:
            continue
        optimizer, part, calls = (
            optimizers[index],
            float(np.median(ratios)),
            optimizers[index]["zero_grad_calls"],
        )
        yield Finding(
            f"{optimizer['type']} steps on gradients that are never cleared: "
            f"what earlier steps left is {part:.2g} times the gradient",
            evidence=(
                Evidence("gradient left over at the start of a step", part, leftover, "ratio"),
                Evidence("calls of zero_grad, limit: steps", calls, run.steps, "calls"),
            ),
            where=(at(optimizer["site"]), run.where(places[0])),
            steps=(int(steps.min()), int(steps.max())),
            fix=f"Call `zero_grad()` of the {optimizer['type']} once per step, before `backward()`.",
            severity=Severity.HARM if 2 * calls < run.steps and len(optimizers) == 1 else Severity.HINT,
        )


def _owner(run: Run, place: str) -> int | None:
    parameter = run.facts.get("parameters", {}).get(place)
    return parameter["optimizer"] if parameter else None
