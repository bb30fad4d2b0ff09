"""schedule-mistimed: a schedule is stepped before the optimiser, or in another unit than it was planned in."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ...core import Severity
from ..events import Event
from ..syntax import LOOPS, key, keyword
from ..view import Found, View

RULE = "schedule-mistimed"

LENGTHS = {
    "CosineAnnealingLR": ("T_max", 1),
    "PolynomialLR": ("total_iters", 1),
    "OneCycleLR": ("total_steps", 2),
}
"""Argument that says after how many steps a schedule reaches its end."""


def check(view: View) -> Iterator[Found]:
    """Look at each loop in which a known schedule is stepped."""
    for loop in view.program.loops:
        events = view.events.of_loop(loop)
        schedules = [e for e in events if e.kind == "schedule"]
        steps = [e for e in events if e.kind == "step"]
        if len(schedules) != 1 or not steps or not isinstance(schedules[0].node, ast.Call):
            continue
        call = schedules[0].node
        made = view.kinds.schedule(call.func.value) if isinstance(call.func, ast.Attribute) else None
        if made is None or call.args or call.keywords:
            continue
        yield from _order(view, loop, events, schedules[0], steps, made)
        yield from _unit(view, loop, schedules[0], steps, made)


def _order(
    view: View, loop: ast.AST, events: list[Event], schedule: Event, steps: list[Event], made: ast.Call
) -> Iterator[Found]:
    owner = key(keyword(made, "optimizer", 0))
    if (
        schedule.trail
        or {e.name for e in steps} != {owner}
        or events.index(schedule) > events.index(steps[0])
    ):
        return
    scope = view.program.scope(loop)
    inner = set(ast.walk(loop))
    warm = any(
        isinstance(c.func, ast.Attribute) and key(c.func.value) == owner and c not in inner
        for c in view.program.calls_of.get("step", ())
        if view.program.scope(c) is scope
    )
    if warm:
        return
    yield view.found(
        RULE,
        schedule.node,
        f"`{schedule.name}` is stepped before `{owner}`: the first value of the schedule is never used",
        ("optimiser steps before the schedule's first", 0, 1, "steps"),
        f"Call `{schedule.name}.step()` after `{owner}.step()`.",
        Severity.HINT,
        also=(steps[0].node,),
    )


def _unit(view: View, loop: ast.AST, schedule: Event, steps: list[Event], made: ast.Call) -> Iterator[Found]:
    epochs = _times(loop)
    inner = steps[0].trail[0][0] if steps[0].trail else None
    if epochs is None or not isinstance(inner, ast.For) or isinstance(inner.iter, ast.List | ast.Tuple):
        return
    name = view.kinds.constructor(made).rpartition(".")[2]
    argument, place = LENGTHS.get(name, ("", None))
    length = keyword(made, argument, place)
    if length is not None and _same(length, epochs) and schedule.trail == ((inner, "body"),):
        if (
            isinstance(inner.iter, ast.Call)
            and key(inner.iter.func) == "range"
            and _same(inner.iter.args[-1], epochs)
        ):
            return
        yield view.found(
            RULE,
            schedule.node,
            f"`{schedule.name}` has its end after `{argument}={view.text(length)}` steps, which is the number of "
            f"epochs, but is stepped once a batch: the schedule is over within a few epochs",
            ("loops between the schedule's step and the epochs that it counts", 1, 0, "loops"),
            f"Step `{schedule.name}` once an epoch, or multiply `{argument}` by the batches of an epoch.",
            also=(made,),
        )
    per_batch = _counts_batches(made, length)
    if per_batch is not None and schedule.trail == ():
        yield view.found(
            RULE,
            schedule.node,
            f"`{schedule.name}` counts batches (`{view.text(per_batch)}`), but is stepped once an epoch: "
            f"the rate hardly leaves its start",
            ("loops between the schedule's step and the batches that it counts", 1, 0, "loops"),
            f"Step `{schedule.name}` in the loop over the batches, after the optimiser.",
            also=(made,),
        )


def _times(loop: ast.AST) -> ast.expr | None:
    """`E` of `for epoch in range(E)`."""
    if not isinstance(loop, LOOPS) or isinstance(loop, ast.While):
        return None
    given = loop.iter
    while (
        isinstance(given, ast.Call)
        and key(given.func).rpartition(".")[2] in ("tqdm", "trange")
        and given.args
    ):
        given = given.args[0]
    if not isinstance(given, ast.Call) or key(given.func) != "range" or not given.args:
        return None
    if len(given.args) == 2 and isinstance(given.args[1], ast.BinOp):  # range(1, epochs + 1)
        return given.args[1].left
    return given.args[1] if len(given.args) > 1 else given.args[0]


def _same(a: ast.expr, b: ast.expr) -> bool:
    return ast.dump(a) == ast.dump(b) and (bool(key(a)) or (isinstance(a, ast.Constant) and a.value != 1))


def _counts_batches(made: ast.Call, length: ast.expr | None) -> ast.expr | None:
    given = keyword(made, "steps_per_epoch") or (length if isinstance(length, ast.BinOp) else None)
    if given is None:
        return None
    counted = [n for n in ast.walk(given) if isinstance(n, ast.Call) and key(n.func) == "len"]
    return given if counted else None
