"""train-mode-in-evaluation and eval-mode-in-training: dropout or batch norm in the other pass's mode."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..events import Event
from ..syntax import FUNCTIONS, LOOPS, key
from ..view import Found, View

EVALUATION = "train-mode-in-evaluation"
TRAINING = "eval-mode-in-training"

MEANT = re.compile(r"monte.?carlo|mc.?drop|uncertain|bayes|momentum_update|update_bn|calibrat", re.IGNORECASE)
"""A file that says so keeps dropout or batch norm in train mode on purpose."""


def check(view: View) -> Iterator[Found]:
    text = view.source.text
    if MEANT.search(text):
        return
    yield from _never_eval(view)
    yield from _never_train_again(view)


def _never_eval(view: View) -> Iterator[Found]:
    """No `eval` in the file, which trains a model with dropout or batch norm and runs it without gradients, too."""
    if _switched(view) or not any(
        e.kind == "step" for loop in view.program.loops for e in view.events.of_loop(loop)
    ):
        return
    calls: dict[str, list[ast.Call]] = {}
    for call in view.program.calls:
        if key(call.func) and call.args:
            calls.setdefault(key(call.func), []).append(call)
    trained = {name for name, found in calls.items() if any(_trains(view, c) for c in found)}
    seen: set[ast.AST] = set()
    for name, found in calls.items():
        for call in found:
            if not view.kinds.without_grad(call) or _trains(view, call):
                continue
            made = view.kinds.module(call.func)
            layer = view.kinds.modal_layer(call.func) if made is not None else None
            if made is None or layer is None or made in seen:
                continue
            if not any(view.kinds.module(c.func) is made for n in trained for c in calls[n]):
                continue
            seen.add(made)
            yield view.found(
                EVALUATION,
                call,
                f"`{name}` has a `{layer}` and is evaluated here in train mode: nothing in this file calls `eval()`",
                ("calls of eval in a file that evaluates", 0, 1, "calls"),
                f"Call `{name}.eval()` before the evaluation and `{name}.train()` after it.",
            )


def _switched(view: View) -> bool:
    """The file sets a mode somewhere, in whatever way."""
    return any(
        (isinstance(n, ast.Attribute) and n.attr in ("eval", "training"))
        or (
            isinstance(n, ast.Call)
            and isinstance(n.func, ast.Attribute)
            and n.func.attr == "train"
            and bool(n.args)
        )
        for n in view.program.nodes
    )


def _trains(view: View, call: ast.Call) -> bool:
    """A call with gradients on, in a loop that runs backward."""
    if view.kinds.without_grad(call):
        return False
    return any(
        isinstance(a, LOOPS) and any(e.kind == "backward" for e in view.events.of_loop(a))
        for a in view.program.ancestors(call)
    ) or any(
        isinstance(a, FUNCTIONS)
        and any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in ast.walk(a))
        for a in view.program.ancestors(call)
    )


def _never_train_again(view: View) -> Iterator[Found]:
    """`eval()` at the end of a round, and no `train()` in the next one."""
    said: set[ast.AST] = set()
    for loop in view.program.loops:
        events = view.events.of_loop(loop)
        steps = [i for i, e in enumerate(events) if e.kind == "step"]
        if not steps or any(e.kind == "train" for e in events):
            continue
        for place, event in enumerate(events):
            if (
                event.kind != "eval"
                or place < steps[-1]
                or not isinstance(event.node, ast.Call)
                or event.node in said
            ):
                continue
            func = event.node.func
            owner = func.value if isinstance(func, ast.Attribute) else None
            if (
                owner is None
                or not event.name
                or set(event.loops)
                or _touched(view, loop, events, event.name)
            ):
                continue
            layer = view.kinds.modal_layer(owner)
            if (
                layer is None
                or _last_round(view, loop, event.node)
                or not _model_trains(view, loop, event.name)
            ):
                continue
            said.add(event.node)
            yield view.found(
                TRAINING,
                event.node,
                f"`{event.name}` is put into eval mode here and never back: from the second round of the loop of "
                f"{view.line(loop)} on it is trained without its `{layer}`",
                ("calls of train in the loop that calls eval", 0, 1, "calls"),
                f"Call `{event.name}.train()` at the start of each round.",
                also=(loop,),
            )


def _touched(view: View, loop: ast.AST, events: list[Event], name: str) -> bool:
    """The model is made in the loop, or handed to code that is not seen here."""
    strange = any(e.kind == "stranger" and e.name in (name, "?") for e in events)
    return strange or view.names.writes(loop, name) or view.names.writes(loop, name.partition(".")[0])


def _last_round(view: View, loop: ast.AST, node: ast.AST) -> bool:
    """Behind the evaluation the loop is left; a helper's own `return` does not leave it."""
    if view.program.scope(node) is not view.program.scope(loop):
        return False
    block = view.program.block(view.program.statement(node))
    return any(
        isinstance(n, ast.Break | ast.Return) for s in block for n in ast.walk(s)
    ) and block is not getattr(loop, "body", None)


def _model_trains(view: View, loop: ast.AST, name: str) -> bool:
    """It is this model that the loop calls or hands to a helper before the step."""
    return any(
        isinstance(n, ast.Call) and (key(n.func) == name or name in [key(a) for a in n.args])
        for n in ast.walk(loop)
    )
