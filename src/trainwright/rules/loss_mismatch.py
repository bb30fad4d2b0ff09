"""loss-mismatch: the loss is made for another kind of target."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import inf, isclose, sqrt
from typing import Annotated, NamedTuple

from ..core import Case, Evidence, Finding, Limit, LossFacts, Run, Severity, at, rule
from .consequence import standing
from .kinds import LOGISTIC, REGRESSION

ALLOWED = {
    LOGISTIC: (0.0, 1.0),
    "binary_cross_entropy": (0.0, 1.0),
    "poisson_nll_loss": (0.0, inf),
}
"""Losses that have no lowest value where a target lies outside of this range."""

SIGNED = ("soft_margin_loss", "hinge_embedding_loss")
"""Losses whose targets are 1 and -1."""


def yes_or_no(first: int) -> None:
    """Learn yes or no with a logistic loss on targets that begin at `first`: 0 and 1, or 1 and 2."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(80):
        x = torch.randn(64, 8)
        label = (x[:, :1] > 0).float() + first
        loss = nn.functional.binary_cross_entropy_with_logits(net(x), label)
        sgd.zero_grad()
        loss.backward()
        sgd.step()


class Mismatch(NamedTuple):
    """What is wrong with one pair of loss and targets."""

    message: str
    evidence: Evidence
    fix: str
    certain: bool = True


@rule(severity=Severity.HARM, case=Case(sick=partial(yes_or_no, 1), healthy=partial(yes_or_no, 0)))
def loss_mismatch(
    run: Run,
    *,
    beyond: Annotated[
        float, Limit("of the target's unit", "smoothing and resampling of pictures overshoot by less")
    ] = 0.05,
    uniform: Annotated[
        float, Limit("share", "ten classes, 500 labels: mean and spread within 3 % of an even split")
    ] = 0.05,
) -> Iterator[Finding]:
    """The loss is made for another kind of target than it gets.

    ## Why it hurts
    A logistic loss on targets above 1 or below 0 has no lowest value: it falls for ever, and what falls is
    not the number of mistakes. Cross-entropy on several labels at once makes them compete. A squared error on
    class numbers teaches that class 3 lies between 2 and 4.

    ## Evidence
    The kind of the loss and the targets that it was given.

    - A logistic loss (or cross-entropy on probabilities) whose targets go beyond 0 to 1 by more than
      `beyond`, a Poisson loss with negative targets, a loss for 1 and -1 on 0 and 1: certain after one step,
      HARM.
    - Cross-entropy on rows of targets that do not sum to 1: HARM where the loss is no better than a
      constant's and no longer falls, else a HINT.
    - One output with an element-wise loss on whole numbers 0 to K, whose mean and spread are, within
      `uniform`, those of K + 1 classes that are equally frequent: the same.

    ## What to do
    - **match-loss-to-labels**: Use the loss for the kind of label.

        ```python
        nn.functional.cross_entropy(logits, class_ids)  # one of several classes: (batch, classes), (batch,)
        nn.functional.binary_cross_entropy_with_logits(logits, yes)  # each label for itself: 0 or 1
        nn.functional.mse_loss(output, amount)  # any number
        ```

    - **encode-labels**: Bring the labels into the loss's range: `label - 1`, `(label + 1) / 2`, or
      `2 * label - 1` where 1 and -1 are asked for; pictures into 0 to 1.

    ## When it is wrong
    Grades and counts that happen to be evenly spread are no class numbers; where something is learned of
    them it stays a HINT. Several labels that share a softmax on purpose.

    ## Sources
    - torch.nn.BCEWithLogitsLoss: "targets t[i] should be numbers between 0 and 1"
    - torch.nn.SoftMarginLoss, torch.nn.CrossEntropyLoss: what they take as target
    - Goodfellow, Bengio & Courville, "Deep Learning", 2016, 6.2.2
    """
    stands = standing(run)
    stuck = stands is not None and stands.stuck
    losses = run.facts.get("losses", [])
    for loss in losses:
        found = _out_of_range(loss, beyond) or _not_signed(loss)
        if found is None and len(losses) == 1:
            found = _several_labels(loss, run) or _class_numbers(loss, run, uniform)
        if found is None:
            continue
        yield Finding(
            found.message,
            evidence=(found.evidence, *([stands.evidence] if stands and stuck and not found.certain else [])),
            where=(at(loss["site"]),) if loss["site"] else (),
            steps=(0, max(run.steps - 1, 0)),
            fix=found.fix,
            severity=Severity.HARM if found.certain or stuck else Severity.HINT,
        )


