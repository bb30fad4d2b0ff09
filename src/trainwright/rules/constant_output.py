"""constant-output: the model gives one answer whatever the input."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, LossFacts, Run, Severity, at, rule
from ..signals import majority_share, prediction_spread
from .consequence import MARGIN, Standing, standing
from .kinds import REGRESSION


def regression(bias: float) -> None:
    """Fit a plane with a hidden ReLU layer whose biases start at `bias`."""
    import torch
    from torch import nn

    hidden = nn.Linear(4, 32)
    nn.init.constant_(hidden.bias, bias)
    net = nn.Sequential(hidden, nn.ReLU(), nn.Linear(32, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    truth = torch.randn(4, 1)
    for _ in range(100):
        x = torch.randn(64, 4)
        loss = nn.functional.mse_loss(net(x), x @ truth)
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.HARM,
    needs=(prediction_spread,),
    case=Case(sick=partial(regression, -20.0), healthy=partial(regression, 0.0)),
)
def constant_output(
    run: Run,
    *,
    spread: Annotated[
        float,
        Limit(
            "share of the targets' spread, or logit",
            "explains under 0.04 % of the targets' variance; moves a probability by under 1 %",
        ),
    ] = 0.02,
    patience: Annotated[
        int, Limit("readings", "the last ones, none at the first step; the loss must agree")
    ] = 3,
) -> Iterator[Finding]:
    """The model gives one answer whatever the input, and the loss stays at that of a constant.

    ## Why it hurts
    A constant is what is left when no information gets from the input to the output: dead or saturated units,
    a collapse to the most frequent class, a target that is compared all with all.

    ## Evidence
    At the last `patience` readings the prediction's standard deviation over the samples of a batch is,
    mostly, below `spread` of the targets' (for classes and yes-or-no: below `spread` in logits), or all
    samples get the same class; the targets vary. HARM where the loss is no better than that of the best
    constant and no longer falls. While it falls, or is better (imbalanced classes), nothing is reported;
    where no such reference is known, a spread of under a hundredth of `spread` is a HINT.

    ## What to do
    - **revive-units**: See whether dead-units or saturated-units is reported, too, and cure that first.
    - **lower-rate**: Start again with a tenth of the learning rate; a collapse in the first steps is mostly
      an overshoot.
    - **standardise-targets**: Bring regression targets to mean 0 and standard deviation 1.
    - **weigh-classes**: Where one class takes all, weigh the others up.

        ```python
        nn.functional.cross_entropy(logits, labels, weight=counts.sum() / (len(counts) * counts))
        ```

    ## When it is wrong
    Inputs that say nothing about the targets: a constant is then the right answer.

    ## Sources
    - DeepRank/deeprank#16, apache/mxnet#5979, keras-team/keras#13891: "outputs the mean value for every
      input"
    """
    known, stands = [loss for loss in run.facts.get("losses", []) if _varies(loss)], standing(run)
    if len(known) != 1 or len(run.facts["losses"]) > 1 or (stands and stands.improving):
        return
    steps, spreads = run[prediction_spread].at()
    last = spreads[steps > 0][-patience:]
    broken = run.facts.get("non_finite")
    if len(last) < patience or (broken and not broken["handled"] and broken["step"] <= steps[-1]):
        return  # where all is NaN, all samples get one class: `non-finite` says so
    unit = _unit(run, known[0])
    shares = run[majority_share].at()[1][-patience:] if majority_share in run else np.empty(0)
    one_class = len(shares) == patience and bool((shares == 1).all())
    typical = float(np.median(last))
    narrow = unit is not None and typical < spread * unit
    harm = stands is not None and ((narrow and _as_a_constant(stands)) or (one_class and stands.stuck))
    unknown = stands is None or stands.learned is None
    if not harm and not (unknown and unit and bool((last < spread * unit / 100).all())):
        return
    what = "All samples get one class" if one_class else "The prediction does not depend on the input"
    evidence = [
        Evidence("spread of the prediction over a batch", typical, spread * (unit or 1.0), "prediction")
    ]
    if one_class:
        evidence.append(Evidence("share of the most frequent answer", float(shares.min()), 1.0, "share"))
    if stands and harm:
        evidence.append(stands.evidence)
    yield Finding(
        f"{what}: outputs vary by {typical:.2g} over a batch"
        + (f", and the loss is {stands.late:.4g}, no better than a constant's" if stands and harm else ""),
        evidence=tuple(evidence),
        where=(at(known[0]["site"]),) if known[0]["site"] else (),
        steps=(int(steps[-patience]), int(steps[-1])),
        fix="Look for the first layer whose output no longer varies over a batch: the input is lost there.",
        severity=Severity.HARM if harm else Severity.HINT,
    )


def _as_a_constant(stands: Standing) -> bool:
    """The loss is a constant's within three standard errors, as one answer for all must make it."""
    return stands.late > stands.constant - 3 * max(stands.error, MARGIN * stands.constant)


def _varies(loss: LossFacts) -> bool:
    """The targets that this loss saw are not all the same."""
    return loss["target_range"] is not None and loss["target_range"][0] < loss["target_range"][1]


def _unit(run: Run, loss: LossFacts) -> float | None:
    """In what the prediction's spread is measured: the targets' own, or one logit; `None` = unknown."""
    if loss["kind"] not in REGRESSION:
        return 1.0 if loss["kind"] != "custom" else None
    targets = run.facts.get("targets")
    if not targets:
        return None
    each = targets["feature_std"]
    return float(np.sqrt(np.mean(np.square(each)))) if each else targets["std"]
