"""exploding-gradient: the gradient grows from layer to layer on its way back, or from step to step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, Run, Severity, rule
from ..signals import grad_norm
from .depth import flow, layers, passed
from .divergence import diverged


def relu_stack(gain: float) -> None:
    """Train twelve ReLU layers whose starting weights are `gain` times those of He."""
    import torch
    from torch import nn

    net = nn.Sequential(*(m for _ in range(12) for m in (nn.Linear(32, 32), nn.ReLU())), nn.Linear(32, 1))
    for m in net:
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, std=gain * (2 / m.in_features) ** 0.5)
            nn.init.zeros_(m.bias)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(150):
        x = torch.randn(64, 32)
        loss = nn.functional.mse_loss(net(x), x[:, :1].sin())
        adam.zero_grad()
        loss.backward()
        adam.step()


@rule(
    severity=Severity.HARM,
    needs=(grad_norm,),
    case=Case(sick=partial(relu_stack, 2.5), healthy=partial(relu_stack, 1.0)),
)
def exploding_gradient(
    run: Run,
    *,
    depth: Annotated[
        float,
        Limit(
            "first / last layers", "well-initialised depth gives 1; 2.5 times He's weights give 2.5 a layer"
        ),
    ] = 1e3,
    growth: Annotated[
        float, Limit("largest / first steps", "an order beyond the tenfold drift of healthy training")
    ] = 1e2,
) -> Iterator[Finding]:
    """The gradient grows from layer to layer on its way back, or from step to step.

    ## Why it hurts
    A step is right only as far as the loss looks like its tangent. Where gradients grow, one rate cannot suit
    all layers or all steps: the first large step throws the weights away, and what was learned with them.

    ## Evidence
    Through depth: from the start on the first quarter of the layers gets more than `depth` times the gradient
    of the last. Over time: the norm of the whole gradient rises above `growth` times what it was over the
    first readings. Neither is a fault alone. It is harm if the loss diverged: it is not finite, or lies above
    its start and above the constant prediction's, or began far above the latter and did not come down to it.

    ## What to do
    - **unit-variance-init**: Start with weights that keep the variance of activations from layer to layer.

          for m in net.modules():
              if isinstance(m, nn.Linear):
                  nn.init.kaiming_normal_(m.weight, nonlinearity="relu")  # tanh: nn.init.xavier_normal_
                  nn.init.zeros_(m.bias)

    - **clip-gradients**: Bound the length of the gradient before each step; it is the usual guard for
      recurrent networks.

          loss.backward()
          torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
          optimizer.step()

    - **lower-learning-rate**: Divide the rate by ten; where the gradient grew over the steps this may be all.
    - **add-normalisation**: Put a normalisation layer between the layers, so that scale cannot build up.

    ## When it is wrong
    Large but steady gradients are fine and not reported, whatever their norm. A loss that is meant to rise,
    as in reinforcement learning, or two losses that play against each other give a hint at most.

    ## Sources
    - Bengio, Simard & Frasconi, "Learning long-term dependencies with gradient descent is difficult", 1994
    - Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", ICML 2013
    """
    harm = diverged(run)
    seen = flow(run)
    shares = passed(seen) if seen is not None else np.empty(0)
    early = shares[:5][np.isfinite(shares[:5])]
    if seen is not None and len(early) and np.all(early > depth):
        first, last, share = layers(run)[0], layers(run)[-1], float(np.median(early))
        yield Finding(
            f"Layers from `{first}` on get {share:.1e} times the gradient that reaches `{last}`"
            + (f"; {harm.sentence}" if harm else ""),
            evidence=(
                Evidence("gradient of the first layers / of the last", share, depth, "ratio"),
                *((harm.evidence,) if harm else ()),
            ),
            where=(run.where(first), run.where(last)),
            steps=(int(seen.steps[0]), int(seen.steps[-1])),
            fix=f"Start the layers from `{first}` to `{last}` with weights that keep the variance of what "
            f"passes through "
            f"them, such as those of `nn.init.kaiming_normal_`.",
            severity=Severity.HARM if harm else Severity.HINT,
        )
        return
    norms = run[grad_norm]
    whole = np.sqrt(np.nansum(norms.values.astype(np.float64) ** 2, axis=1))
    finite = np.isfinite(whole) & (whole > 0)
    whole, values, steps = whole[finite], norms.values[finite], norms.steps[finite]
    if not harm or len(whole) < 2 or whole.max() <= growth * whole[0]:
        return
    top, high = int(np.argmax(whole)), steps[whole > growth * whole[0]]
    place = norms.places[int(np.nanargmax(values[top]))]
    yield Finding(
        f"The gradient grew from {whole[0]:.2e} to {whole[top]:.2e} at step {steps[top]}, most of it in "
        f"`{place}`; "
        f"{harm.sentence}",
        evidence=(
            Evidence("gradient norm / at first", float(whole[top] / whole[0]), growth, "ratio"),
            harm.evidence,
        ),
        where=(run.where(place),),
        steps=(int(high[0]), int(high[-1])),
        fix="Lower the learning rate, and bound the step with "
        "`torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)` before `optimizer.step()`.",
    )