def _out_of_range(loss: LossFacts, beyond: float) -> Mismatch | None:
    """Targets for which the loss has no lowest value."""
    kind, seen = loss["kind"], loss["target_range"]
    probabilities = kind == "cross_entropy" and (loss["target_dtype"] or "").startswith(("float", "bfloat"))
    low, high = (0.0, 1.0) if probabilities else ALLOWED.get(kind, (-inf, inf))
    if seen is None or (seen[0] >= low - beyond and seen[1] <= high + beyond):
        return None
    span = f"between {low:g} and {high:g}" if high < inf else "not negative"
    over = seen[1] > high + beyond
    return Mismatch(
        f"`{kind}` takes targets {span}, but they go from {seen[0]:.3g} to {seen[1]:.3g}: "
        "it has no lowest value",
        Evidence("highest target" if over else "lowest target", seen[over], high if over else low, "target"),
        f"Bring the targets of `{kind}` {span.replace('between', 'to')}, or use a loss for such numbers."
        if high < inf
        else f"Give `{kind}` counts, which are not negative, or use a loss for any number.",
    )


def _not_signed(loss: LossFacts) -> Mismatch | None:
    """0 and 1 where 1 and -1 are asked for."""
    kind, seen = loss["kind"], loss["target_range"]
    if kind not in SIGNED or seen != [0.0, 1.0] or not loss["target_integers"]:
        return None
    return Mismatch(
        f"`{kind}` takes targets 1 and -1, but gets 0 and 1: nothing is learned from those that are 0",
        Evidence("lowest target", 0.0, -1.0, "target"),
        f"Give `{kind}` targets of 1 and -1: `2 * label - 1`.",
    )


def _several_labels(loss: LossFacts, run: Run) -> Mismatch | None:
    """Rows of targets for cross-entropy that are no probabilities."""
    targets = run.facts.get("targets")
    each = targets["feature_mean"] if targets else None
    if loss["kind"] != "cross_entropy" or not each or len(each) != loss["classes"]:
        return None
    total = sum(each)
    if abs(total - 1) < 0.01:
        return None
    return Mismatch(
        f"`cross_entropy` takes targets that sum to 1 over the {len(each)} classes, but these sum to "
        f"{total:.3g} on average",
        Evidence("sum of a row of targets", total, 1.0, "probability"),
        "Use `binary_cross_entropy_with_logits` where a sample may have several labels.",
        certain=False,
    )


def _class_numbers(loss: LossFacts, run: Run, uniform: float) -> Mismatch | None:
    """Whole numbers from 0 on, all equally frequent, in a loss that takes them as amounts."""
    targets, seen, shape = run.facts.get("targets"), loss["target_range"], loss["input_shape"] or []
    if loss["kind"] not in REGRESSION or not loss["target_integers"] or targets is None or seen is None:
        return None
    top = seen[1]
    if seen[0] != 0 or not 2 <= top < 1000 or (len(shape) > 1 and shape[-1] != 1):
        return None
    spread = sqrt(((top + 1) ** 2 - 1) / 12)  # of a discrete uniform distribution
    if not isclose(targets["mean"], top / 2, rel_tol=uniform) or not isclose(
        targets["std"], spread, rel_tol=uniform
    ):
        return None
    return Mismatch(
        f"`{loss['kind']}` takes amounts, but its targets look like the numbers of {top + 1:.0f} classes: "
        f"whole, from 0 to {top:.0f}, all about equally frequent",
        Evidence(
            "spread of the targets, limit: of equally frequent numbers", targets["std"], spread, "target"
        ),
        f"Use `cross_entropy` with {top + 1:.0f} outputs where these are classes.",
        certain=False,
    )
