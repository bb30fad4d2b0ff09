"""stale-best-weights: the best weights are kept by reference, so that training goes on changing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..syntax import FUNCTIONS, LOOPS, key
from ..view import Found, View

RULE = "stale-best-weights"

SHALLOW = {"dict", "copy.copy", "collections.OrderedDict"}
BEST = ("best", "min", "lowest", "highest", "top")


def check(view: View) -> Iterator[Found]:
    """What is kept inside a training loop and used after it must be a copy."""
    for name, writes in list(view.program.assigned.items()):
        for statement, target in writes:
            value = view.names.assigned_value(statement, target) if name else None
            if value is None:
                continue
            model = _state_of(view, value)
            whole = "" if model else _whole(view, name, value)
            if not (model or whole) or _left_at_once(view, statement):
                continue
            if not _kept(view, name, statement, model or whole, bool(whole)):
                continue
            yield view.found(
                RULE,
                value,
                f"`{name}` shares its memory with the weights of `{model or whole}`, which training goes on "
                f"changing: what is kept as the best are the last weights",
                ("copies of the kept weights", 0, 1, "copies"),
                f"Keep a copy: `{name} = copy.deepcopy({model}.state_dict())`."
                if model
                else f"Keep a copy: `{name} = copy.deepcopy({whole})`.",
            )


def _state_of(view: View, value: ast.expr) -> str:
    """`model` of `model.state_dict()`, through what copies the dict but not the tensors."""
    if isinstance(value, ast.DictComp) and isinstance(value.value, ast.Name) and len(value.generators) == 1:
        over = value.generators[0]
        inner = over.iter
        if (
            isinstance(over.target, ast.Tuple)
            and key(over.target.elts[-1]) == value.value.id
            and isinstance(inner, ast.Call)
            and isinstance(inner.func, ast.Attribute)
            and inner.func.attr == "items"
        ):
            return _state_of(view, inner.func.value)
    if not isinstance(value, ast.Call):
        return ""
    name = view.program.dotted(value.func) or key(value.func)
    if name in SHALLOW and len(value.args) == 1 and not value.keywords:
        return _state_of(view, value.args[0])
    if isinstance(value.func, ast.Attribute) and not value.args:
        if value.func.attr == "copy":
            return _state_of(view, value.func.value)
        owner = value.func.value
        said = key(owner).lower()
        if value.func.attr == "state_dict" and not any(w in said for w in ("optim", "sched", "scaler")):
            return key(owner)
    return ""


def _whole(view: View, name: str, value: ast.expr) -> str:
    """`model` of `best_model = model`."""
    said = name.rpartition(".")[2].lower()
    return key(value) if key(value) and "best" in said and view.kinds.module(value) is not None else ""


def _left_at_once(view: View, statement: ast.AST) -> bool:
    """The loop ends behind the assignment: nothing changes the weights any more."""
    block = view.program.block(statement)
    after = block[next((i for i, s in enumerate(block) if s is statement), 0) :]
    return any(isinstance(s, ast.Break | ast.Return | ast.Raise) for s in after)


def _kept(view: View, name: str, statement: ast.AST, model: str, whole: bool) -> bool:
    """Written inside a loop that trains this model, read only after it."""
    if name.startswith("self."):
        return _kept_by_class(view, name, statement)
    scope = view.program.scope(statement)
    loops = [a for a in view.program.ancestors(statement) if isinstance(a, LOOPS)]
    loops = [a for a in loops if view.program.scope(a) is scope]
    root = model.partition(".")[0]
    for loop in loops:
        if view.names.writes(loop, model) or view.names.writes(loop, root) or not _trains(view, loop, model):
            continue
        readers = [
            n
            for n in view.program.nodes
            if isinstance(n, ast.Name)
            and n.id == name
            and isinstance(n.ctx, ast.Load)
            and view.program.scope(n) is scope
        ]
        inside = [n for n in readers if view.program.inside(n, loop)]
        after = [n for n in readers if not view.program.inside(n, loop) and n.lineno > loop.lineno]
        if after and not inside and (whole or any(_used(view, n) for n in after)):
            return True
    return False


def _kept_by_class(view: View, name: str, statement: ast.AST) -> bool:
    """An object for early stopping: one method keeps, under a condition, and another one gives back."""
    said = name.lower()
    if not any(word in said for word in BEST):
        return False
    home = view.program.class_of(statement)
    method = view.program.scope(statement)
    conditional = any(isinstance(a, ast.If) for a in view.program.ancestors(statement))
    reads = [
        n
        for n in view.program.nodes
        if isinstance(n, ast.Attribute)
        and key(n) == name
        and isinstance(n.ctx, ast.Load)
        and view.program.class_of(n) is home
    ]
    return (
        conditional
        and bool(reads)
        and all(view.program.scope(n) is not method and _loaded(view, n) for n in reads)
    )


def _used(view: View, node: ast.AST) -> bool:
    """Loaded again, saved or returned."""
    above = view.program.parent.get(node)
    return (
        isinstance(above, ast.Return)
        or (isinstance(above, ast.Tuple) and isinstance(view.program.parent.get(above), ast.Return))
        or _loaded(view, node)
    )


def _loaded(view: View, node: ast.AST) -> bool:
    above = view.program.parent.get(node)
    return isinstance(above, ast.Call) and key(above.func).rpartition(".")[2] in ("load_state_dict", "save")


def _trains(view: View, loop: ast.AST, model: str) -> bool:
    """An optimiser steps in the loop, or a function that is called `train...` is handed the model."""
    if isinstance(loop, LOOPS) and any(e.kind == "step" for e in view.events.of_loop(loop)):
        return True
    return any(
        isinstance(n, ast.Call)
        and key(n.func).rpartition(".")[2].startswith(("train", "fit"))
        and model in [key(a) for a in (*n.args, *(k.value for k in n.keywords))]
        and not isinstance(view.program.scope(n), ast.Lambda)
        for n in ast.walk(loop)
        if not isinstance(n, FUNCTIONS)
    )
