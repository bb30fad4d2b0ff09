"""label-out-of-range: a class number has no column in the logits, and the script ends there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..core import Case, Evidence, Finding, RefusedLabels, Run, Severity, at, rule

ASSERTED = "device-side assert"
"""What CUDA says some calls after the one that was at fault."""


def classifier(first: int) -> None:
    """Train a classifier of four outputs on labels that begin at `first`, as far as torch lets it."""
    import contextlib

    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    sgd = torch.optim.SGD(net.parameters(), lr=0.5)
    with contextlib.suppress(IndexError):
        for _ in range(60):
            x = torch.randn(64, 8)
            loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1) + first)
            sgd.zero_grad()
            loss.backward()
            sgd.step()


@rule(severity=Severity.FATAL, case=Case(sick=partial(classifier, 1), healthy=partial(classifier, 0)))
def label_out_of_range(run: Run) -> Iterator[Finding]:
    """A label has no column in the logits, and the script ends there.

    ## Why it hurts
    C outputs stand for the classes 0 to C - 1. For any other number there is none to compare with. A CPU
    raises at once, "Target 4 is out of bounds"; a GPU says "device-side assert triggered", some calls later
    and on another line.

    ## Evidence
    The labels of the call at which the loss function raised, without those that `ignore_index` leaves out,
    against the columns of the logits: a certainty, FATAL. Where a script that computes a loss over classes
    ended with CUDA's assertion, the labels cannot be read any more, and an index of an embedding may be at
    fault as well: a HINT.

    ## What to do
    - **shift-labels**: Let labels begin at 0.

        ```python
        labels = labels - 1  # 1 to C, as in many tables
        ```

    - **match-output-to-classes**: Give the last layer one output for each class, the highest label plus one.
    - **ignore-label**: Say which number marks samples that are to be left out.

        ```python
        loss = nn.functional.cross_entropy(logits, labels, ignore_index=255)
        ```

    - **run-on-cpu**: After CUDA's assertion, run one batch on the CPU: it names the label and the line.

    ## When it is wrong
    Never for the certainty, unless the script catches the exception and means to.

    ## Sources
    - torch.nn.CrossEntropyLoss: "class indices in the range [0, C)"
    - torch, `ClassNLLCriterion`: "Assertion `t >= 0 && t < n_classes` failed"
    """
    refused = run.facts.get("refused_labels")
    if refused is not None:
        step = min(refused["step"], run.steps)
        low, high, classes = refused["low"], refused["high"], refused["classes"]
        negative = low < 0
        yield Finding(
            f"`{refused['kind']}` got labels from {low} to {high}, but the logits have {classes} columns, "
            f"for 0 to {classes - 1}",
            evidence=(
                Evidence(
                    "lowest label" if negative else "highest label",
                    low if negative else high,
                    0 if negative else classes - 1,
                    "class",
                ),
            ),
            where=(at(refused["site"]),) if refused["site"] else (),
            steps=(step, step),
            fix=_fix(refused),
        )
        return
    losses = [x for x in run.facts.get("losses", []) if x["classes"] is not None]
    if ASSERTED not in (run.facts.get("exception") or "") or not losses:
        return
    classes = losses[0]["classes"] or 0
    yield Finding(
        f"The script ended with CUDA's assertion, as it does where a label is not one of 0 to {classes - 1}",
        evidence=(Evidence("columns of the logits", classes, classes, "classes"),),
        where=tuple(at(x["site"]) for x in losses if x["site"]),
        steps=(run.steps, run.steps),
        fix=f"Run the batch on the CPU, which names the label, or look whether `labels.max() < {classes}`.",
        severity=Severity.HINT,
    )


def _fix(refused: RefusedLabels) -> str:
    low, high, classes = refused["low"], refused["high"], refused["classes"]
    if low < 0 and high < classes:
        return (
            f"If {low} marks samples to leave out, pass `ignore_index={low}`; it is {refused['ignored']} now."
        )
    if low == 1 and high == classes:
        return "Subtract 1 from the labels: they begin at 1."
    return f"Give the last layer {high + 1} outputs, or number the classes from 0 to {classes - 1}."
