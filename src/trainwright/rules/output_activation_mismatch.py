"""output-activation-mismatch: the output's activation cannot give what the loss asks for."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import exp, inf
from typing import Annotated, NamedTuple

from ..core import Case, Evidence, Finding, Limit, LossFacts, Run, Severity, at, rule
from .consequence import standing
from .kinds import LOGISTIC, RANGES, REGRESSION, floor_of_cross_entropy


def regression(relu: bool) -> None:
    """Fit a plane through the origin, with or without a ReLU on the output."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
    if relu:
        net.append(nn.ReLU())
    sgd = torch.optim.SGD(net.parameters(), lr=0.05)
    truth = torch.tensor([[1.0], [-1.0], [0.5], [0.5]])
    for _ in range(60):
        x = torch.randn(64, 4)
        loss = nn.functional.mse_loss(net(x), x @ truth)
        sgd.zero_grad()
        loss.backward()
        sgd.step()


class Mismatch(NamedTuple):
    """What is wrong with one pair of output and loss."""

    message: str
    evidence: Evidence
    fix: str
    severity: Severity = Severity.HARM


@rule(severity=Severity.FATAL, case=Case(sick=partial(regression, True), healthy=partial(regression, False)))
def output_activation_mismatch(
    run: Run,
    *,
    outside: Annotated[
        float, Limit("share of the targets' span", "stray targets: 0.024 for [-1.05, 1.05] under tanh")
    ] = 0.1,
) -> Iterator[Finding]:
    """The activation on the output cannot give what the loss asks for.

    ## Why it hurts
    A ReLU never answers below 0, a sigmoid never outside 0 to 1, a softmax over one unit always 1. Targets
    beyond that are out of reach, and the gradient dies at the edge. Bounded logits keep a classifier from
    ever being sure.

    ## Evidence
    What made the loss's input, and the ranges of input and targets that were seen.

    - An output that is always 1 (softmax of one unit), or a cross-entropy over one class: FATAL.
    - `nll_loss` on numbers above 0, `kl_div` on probabilities: they take log-probabilities. HARM.
    - Sigmoid or tanh in front of cross-entropy, ReLU or tanh in front of a logistic loss with negatives:
      HARM. ReLU in front of cross-entropy: HARM where the loss stays at the constant predictor's, else a
      HINT.
    - Regression targets that reach beyond the activation's range by more than `outside` of their span: HARM
      where targets one standard deviation from their mean are out of reach or the loss stays at the constant
      predictor's, else a HINT.

    ## What to do
    - **free-output**: Remove the activation after the last layer where targets may be any number.

        ```python
        model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))  # nothing after it
        ```

    - **match-output-to-loss**: Use the pair that belongs together.

        ```python
        nn.functional.cross_entropy(logits, labels)  # one of several classes: no activation
        nn.functional.binary_cross_entropy_with_logits(logit, y)  # yes or no, one unit each: no activation
        nn.functional.nll_loss(logits.log_softmax(1), labels)
        nn.functional.mse_loss(output, y)  # any number: no activation; 0 to 1: sigmoid; -1 to 1: tanh
        ```

    - **scale-targets**: Where the bound is meant, bring the targets into it (pixels / 255 under a sigmoid).

    ## When it is wrong
    A bound that is meant, as for amounts that cannot be negative whose measurements scatter below 0.

    ## Sources
    - Goodfellow, Bengio & Courville, "Deep Learning", 2016, 6.2.2: output units follow from the distribution
    - Stack Overflow 42800203, 33969059, 48221692, 50079585: softmax on one unit, ReLU and sigmoid on free
      outputs
    """
    stands = standing(run)
    stuck = stands is not None and stands.stuck
    for loss in run.facts.get("losses", []):
        found = (
            _constant(loss)
            or _not_logarithms(loss)
            or _bounded_logits(loss, stuck)
            or _out_of_reach(loss, run, outside, stuck)
        )
        if found:
            yield Finding(
                found.message,
                evidence=(found.evidence, *([stands.evidence] if stands and stuck else [])),
                where=tuple(at(site) for site in (loss["input_site"], loss["site"]) if site),
                steps=(0, max(run.steps - 1, 0)),
                fix=found.fix,
                severity=found.severity,
            )


