"""retained-graph: losses are summed with their graphs, or a validation pass builds graphs for nothing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ...core import Severity
from ..syntax import LOOPS, Loop, key
from ..view import Found, View
from .loaders import is_loader, loader_of

RULE = "retained-graph"

GRADIENTS = {
    "grad",
    "backward",
    "requires_grad_",
    "requires_grad",
    "jacobian",
    "hessian",
    "jacrev",
    "vjp",
    "jvp",
}


def check(view: View) -> Iterator[Found]:
    summed: set[ast.AST] = set()
    for loop in view.program.loops:
        for found, node in _summed(view, loop):
            if node not in summed:
                summed.add(node)
                yield found
    yield from _without_no_grad(view)


def _summed(view: View, loop: Loop) -> Iterator[tuple[Found, ast.AST]]:
    """`total += loss` beside `loss.backward()`, where `total` starts as a number before the loop."""
    own = [n for n in ast.walk(loop) if view.program.scope(n) is view.program.scope(loop)]
    losses = {
        key(n.func.value)
        for n in own
        if isinstance(n, ast.Call)
        and isinstance(n.func, ast.Attribute)
        and n.func.attr == "backward"
        and not n.args
    } - {""}
    for n in own:
        if (
            not isinstance(n, ast.AugAssign)
            or not isinstance(n.op, ast.Add)
            or not isinstance(n.target, ast.Name)
        ):
            continue
        loss = _summand(n.value)
        if loss not in losses or n.target.id in losses or "." in loss or view.kinds.without_grad(n):
            continue
        if not _starts_as_number(view, n.target, loop) or _backward_anywhere(view, n.target.id):
            continue
        if not _has_graph(view, n, loss):
            continue
        found = view.found(
            RULE,
            n,
            f"`{n.target.id}` sums `{loss}` with its graph: what each step recorded stays in memory until the sum "
            f"is dropped",
            ("calls of item or detach on what is summed", 0, 1, "calls"),
            f"Sum `{loss}.item()`, or `{loss}.detach()` where waiting for the device costs too much.",
            Severity.HINT,
        )
        yield found, n


def _summand(value: ast.expr) -> str:
    """`loss` of `loss`, `loss * n` and `loss / n`."""
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult | ast.Div):
        return key(value.left) or (key(value.right) if isinstance(value.op, ast.Mult) else "")
    return key(value)


def _has_graph(view: View, statement: ast.AugAssign, loss: str) -> bool:
    """What the loss was last given is a call (of a loss), not `.item()` of one."""
    name = next((n for n in ast.walk(statement.value) if isinstance(n, ast.Name) and n.id == loss), None)
    value = view.names.before(name) if name is not None else None
    while isinstance(value, ast.BinOp):
        value = value.left
    if not isinstance(value, ast.Call):
        return False
    last = value.func.attr if isinstance(value.func, ast.Attribute) else key(value.func)
    if view.kinds.loss(value) is not None:
        return True
    return "criterion" in last.lower() or last.lower() in ("loss_fn", "loss_func", "loss_function")


def _starts_as_number(view: View, name: ast.Name, loop: ast.AST) -> bool:
    """Every other assignment of it stands outside the loop and gives a number."""
    scope = view.program.scope(name)
    writes = [(w, t) for w, t in view.program.assigned.get(name.id, ()) if view.program.scope(w) is scope]
    plain = [(w, t) for w, t in writes if not isinstance(w, ast.AugAssign)]
    values = [view.names.assigned_value(w, t) for w, t in plain]
    return (
        bool(plain)
        and not any(view.program.inside(w, loop) for w, _ in plain)
        and all(isinstance(v, ast.Constant) and isinstance(v.value, int | float) for v in values)
    )


def _backward_anywhere(view: View, name: str) -> bool:
    """The sum is itself a loss, or goes into something that may be one."""
    for n in view.program.nodes:
        if not isinstance(n, ast.Name) or n.id != name or not isinstance(n.ctx, ast.Load):
            continue
        statement = view.program.statement(n)
        if any(isinstance(a, ast.Attribute) and a.attr in GRADIENTS for a in ast.walk(statement)):
            return True
        if (
            isinstance(statement, ast.AugAssign | ast.Assign)
            and key(getattr(statement, "target", None)) != name
        ):
            value = statement.value
            if key(value) == name or (isinstance(value, ast.BinOp) and not _averages(value, name)):
                return True
    return False


def _averages(value: ast.BinOp, name: str) -> bool:
    return isinstance(value.op, ast.Div) and key(value.left) == name


def _without_no_grad(view: View) -> Iterator[Found]:
    """`model.eval()` and then a loop over a loader with gradients on, and nobody who needs them."""
    for call in view.program.calls_of.get("eval", ()):
        owner = call.func.value if isinstance(call.func, ast.Attribute) else None
        statement = view.program.statement(call)
        block = view.program.block(statement)
        model = key(owner)
        if not model or call.args or not isinstance(statement, ast.Expr) or statement.value is not call:
            continue
        scope = view.program.scope(call)
        after = block[next((i for i, s in enumerate(block) if s is statement), 0) + 1 :]
        loop = next((s for s in after if isinstance(s, LOOPS) and is_loader(view, loader_of(s))), None)
        if (
            loop is None
            or view.kinds.without_grad(call)
            or _needs_gradients(view, scope)
            or not _called(view, scope)
        ):
            continue
        used = [n for n in ast.walk(loop) if isinstance(n, ast.Call) and key(n.func) == model]
        if not used or view.kinds.without_grad(used[0]) or view.kinds.module(used[0].func) is None:
            continue
        yield view.found(
            RULE,
            used[0],
            f"`{model}` is in eval mode ({view.line(call)}) and its passes are recorded for a backward that never "
            f"comes: validation takes more memory and time than it needs",
            ("`no_grad` or `inference_mode` around the pass", 0, 1, "blocks"),
            "Put the loop under `with torch.no_grad():`.",
            Severity.HINT,
            also=(call,),
        )


def _needs_gradients(view: View, scope: ast.AST) -> bool:
    if not isinstance(scope, ast.Module):
        nodes: list[ast.AST] = list(ast.walk(scope))
    else:
        return True  # at module level anything may come later
    return any(
        (isinstance(n, ast.Attribute) and n.attr in GRADIENTS)
        or (isinstance(n, ast.Name) and n.id in GRADIENTS)
        for n in nodes
    )


def _called(view: View, scope: ast.AST) -> bool:
    """The function is called in this file, and never under `no_grad`; else its caller may see to it."""
    if not isinstance(scope, ast.FunctionDef):
        return False
    sites = view.program.calls_of.get(scope.name, ())
    switched = "set_grad_enabled" in view.source.text
    return bool(sites) and not switched and not any(view.kinds.without_grad(c) for c in sites)
