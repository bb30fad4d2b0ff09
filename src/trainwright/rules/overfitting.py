"""overfitting: the validation loss rises while the training loss falls."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import sqrt
from typing import Annotated

import numpy as np
import numpy.typing as npt

from .. import stats
from ..core import Case, Evidence, Finding, Limit, Run, Severity, at, rule
from ..signals import loss, valid_accuracy, valid_loss


def noisy_plane(samples: int) -> None:
    """Fit a wide net to so many noisy samples of a plane, with a validation pass every five steps."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(16, 256), nn.ReLU(), nn.Linear(256, 1))
    adam = torch.optim.Adam(net.parameters(), lr=0.003)
    truth = torch.randn(16, 1) / 4
    x, x_valid = torch.randn(samples, 16), torch.randn(256, 16)
    y = x @ truth + 3 * torch.randn(samples, 1)
    y_valid = x_valid @ truth + 3 * torch.randn(256, 1)
    for step in range(100):
        batch = torch.arange(32) + 32 * step
        loss = nn.functional.mse_loss(net(x[batch % samples]), y[batch % samples])
        adam.zero_grad()
        loss.backward()
        adam.step()
        if step % 5 == 4:
            with torch.no_grad():
                nn.functional.mse_loss(net(x_valid), y_valid)


@rule(
    severity=Severity.HARM,
    needs=(loss, valid_loss),
    case=Case(sick=partial(noisy_plane, 64), healthy=partial(noisy_plane, 4096)),
)
def overfitting(
    run: Run,
    *,
    passes: Annotated[
        int, Limit("validation passes", "after the best one: the patience usual in early stopping")
    ] = 5,
    rise: Annotated[
        float, Limit("share of the lowest", "SageMaker Debugger's Overfit rule: 0.1 between the losses")
    ] = 0.1,
    noise: Annotated[
        float, Limit("standard deviations", "0 of 2,000 simulated plateaus with noise reach it")
    ] = 4.0,
    swings: Annotated[
        float, Limit("times its swings", "2 % of 6,000 simulated slow random swings reach it, 15 % without")
    ] = 3.0,
    points: Annotated[
        float, Limit("share of right answers", "one point: below, a set of 2,000 cannot tell")
    ] = 0.01,
) -> Iterator[Finding]:
    """The validation loss rises, pass after pass, while the training loss goes on falling.

    ## Why it hurts
    From its lowest validation loss on, the model learns what is true of the training samples alone, and does
    worse on all others.

    ## Evidence
    The validation loss (running median of three passes) ends above its lowest by more than

    - `rise` of it,
    - `noise` standard deviations of the noise from pass to pass, and
    - `swings` times the largest swing the other way: an earlier rise, or a fall since;

    it has a rising trend (Theil-Sen, 95 %) over at least `passes` passes since, and the training loss fell
    over the same steps. The reference is the run's own past. Where the share of right answers was recorded
    and has not fallen by `points`, it is a HINT: the model is too sure, but not worse.

    ## What to do
    - **keep-best-weights**: Keep the weights of the lowest validation loss, and stop some passes later.

        ```python
        if valid < best:
            best, weights = valid, copy.deepcopy(model.state_dict())  # a copy: the live weights move on
        ```

    - **decay-weights**: Use `torch.optim.AdamW(..., weight_decay=0.1)`, or raise the decay that is there.
    - **augment-data**: Show each sample in several forms that mean the same, or get more of them.
    - **add-dropout**: Put `nn.Dropout(0.2)` between the last layers.

    ## When it is wrong
    Training that stops by itself some passes after its lowest validation loss and takes the best weights back
    has been overfitting, and has dealt with it. A validation loss below the training loss is normal with
    dropout, and not what is looked at.

    ## Sources
    - Prechelt, "Early stopping - but when?", 1998
    - Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 1968
    """
    steps, values = run[valid_loss].at()
    if len(values) <= passes + 1 or not np.isfinite(values).all():
        return
    smooth = stats.smooth(values, 3)
    best = int(smooth.argmin())
    lowest, end = float(smooth[best]), stats.level(values[-3:])
    if len(values) - 1 - best < passes or end - lowest <= rise * abs(lowest):
        return
    before, after = _training_loss(run, int(steps[best]))
    swing = max(_largest_rise(smooth[: best + 1]), _largest_rise(-smooth[best:]))
    jitter = stats.median_abs_deviation(np.diff(values)) / sqrt(2)
    rising = stats.theil_sen(steps[best:], values[best:]).low > 0
    chance = max(noise * jitter, swings * swing)
    if not rising or not after < before or end - lowest <= chance:
        return
    held = _right_answers(run, int(steps[best]))
    harm = held is None or held[0] - held[1] > points
    site = next((known["site"] for known in run.facts.get("losses", [])), None)
    yield Finding(
        f"The validation loss was lowest at step {steps[best]} ({lowest:.4g}) and has risen to {end:.4g}, "
        f"while the training loss fell from {before:.4g} to {after:.4g}"
        + ("" if harm or held is None else f"; right answers stay at {held[1]:.1%}"),
        evidence=(
            Evidence("validation loss at the end", end, lowest + rise * abs(lowest), "loss"),
            Evidence(
                "its rise since the lowest, limit: what noise and swings give", end - lowest, chance, "loss"
            ),
            *([Evidence("right answers lost", held[0] - held[1], points, "share")] if held else []),
        ),
        where=(at(site),) if site else (),
        steps=(int(steps[best]), int(steps[-1])),
        fix=f"Keep the weights of step {steps[best]}; add data, augmentation, decay or dropout to go beyond.",
        severity=Severity.HARM if harm else Severity.HINT,
    )


def _largest_rise(values: npt.NDArray[np.float64]) -> float:
    """The most by which a value is above any before it."""
    return float(np.max(values - np.minimum.accumulate(values)))


def _training_loss(run: Run, best: int) -> tuple[float, float]:
    """The training loss just before a step and at the end, each over a third of the steps since."""
    steps, losses = run[loss].at()
    third = max(5, int((steps > best).sum()) // 3)
    return stats.level(losses[steps <= best][-third:]), stats.level(losses[-third:])


def _right_answers(run: Run, best: int) -> tuple[float, float] | None:
    """Share of right answers around a step and at the end; `None` where there is none."""
    steps, shares = (
        run[valid_accuracy].at() if valid_accuracy in run else (np.empty(0, np.int64), np.empty(0))
    )
    if len(shares) < 3:
        return None
    here = int(np.abs(steps - best).argmin())
    return stats.level(shares[max(0, here - 1) : here + 2]), stats.level(shares[-3:])
