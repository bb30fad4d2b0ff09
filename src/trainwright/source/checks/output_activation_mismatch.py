"""output-activation-mismatch: a softmax over one column, which is always 1, or over the samples of a batch."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..outputs import Ending
from ..syntax import keyword
from ..view import Found, View
from .loaders import from_loader

RULE = "output-activation-mismatch"


def check(view: View) -> Iterator[Found]:
    """Look at the softmax that makes the first argument of a loss."""
    seen: set[ast.AST] = set()
    for call in view.program.calls:
        loss = view.kinds.loss(call)
        prediction = keyword(call, "input", 0)
        end = view.outputs.ending(prediction) if loss and prediction is not None else None
        if end is None or end.kind != "softmax" or end.node in seen or prediction is None:
            continue
        seen.add(end.node)
        if end.width == 1 and end.dim in (1, -1):
            yield view.found(
                RULE,
                end.node,
                "A softmax over one column gives 1 for every sample, whatever the model computes",
                ("columns that the softmax is over", 1, 2, "columns"),
                "Use a sigmoid (or none, with `BCEWithLogitsLoss`), or give the layer before it one column a class.",
                also=(call,),
            )
        elif end.dim == 0 and _of_batches(view, prediction, end):
            yield view.found(
                RULE,
                end.node,
                "The softmax is over dimension 0, the samples of a batch: the probabilities of one sample do not "
                "sum to 1, and each depends on the other samples",
                ("dimension of the softmax", 0, 1, "dimension"),
                "Take the softmax over the classes, `dim=1` (or none, with `CrossEntropyLoss`).",
                also=(call,),
            )


def _of_batches(view: View, prediction: ast.expr, end: Ending) -> bool:
    """The loss is of batches of a data loader, without a reshaping on the way to be sure of dimension 0."""
    waiting: list[ast.AST] = [prediction]
    for _ in range(8):
        if not waiting:
            return False
        node = waiting.pop()
        for n in ast.walk(node):
            if isinstance(n, ast.Name):
                if from_loader(view, n):
                    return True
                value = view.names.before(n)
                if value is not None:
                    waiting.append(value)
    return False
