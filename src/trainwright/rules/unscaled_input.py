"""unscaled-input: features are far from unit scale or from each other's, and it costs training."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, Run, Severity, rule
from .consequence import standing


def incomes(scaled: bool) -> None:
    """Predict from age in decades and income in euros, with or without bringing both to unit scale."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.03)
    for _ in range(150):
        age, income = torch.randn(256, 1), torch.randn(256, 1)
        x = torch.cat([age, income], 1) if scaled else torch.cat([age + 4, 2e4 * income + 4e4], 1)
        loss = nn.functional.mse_loss(net(x), torch.sin(age) + 0.3 * torch.randn(256, 1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(severity=Severity.HARM, case=Case(sick=partial(incomes, False), healthy=partial(incomes, True)))
def unscaled_input(
    run: Run,
    *,
    scale: Annotated[
        float, Limit("root mean square", "standardised 1, pixels in 0-1 about 0.5, pixels in 0-255 about 140")
    ] = 10.0,
    spread: Annotated[
        float, Limit("largest / smallest feature", "curvature has its square, 1e4: too much for plain SGD")
    ] = 100.0,
) -> Iterator[Finding]:
    """Features are far from unit scale, or from each other's, and training suffers.

    ## Why it hurts
    The gradient of a first-layer weight is proportional to its feature. Large features saturate or kill the
    first layer, or force a rate at which the weights of the small ones do not move.

    ## Evidence
    Root mean square of each feature (channel, for pictures) over the sampled batches: above `scale`, or
    `spread` times apart among those that vary, unless all lie within -1 to 1 as pixels do. HARM where the
    loss stays at that of a constant prediction and no longer falls; otherwise a HINT, since a normalisation
    inside the model or an adaptive optimiser can cope. Integer input (class ids, tokens) and models that
    begin with a normalisation or an embedding are not judged.

    ## What to do
    - **standardise-inputs**: Subtract each feature's mean and divide by its standard deviation, both from the
      training set.

        ```python
        mean, std = x_train.mean(0), x_train.std(0).clamp_min(1e-8)
        x_train, x_valid = (x_train - mean) / std, (x_valid - mean) / std
        ```

    - **pixels-to-unit-range**: Divide pictures of 0 to 255 by 255.
    - **normalise-first**: Begin the model with a normalisation, `nn.BatchNorm1d(features)`.

    ## When it is wrong
    A model that scales its input by itself, without a normalisation layer, and fails for another reason.

    ## Sources
    - LeCun, Bottou, Orr & Müller, "Efficient BackProp", 1998, 4.3 "Normalizing the inputs"
    """
    inputs, stands = run.facts.get("inputs"), standing(run)
    if not inputs or "int" in inputs["dtype"] or "bool" in inputs["dtype"]:
        return
    first = next((name for name, m in run.facts.get("modules", {}).items() if not m["children"]), None)
    kind = run.facts["modules"][first]["type"] if first is not None else ""
    if "Norm" in kind or "Embedding" in kind:
        return
    mean = np.asarray(inputs["feature_mean"] or [inputs["mean"]])
    std = np.asarray(inputs["feature_std"] or [inputs["std"]])
    size = np.sqrt(mean**2 + std**2)[std > 0]
    if not len(size):
        return
    # Within -1 to 1, as pixels are, a small feature is a rare one, and nothing is large beside it.
    bounded = inputs["low"] >= -1 and inputs["high"] <= 1 and float(size.max()) > 1 / scale
    largest, apart = float(size.max()), 1.0 if bounded else float(size.max() / size.min())
    if largest <= scale and apart <= spread:
        return
    harm = stands is not None and stands.stuck
    channel = np.flatnonzero(std > 0)[int(size.argmax())]
    yield Finding(
        f"Feature {channel} of the input has size {largest:.3g}"
        + (f", {apart:.3g} times that of the smallest" if apart > spread else "")
        + (f", and the loss is {stands.late:.4g}, no better than a constant's" if stands and harm else ""),
        evidence=(
            Evidence("largest feature", largest, scale, "root mean square"),
            Evidence("largest / smallest feature", apart, spread, "ratio"),
            *([stands.evidence] if stands and harm else []),
        ),
        where=(run.where(first),) if first is not None else (),
        steps=stands.steps if stands and harm else (0, max(run.steps - 1, 0)),
        fix="Bring each feature to mean 0 and standard deviation 1 before it enters "
        + (f"`{first}`." if first else "the model."),
        severity=Severity.HARM if harm else Severity.HINT,
    )
