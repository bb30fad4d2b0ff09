"""double-softmax: probabilities go into a loss that takes logits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import log

from ..core import Case, Evidence, Finding, LossFacts, Run, Severity, at, rule
from .consequence import standing
from .kinds import LOGISTIC, floor_of_cross_entropy


def classifier(softmax: bool) -> None:
    """Train a small net on four classes with cross-entropy, with or without a softmax at its end."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    if softmax:
        net.append(nn.Softmax(dim=1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.5)
    truth = torch.randn(8, 4)
    for _ in range(60):
        x = torch.randn(64, 8)
        loss = nn.functional.cross_entropy(net(x), (x @ truth).argmax(1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(severity=Severity.HARM, case=Case(sick=partial(classifier, True), healthy=partial(classifier, False)))
def double_softmax(run: Run) -> Iterator[Finding]:
    """Probabilities go into a loss that takes raw outputs and applies softmax or sigmoid itself.

    ## Why it hurts
    A softmax of probabilities can no longer be sure of anything: its inputs differ by at most 1, so the loss
    stops at ln(e + C - 1) - 1 for C classes (0.74 of ln 4 = 1.39; 1.46 of ln 10 = 2.30), and the gradient
    dies in the first softmax as soon as it is confident. In front of a loss that applies a sigmoid, each
    negative costs at least ln 2.

    ## Evidence
    The function that made the loss's input, or, where that is not known, rows that are not negative and sum
    to 1. That is a certainty: it needs one step and no threshold. The loss beside its floor is shown where it
    was seen. A log-softmax in front of cross-entropy changes nothing and is not reported.

    ## What to do
    - **pass-logits**: Give the loss the raw outputs; apply softmax or sigmoid only where probabilities are
      shown.

        ```python
        loss = nn.functional.cross_entropy(logits, target)  # the net without its last softmax
        probability = logits.softmax(dim=1)  # for people
        ```

    - **log-of-probabilities**: Where the model must put out probabilities, take their logarithm.

        ```python
        loss = nn.functional.nll_loss(probability.clamp_min(1e-12).log(), target)
        ```

    ## When it is wrong
    A deliberate bound on how sure the model may be would look the same; a temperature or label smoothing says
    it better.

    ## Sources
    - torch.nn.CrossEntropyLoss: "The input is expected to contain the unnormalized logits for each class"
    - Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990
    """
    stands = standing(run)
    for loss in run.facts.get("losses", []):
        origin = _squashed_by(loss)
        if origin is None:
            continue
        if loss["kind"] == LOGISTIC:
            floor, cost = log(2), "each negative costs at least 0.69"
        else:
            floor = floor_of_cross_entropy(loss["classes"] or 2)
            cost = f"the loss cannot go below {floor:.2f}"
        evidence = [
            Evidence("lowest loss that probabilities allow, limit: that logits allow", floor, 0.0, "nats")
        ]
        if stands and len(run.facts["losses"]) == 1:
            evidence.append(
                Evidence("loss of the last quarter, limit: that lowest", stands.late, floor, "nats")
            )
        yield Finding(
            f"`{loss['kind']}` takes raw outputs but gets {origin}: {cost}",
            evidence=tuple(evidence),
            where=tuple(at(site) for site in (loss["input_site"], loss["site"]) if site),
            steps=(0, max(run.steps - 1, 0)),
            fix=f"Give `{loss['kind']}` what goes into {origin.removeprefix('the result of ')}.",
        )


def _squashed_by(loss: LossFacts) -> str | None:
    """What made probabilities of the input of a loss that takes logits, in words."""
    made_by, several = loss["input_from"], (loss["classes"] or 0) > 1
    if loss["kind"] == LOGISTIC:
        return f"the result of a {made_by}" if made_by in ("sigmoid", "softmax") else None
    if loss["kind"] != "cross_entropy" or not several:
        return None
    if made_by == "softmax":
        return "the result of a softmax"
    return "probabilities (rows that sum to 1)" if loss["sums_to_one"] else None
