"""missing-zero-grad: a loop runs backward and steps, and nothing in it sets the gradients to zero."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..events import Event
from ..syntax import Loop, key
from ..view import Found, View

RULE = "missing-zero-grad"


def check(view: View) -> Iterator[Found]:
    """The innermost loop around a backward and a step of the same round has to zero gradients somewhere."""
    for loop in view.program.loops:
        events = view.events.of_loop(loop)
        step = _uncleared(events)
        if (
            step is None
            or _ends_itself(loop)
            or _fresh(view, loop, step)
            or _handed_on(view, loop, events, step)
        ):
            continue
        yield view.found(
            RULE,
            step.node,
            f"`{step.name}` steps in the loop of {view.line(loop)}, in which nothing sets the gradients to zero: "
            f"each step uses the sum of all gradients so far",
            ("calls of zero_grad in the loop that steps", 0, 1, "calls"),
            f"Call `{step.name}.zero_grad()` in that loop, before `backward()` or after the step.",
            also=(loop,),
        )


def _uncleared(events: list[Event]) -> Event | None:
    if any(e.kind == "zero" for e in events):
        return None
    backwards = [e for e in events if e.kind == "backward"]
    for step in (e for e in events if e.kind == "step"):
        # A backward in the same inner loop belongs to that loop, which is asked by itself.
        if (
            backwards
            and not any(set(b.loops) & set(step.loops) for b in backwards)
            and "():" not in step.name
        ):
            return step
    return None


def _ends_itself(loop: Loop) -> bool:
    return isinstance(loop.body[-1], ast.Break | ast.Return | ast.Raise)


def _fresh(view: View, loop: ast.AST, step: Event) -> bool:
    """The optimiser or a called model is made anew in each round, so there is nothing to be summed."""
    return any(view.names.writes(loop, name) for name in (*_called(loop), step.name))


def _handed_on(view: View, loop: ast.AST, events: list[Event], step: Event) -> bool:
    """Code that is not seen here gets the model or the optimiser and may zero what it likes."""
    known = {*_called(loop), step.name}
    owner = step.name.startswith("self.")
    return any(
        e.kind == "stranger"
        and (e.name in known or e.name == "?" or (owner and e.name.partition(".")[0] == "self"))
        for e in events
    )


def _called(loop: ast.AST) -> set[str]:
    return {key(n.func) for n in ast.walk(loop) if isinstance(n, ast.Call) and key(n.func)}
