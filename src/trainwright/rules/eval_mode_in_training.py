"""eval-mode-in-training: steps are made in evaluation mode, so that dropout and batch statistics are off."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

from ..core import Case, Evidence, Finding, Limit, Run, Severity, rule
from .consequence import standing
from .divergence import diverged
from .overfitting import overfitting


def validated_first(back: bool) -> None:
    """Train a sigmoid net with batch normalisation after a look at its loss, with or without `train()`."""
    import torch
    from torch import nn

    layers = [m for _ in range(4) for m in (nn.Linear(16, 16), nn.BatchNorm1d(16), nn.Sigmoid())]
    net = nn.Sequential(*layers, nn.Linear(16, 4))
    net.eval()
    with torch.no_grad():
        net(torch.randn(64, 16))
    if back:
        net.train()
    sgd = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9)
    for _ in range(100):
        x = torch.randn(64, 16)
        loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.HARM,
    case=Case(sick=partial(validated_first, False), healthy=partial(validated_first, True)),
)
def eval_mode_in_training(
    run: Run,
    *,
    patience: Annotated[
        int, Limit("steps that were read", "more than a look at gradients in between would take")
    ] = 5,
) -> Iterator[Finding]:
    """Steps are made in evaluation mode: dropout is off, and batch normalisation uses statistics that stay.

    ## Why it hurts
    `eval()` is meant for measuring. Left on, dropout no longer keeps the net from learning its samples by
    heart, and batch normalisation divides by statistics that are those of its start (mean 0, variance 1) or of
    an earlier time, while the weights move on.

    ## Evidence
    The whole model was in evaluation mode when gradients were made, at each of the last `patience` or more
    steps that were read, and it holds dropout or batch normalisation. HARM where one of three consequences is
    seen: the loss is no better than a constant's and no longer falls, it runs away, or the model overfits.
    Otherwise, and where weights were loaded and the mode was on from the first step, as for fine-tuning on
    frozen statistics, a HINT. Single layers in evaluation mode are not reported: that is how batch
    normalisation is frozen.

    ## What to do
    - **train-mode**: Switch back before each pass over the training data, not once before the first.

        ```python
        for epoch in range(epochs):
            model.train()
            train(model)
            model.eval()
            validate(model)
        ```

    - **freeze-norm**: Where the statistics are to stay, say so for these layers alone.

        ```python
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        ```

    ## When it is wrong
    A model that is trained in evaluation mode on purpose, and fails for another reason.

    ## Sources
    - torch.nn.Module.eval: "Set the module in evaluation mode"; it stays until `train()` is called
    - Ioffe & Szegedy, "Batch normalization", ICML 2015, algorithm 2
    """
    facts = run.facts
    since, read = facts.get("eval_from"), facts.get("eval_steps", 0)
    if since is None or read < patience:
        return
    since = max(0, since - max(facts.get("restarts") or [0]))
    modules = facts.get("modules", {})
    switched = [
        name
        for name in facts.get("eval_during_training", [])
        if name in modules and ("Dropout" in modules[name]["type"] or "BatchNorm" in modules[name]["type"])
    ]
    if not switched:
        return
    fine_tuned = since == 0 and bool(facts.get("loaded"))
    consequence = _consequence(run)
    harm = consequence is not None and not fine_tuned
    kinds = " and ".join(sorted({modules[name]["type"] for name in switched}))
    when = f"since step {since}" if since else "from the first step on"
    yield Finding(
        f"The model is trained in evaluation mode {when}, with {kinds} in it ({len(switched)} layers)"
        + (f"; {consequence[0]}" if consequence and harm else ""),
        evidence=(
            Evidence("steps read in evaluation mode", read, patience, "steps"),
            *((consequence[1],) if consequence and harm else ()),
        ),
        where=tuple(run.where(name) for name in switched[:3]),
        steps=(since, max(run.steps - 1, since)),
        fix="Call `model.train()` before each pass over the training data, after validation too.",
        severity=Severity.HARM if harm else Severity.HINT,
    )


def _consequence(run: Run) -> tuple[str, Evidence] | None:
    """What the mode has done, in words and as a number; `None` where the run does well."""
    stands, away = standing(run), diverged(run)
    if away is not None:
        return away.sentence, away.evidence
    if stands is not None and stands.stuck:
        return f"the loss is {stands.late:.4g}, no better than a constant's", stands.evidence
    if all(signal in run for signal in overfitting.needs):
        for finding in overfitting(run):
            if finding.severity is Severity.HARM:
                return "the validation loss rises while the training loss falls", finding.evidence[0]
    return None
