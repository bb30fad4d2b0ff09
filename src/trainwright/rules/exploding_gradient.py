"""exploding-gradient: the gradient grows from layer to layer on its way back, or from step to step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, Run, Severity, rule
from ..signals import grad_norm, weight_norm
from .consequence import standing
from .depth import flow, grown, layers, only, weights
from .divergence import Divergence, diverged


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
        Limit("first / last layers", "a good start gives 1; the scripts of bench/healthy 4 or less"),
    ] = 1e3,
    time: Annotated[
        float, Limit("recurrent / other weights", "the four recurrent nets of bench/healthy give 6 or less")
    ] = 30.0,
    growth: Annotated[
        float, Limit("largest / first steps", "46 of 47 scripts of bench/healthy drift by less")
    ] = 1e2,
) -> Iterator[Finding]:
    """The gradient grows from layer to layer on its way back, or from step to step.

    ## Why it hurts
    A step is right only as far as the loss looks like its tangent. Where gradients grow, one rate cannot suit
    all layers or all steps: the first large step throws the weights away, and what was learned with them.

    ## Evidence
    Through depth: from the start on the first quarter of the layers gets more than `depth` times the
    gradient of the last. Through time: a recurrent weight gets more than `time` times the gradient of the
    weights outside the recurrence, each multiplied by its own size. Over steps: the norm of the whole
    gradient rises above `growth` times its first reading. None is a fault alone. It is harm if the loss ran
    away: it is not finite, or lies above its start and above the constant prediction's, or began far above
    the latter and did not come down to it. The first is a hint without that, the others are not reported.

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
    away, stands = diverged(run), standing(run)
    yield from _through_depth(run, depth, away, stuck=bool(stands and stands.stuck))
    if away:
        yield from _through_time(run, time, away)
        yield from _over_steps(run, growth, away)


def _through_depth(run: Run, limit: float, away: Divergence | None, stuck: bool) -> Iterator[Finding]:
    """From the start on the first layers get many times the gradient of the last."""
    seen = flow(run)
    if seen is None:
        return
    shares = grown(seen)[:5]
    shares = shares[np.isfinite(shares)]
    if not len(shares) or not np.all(shares > limit):
        return
    first, last, share = layers(run)[0], layers(run)[-1], float(np.median(shares))
    yield Finding(
        f"Layers from `{first}` on get {share:.1e} times the gradient of the last ones, up to `{last}`"
        + (f"; {away.sentence}" if away else ""),
        evidence=(
            Evidence("gradient of the first layers / of the last", share, limit, "ratio"),
            *((away.evidence,) if away else ()),
        ),
        where=(run.where(first), run.where(last)),
        steps=(int(seen.steps[0]), int(seen.steps[-1])),
        fix=f"Start the layers from `{first}` to `{last}` with weights that keep the variance of what passes "
        f"through them, such as those of `nn.init.kaiming_normal_`.",
        severity=Severity.HARM if away or stuck else Severity.HINT,
    )


def _through_time(run: Run, limit: float, away: Divergence) -> Iterator[Finding]:
    """From the start on a recurrent weight has many times the gradient of the weights outside, by size."""
    if weight_norm not in run:
        return
    grads, sizes = only(run[grad_norm], weights(run)), run[weight_norm]
    both = [p for p in grads.places if p in sizes.places]
    pull = {p: float(np.median(grads.at(p)[1][:5])) * float(sizes.at(p)[1][0]) for p in both}
    inner = [p for p in both if "weight_hh" in p]
    inside = {_module(p) for p in inner}
    outer = max((pull[p] for p in both if _module(p) not in inside), default=0.0)
    place = max(inner, key=lambda p: pull[p], default="")
    if not place or not outer or not pull[place] > limit * outer:
        return
    times = pull[place] / outer
    yield Finding(
        f"The recurrent `{place}` gets {times:.1e} times the gradient of the layers outside, by size: "
        f"it grows with every step back in time; {away.sentence}",
        evidence=(
            Evidence("gradient of the recurrent weight / of others", times, limit, "ratio"),
            away.evidence,
        ),
        where=(run.where(place),),
        steps=(int(grads.steps[0]), int(grads.steps[-1])),
        fix=f"Start `{place}` with `nn.init.orthogonal_`, and bound the gradient with "
        "`torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)` before `optimizer.step()`.",
    )


def _over_steps(run: Run, limit: float, away: Divergence) -> Iterator[Finding]:
    """The norm of the whole gradient rises far above that of the first reading."""
    norms = run[grad_norm]
    whole = np.sqrt(np.nansum(norms.values.astype(np.float64) ** 2, axis=1))
    finite = np.isfinite(whole) & (whole > 0)
    whole, values, steps = whole[finite], norms.values[finite], norms.steps[finite]
    if len(whole) < 2 or whole.max() <= limit * whole[0]:
        return
    top, high = int(np.argmax(whole)), steps[whole > limit * whole[0]]
    place = norms.places[int(np.nanargmax(values[top]))]
    yield Finding(
        f"The gradient grew from {whole[0]:.2e} to {whole[top]:.2e} at step {steps[top]}"
        + (f", most of it in `{place}`" if place else "")
        + f"; {away.sentence}",
        evidence=(
            Evidence("gradient norm / at first", float(whole[top] / whole[0]), limit, "ratio"),
            away.evidence,
        ),
        where=(run.where(place),) if place else (),
        steps=(int(high[0]), int(high[-1])),
        fix="Lower the learning rate, and bound the step with "
        "`torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)` before `optimizer.step()`.",
    )


def _module(parameter: str) -> str:
    return parameter.rpartition(".")[0]
