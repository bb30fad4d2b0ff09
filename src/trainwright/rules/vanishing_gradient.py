"""vanishing-gradient: early layers receive almost no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, Run, Severity, rule
from ..signals import dead_units, grad_norm, update_ratio
from .consequence import no_better, standing
from .depth import flow, layers, pace, passed, weights

FEW = 100
"""Layers that move this many times faster than standing still are no hint: they get somewhere."""


def tanh_stack(std: float) -> None:
    """Train twelve tanh layers whose weights start with standard deviation `std`."""
    import torch
    from torch import nn

    net = nn.Sequential(*(m for _ in range(12) for m in (nn.Linear(32, 32), nn.Tanh())), nn.Linear(32, 1))
    for p in net.parameters():
        nn.init.normal_(p, std=std)
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(200):
        x = torch.randn(64, 32)
        loss = nn.functional.mse_loss(net(x), x[:, :1].sin())
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.HARM,
    needs=(grad_norm, update_ratio),
    case=Case(sick=partial(tanh_stack, 0.03), healthy=partial(tanh_stack, 0.18)),
)
def vanishing_gradient(
    run: Run,
    *,
    ratio: Annotated[
        float, Limit("first / last layers", "a good start gives 1; bench/healthy 0.002 or more")
    ] = 1e-4,
    gross: Annotated[
        float, Limit("change per step", "1 % in 100,000 steps is more than any usual run has")
    ] = 1e-7,
    patience: Annotated[int, Limit("readings", "what the first 10 steps give at the least")] = 5,
) -> Iterator[Finding]:
    """Early layers receive almost no gradient.

    ## Why it hurts
    The gradient is multiplied by each layer's weights and slopes on its way back. Where that product shrinks,
    the first layers stay as they were initialised, and all later layers must work with random features.

    ## Evidence
    The gradient that reaches the first quarter of the layers is less than `ratio` of what reaches the last
    quarter, on at least four of five readings from the start on. It is harm if the loss is no better than a
    constant prediction and does not improve, or if, before that can be known, the first layers' weights move
    by less than `gross` a step.

    ## What to do
    - **unit-variance-init**: Start with weights that keep the variance of activations from layer to layer.

          for m in net.modules():
              if isinstance(m, nn.Linear):
                  nn.init.kaiming_normal_(m.weight, nonlinearity="relu")  # tanh: nn.init.xavier_normal_
                  nn.init.zeros_(m.bias)

    - **add-normalisation**: Put a normalisation layer, such as `nn.LayerNorm(width)`, before each activation.
    - **add-residual-connections**: Let each block add to its input, `x = x + block(x)`, so that the gradient
      has a short way.
    - **swap-activation**: Replace sigmoid between layers, whose slope is at most 1/4, by ReLU or GELU.

    ## When it is wrong
    Layers that are frozen on purpose are not looked at, nor are embeddings. With Adam small gradients still
    move weights; the rule then waits for the loss. Where a layer is dead as a whole, `dead-units` says so,
    not this. A loss without a constant reference, such as one of your own, gives a hint at most unless the
    first layers stand still.

    ## Sources
    - Hochreiter, "Untersuchungen zu dynamischen neuronalen Netzen", 1991
    - Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
      2010
    """
    seen, stands = flow(run), standing(run)
    if seen is None or (stands and stands.learned):
        return
    shares = passed(seen)
    steps, shares = seen.steps[~np.isnan(shares)], shares[~np.isnan(shares)]
    low = shares < ratio
    if len(shares) < patience or not low[0] or low.mean() < 0.8:
        return
    if not shares[low].any() and dead_units in run and np.any(run[dead_units].values[-1] == 1):
        return  # a layer without a living unit cuts it off; that is another fault
    names = weights(run)
    moved = pace(run, names[: max(1, len(names) // 4)])
    harm = stands.stuck if stands else moved < gross and no_better(run)
    if not harm and not moved < FEW * gross:  # they train, only with small gradients, as they may under Adam
        return
    first, last, share = layers(run)[0], layers(run)[-1], float(np.median(shares))
    stays = f"; the loss stays at {stands.late:.4g}" if stands and harm else ""
    yield Finding(
        f"Layers from `{first}` on get {share:.1e} of the gradient that reaches `{last}`, "
        f"and a step changes their weights by {moved:.1e} of their size{stays}",
        evidence=(
            Evidence("gradient of the first layers / of the last", share, ratio, "ratio"),
            Evidence("change of the first layers' weights", moved, gross, "of their size per step"),
            *((stands.evidence,) if stands else ()),
        ),
        where=(run.where(first), run.where(last)),
        steps=(int(steps[low][0]), int(steps[low][-1])),
        fix=f"Start the layers from `{first}` to `{last}` with weights that keep the variance of what passes "
        f"through them, or put normalisations or residual connections between them.",
        severity=Severity.HARM if harm else Severity.HINT,
    )
