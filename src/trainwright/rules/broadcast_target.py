"""broadcast-target: prediction and target differ in shape and are compared all with all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod

import numpy as np

from ..core import Case, Evidence, Finding, Run, Severity, at, rule
from .consequence import standing
from .kinds import BY_HAND, REGRESSION


def regression(squeeze: bool) -> None:
    """Fit a plane with predictions of shape `(64, 1)` or `(64,)` and targets of shape `(64,)`."""
    import warnings

    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    truth = torch.randn(4)
    for _ in range(60):
        x = torch.randn(64, 4)
        prediction = net(x).squeeze(1) if squeeze else net(x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says so, too, but once and far up
            loss = nn.functional.mse_loss(prediction, x @ truth)
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(severity=Severity.HARM, case=Case(sick=partial(regression, False), healthy=partial(regression, True)))
def broadcast_target(run: Run) -> Iterator[Finding]:
    """Prediction and target differ in shape, so that each prediction is compared with every target.

    ## Why it hurts
    `(N, 1)` against `(N,)` broadcasts to `(N, N)`. The loss is then least where every prediction is the mean
    of all targets: the net learns to ignore its input, and the loss ends at the variance of the targets.

    ## Evidence
    The shapes that the loss function got. HARM where they hold the same numbers in the same order, differ
    only in how many dimensions of size 1 they have, and give more numbers than either when broadcast: that is
    a certainty. Any other pair that gives more numbers than either, and any in a loss without reduction, is a
    HINT.

    ## What to do
    - **match-target-shape**: Bring both to one shape, on the side where the odd dimension is.

        ```python
        loss = nn.functional.mse_loss(model(x).squeeze(-1), y)  # or y.unsqueeze(-1)
        ```

    ## When it is wrong
    Comparing all pairs on purpose (quantile regression, contrastive distances) has the same number of
    dimensions on both sides and is a HINT. One target for a whole batch, or several predictions for one
    target, is not reported.

    ## Sources
    - torch.nn.functional.mse_loss warns: "Using a target size that is different to the input size"
    - NumPy, "Broadcasting": https://numpy.org/doc/stable/user/basics.broadcasting.html
    """
    stands = standing(run)
    for loss in run.facts.get("losses", []):
        shape, target = loss["input_shape"], loss["target_shape"]
        if loss["kind"] not in (*REGRESSION, *BY_HAND) or shape is None or target is None or shape == target:
            continue
        try:
            compared = prod(np.broadcast_shapes(tuple(shape), tuple(target)))
        except ValueError:  # torch refused them, too: the script has had its exception
            continue
        if compared <= max(prod(shape), prod(target)):
            continue
        same = [n for n in shape if n != 1] == [n for n in target if n != 1] and len(shape) != len(target)
        evidence = [Evidence("numbers compared, limit: predictions", compared, prod(shape), "elements")]
        if stands and stands.constant > 0:
            evidence.append(stands.evidence)
        what = f"`{loss['kind']}`" if loss["kind"] in REGRESSION else f"The {loss['kind']}"
        yield Finding(
            f"{what} compares predictions {_text(shape)} with targets {_text(target)}: "
            f"all with all, {compared} numbers instead of {prod(shape)}",
            evidence=tuple(evidence),
            where=(at(loss["site"]),) if loss["site"] else (),
            steps=(0, max(run.steps - 1, 0)),
            fix=f"Reshape the target to {_text(shape)}, or the prediction to {_text(target)}.",
            severity=Severity.HARM if same and loss["reduction"] != "none" else Severity.HINT,
        )


def _text(shape: list[int]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