def _constant(loss: LossFacts) -> Mismatch | None:
    """Softmax over a single unit."""
    kind, (low, high) = loss["kind"], loss["input_range"] or (0.0, 1.0)
    one_class = kind in ("cross_entropy", "nll_loss") and loss["classes"] == 1
    if not one_class and not (loss["input_from"] == "softmax" and low > 1 - 1e-6 and high < 1 + 1e-6):
        return None
    return Mismatch(
        f"`{kind}` is taken over one class: it is always 0"
        if one_class
        else "A softmax over one unit always answers 1",
        Evidence("outputs, limit: fewest that softmax can tell apart", 1, 2, "units"),
        "Use one unit with `binary_cross_entropy_with_logits` and no activation, or one unit for each class.",
        Severity.FATAL,
    )


def _not_logarithms(loss: LossFacts) -> Mismatch | None:
    """A loss that takes log-probabilities gets something else."""
    kind, made_by, seen = loss["kind"], loss["input_from"], loss["input_range"]
    highest = seen[1] if seen else -inf
    if not (kind == "nll_loss" and highest > 0.01) and not (kind == "kl_div" and loss["sums_to_one"]):
        return None
    return Mismatch(
        f"`{kind}` takes log-probabilities, but its input{f' comes from a {made_by} and' if made_by else ''} "
        f"reaches {highest:.3g}",
        Evidence("highest input of the loss, limit: that a log-probability can have", highest, 0.0, "nats"),
        f"Give `{kind}` the result of `log_softmax`"
        + (", or use `cross_entropy`." if kind == "nll_loss" else "."),
    )


def _bounded_logits(loss: LossFacts, stuck: bool) -> Mismatch | None:
    """Logits that cannot be free. Probabilities as logits are the matter of double-softmax."""
    kind, made_by, classes = loss["kind"], loss["input_from"] or "", loss["classes"] or 0
    low, high = RANGES.get(made_by, (-inf, inf))
    fix = f"Remove the {made_by} in front of `{kind}`: it takes any number."
    if kind == "cross_entropy" and classes > 1 and made_by in ("sigmoid", "tanh"):
        floor = floor_of_cross_entropy(classes, high - low)
        return Mismatch(
            f"`{kind}` over {classes} classes gets the result of a {made_by}: it cannot go below {floor:.2f}",
            Evidence(
                "lowest loss that this output allows, limit: that free logits allow", floor, 0.0, "nats"
            ),
            fix,
        )
    negatives = loss["target_range"] is not None and loss["target_range"][0] < 0.5
    if kind == LOGISTIC and negatives and made_by in ("relu", "tanh"):
        least = 1 / (1 + exp(-low))
        return Mismatch(
            f"`{kind}` gets the result of a {made_by}: no probability can go below {least:.2f}",
            Evidence(
                "lowest probability that this output allows, limit: the targets'", least, 0.0, "probability"
            ),
            fix,
        )
    if kind == "cross_entropy" and classes > 1 and made_by == "relu" and not loss["sums_to_one"]:
        return Mismatch(
            f"`{kind}` over {classes} classes gets the result of a relu: classes below 0 look alike",
            Evidence(
                "lowest input of the loss, limit: that of a relu",
                (loss["input_range"] or (low,))[0],
                low,
                "logit",
            ),
            fix,
            Severity.HARM if stuck else Severity.HINT,
        )
    return None


def _out_of_reach(loss: LossFacts, run: Run, outside: float, stuck: bool) -> Mismatch | None:
    """Regression targets beyond what the activation can put out."""
    made_by, targets = loss["input_from"] or "", loss["target_range"]
    if loss["kind"] not in REGRESSION or made_by not in RANGES or targets is None or targets[1] <= targets[0]:
        return None
    low, high = RANGES[made_by]
    beyond = max(low - targets[0], targets[1] - high, 0.0) / (targets[1] - targets[0])
    if beyond <= outside:
        return None
    stats = run.facts.get("targets") if len(run.facts["losses"]) == 1 else None
    typical = (
        stats["mean"] - stats["std"] < low or stats["mean"] + stats["std"] > high if stats else beyond > 0.5
    )
    span = f"{low:g} to {high:g}" if high < inf else "never negative"
    return Mismatch(
        f"The output goes through a {made_by} and is {span}, "
        f"but targets go from {targets[0]:.3g} to {targets[1]:.3g}",
        Evidence("part of the targets' span that is out of reach", beyond, outside, "share"),
        f"Remove the {made_by} from the output, or scale the targets to be {span}.",
        Severity.HARM if typical or stuck else Severity.HINT,
    )
