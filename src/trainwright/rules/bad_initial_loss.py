"""bad-initial-loss: the first loss is far above that of knowing nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import log, sqrt
from typing import Annotated, NamedTuple

import numpy as np

from ..core import Case, Evidence, Finding, Limit, LossFacts, Run, Severity, at, rule
from ..signals import constant_loss, loss, prediction_scale
from .consequence import standing
from .kinds import REGRESSION


def classifier(head_std: float) -> None:
    """Train a small net on ten classes whose last layer starts with weights of this standard deviation."""
    import torch
    from torch import nn

    head = nn.Linear(64, 10)
    nn.init.normal_(head.weight, std=head_std)
    net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), head)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    truth = torch.randn(16, 10)
    for _ in range(60):
        x = torch.randn(64, 16)
        loss = nn.functional.cross_entropy(net(x), (x @ truth).argmax(1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


class Chance(NamedTuple):
    """What a model that knows nothing scores, and how large its outputs may be."""

    loss: float
    scale: float
    words: str


@rule(
    severity=Severity.HARM,
    needs=(loss, constant_loss, prediction_scale),
    case=Case(sick=partial(classifier, 10.0), healthy=partial(classifier, 0.1)),
)
def bad_initial_loss(
    run: Run,
    *,
    factor: Annotated[
        float, Limit("times the chance level", "TheDeepChecker, TOSEM 2022: off by the chance level itself")
    ] = 2.0,
    logits: Annotated[
        float,
        Limit("logit", "logits of rms s add s²/2 to the loss at first: below 1 they cannot double ln C"),
    ] = 1.0,
    oversize: Annotated[
        float, Limit("times the targets' rms", "an order of magnitude: nearer, the first steps repair it")
    ] = 10.0,
) -> Iterator[Finding]:
    """The first loss is far above that of a model that knows nothing.

    ## Why it hurts
    A net that starts sure of wrong answers spends its first steps unlearning them, with gradients that are
    far larger than any later on. The cause is mostly the scale of the last weights, or unscaled input.

    ## Evidence
    The first loss is more than `factor` times the chance level, and the first outputs are large enough to be
    the cause.

    - Classes: ln C for C classes (10.8 for a vocabulary of 50257 is right); logits above `logits` (root mean
      square).
    - Yes or no: ln 2.
    - Regression: the loss of the best constant; outputs above `oversize` times the root mean square of the
      targets. Large targets with small outputs are not this fault.

    HARM where the loss has not come below the constant predictor's by the end of what was seen; else a HINT.
    Not judged: weighted logistic losses, sums over the batch, and a loss made of several.

    ## What to do
    - **small-last-layer**: Start the last layer near zero, with the classes' log frequency or the mean target
      as bias.

        ```python
        nn.init.normal_(model.head.weight, std=0.01)
        nn.init.zeros_(model.head.bias)
        ```

    - **scale-inputs**: Bring the inputs to mean 0 and standard deviation 1, if they are not.

    ## When it is wrong
    A loss that holds further terms besides the recognised one starts higher by those.

    ## Sources
    - Karpathy, "A recipe for training neural networks", 2019: "verify loss @ init"
    - Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS
      2010
    """
    steps, losses = run[loss].at()
    # Where there is a constant's loss, the loss is one call of one known function: the two compare.
    constants, scales, known = (
        run[constant_loss].at()[1],
        run[prediction_scale].at()[1],
        run.facts.get("losses", []),
    )
    if len(known) != 1 or not (len(losses) and len(constants) and len(scales)) or steps[0] != 0:
        return
    first, scale = float(losses[0]), float(scales[0])
    chance = _chance(run, known[0], float(constants[0]), logits, oversize)
    if chance is None or not np.isfinite(first) or first <= factor * chance.loss or scale <= chance.scale:
        return
    stands = standing(run)
    harm = stands is not None and stands.learned is False
    below = np.flatnonzero(losses < chance.loss)
    last = int(steps[below[0]] if len(below) else steps[-1])
    matrices = [name for name, p in run.facts.get("parameters", {}).items() if len(p["shape"]) > 1]
    head = matrices[-1] if matrices else None
    yield Finding(
        f"The first loss is {first:.3g}, {first / chance.loss:.1f} times {chance.words} ({chance.loss:.3g}), "
        + (f"and came below that at step {last}" if len(below) else f"and still above that at step {last}")
        + (f"; it is {stands.late:.3g} at the end, no better than a constant's" if stands and harm else ""),
        evidence=(
            Evidence("first loss", first, factor * chance.loss, "loss"),
            Evidence("root mean square of the first outputs", scale, chance.scale, "output"),
            *([stands.evidence] if stands and harm else []),
        ),
        where=((run.where(head),) if head else ()) + ((at(known[0]["site"]),) if known[0]["site"] else ()),
        steps=(0, last),
        fix=f"Start {f'`{head}`' if head else 'the last layer'} smaller, so that the first outputs are near "
        + ("the mean target." if known[0]["kind"] in REGRESSION else "0; check that the input is scaled."),
        severity=Severity.HARM if harm else Severity.HINT,
    )


def _chance(run: Run, known: LossFacts, constant: float, logits: float, oversize: float) -> Chance | None:
    """The loss of knowing nothing, by the kind of loss; `None` where it is not known."""
    kind, classes, weighted = known["kind"], known["classes"] or 0, bool(known["extra"].get("weighted"))
    if known["reduction"] != "mean":
        return None
    if kind == "cross_entropy" and classes > 1:
        return Chance(log(classes), logits, f"the chance level of {classes} classes")
    if kind == "nll_loss" and classes > 1:  # log-probabilities: the chance level has that size itself
        return Chance(log(classes), logits + log(classes), f"the chance level of {classes} classes")
    if kind == "binary_cross_entropy_with_logits" and not weighted:
        return Chance(log(2), logits, "the chance level of yes or no")
    targets = run.facts.get("targets")
    if kind in REGRESSION and targets and constant > 0:
        size = sqrt(targets["mean"] ** 2 + targets["std"] ** 2)
        return Chance(constant, oversize * size, "the loss of the best constant")
    return None
