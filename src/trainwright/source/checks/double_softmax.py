"""double-softmax: a loss that takes raw outputs is given those of a softmax or a sigmoid."""

from __future__ import annotations

from collections.abc import Iterator

from ..syntax import keyword
from ..view import Found, View

RULE = "double-softmax"

TAKES_RAW = {
    "cross_entropy": {"softmax": "softmax"},
    "binary_cross_entropy_with_logits": {"sigmoid": "sigmoid", "softmax": "sigmoid"},
}
"""Loss -> activation in front of it -> the one that it applies itself."""


def check(view: View) -> Iterator[Found]:
    """Follow the first argument of each such loss back to what made it."""
    for call in view.program.calls:
        loss = view.kinds.loss(call)
        prediction = keyword(call, "input", 0)
        if loss not in TAKES_RAW or prediction is None:
            continue
        end = view.outputs.ending(prediction)
        own = TAKES_RAW[loss].get(end.kind) if end else None
        if end is None or own is None or (end.kind == "softmax" and end.width == 1):
            continue
        yield view.found(
            RULE,
            call,
            f"`{loss}` applies its own {own} to the result of a {end.kind} ({view.line(end.node)}): "
            f"it sees values between 0 and 1 only and cannot get low",
            (f"activations in front of `{loss}`, which has its own", 1, 0, "activations"),
            f"Give `{loss}` what goes into the {end.kind}.",
            also=(end.node,),
        )
