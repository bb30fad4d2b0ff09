"""parameters-outside-optimizer: layers in a Python list, or a layer put in after the optimiser was built."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ..syntax import FUNCTIONS, key, targets
from ..view import Found, View

RULE = "parameters-outside-optimizer"

REGISTERS = {
    "add_module",
    "register_module",
    "setattr",
    "register_parameter",
    "ModuleList",
    "ModuleDict",
    "Sequential",
}
"""What may register the layers of a list after all, wherever in the class it is called."""

OWNS = {"add_param_group", "parameters", "named_parameters"}


def check(view: View) -> Iterator[Found]:
    yield from _listed(view)
    yield from _swapped(view)


def _listed(view: View) -> Iterator[Found]:
    """`self.layers = [nn.Linear(...), ...]` in a module, used in another of its methods."""
    for owner in (c for found in view.program.classes.values() for c in found):
        if not view.kinds.is_module_class(owner):
            continue
        nodes = list(ast.walk(owner))
        called = {key(n.func).rpartition(".")[2] for n in nodes if isinstance(n, ast.Call)}
        if "torch.nn.Sequential" in [view.program.dotted(b) for b in owner.bases] or called & (
            REGISTERS - {"Sequential"}
        ):
            continue
        for name, where, count in _lists(view, owner):
            uses = [
                n
                for n in nodes
                if isinstance(n, ast.Attribute) and key(n) == name and isinstance(n.ctx, ast.Load)
            ]
            away = [u for u in uses if _method(view, u) != "__init__"]
            if not away or any(_given_away(view, u) for u in uses) or _outside(view, owner, name):
                continue
            yield view.found(
                RULE,
                where,
                f"`{name}` keeps layers in a Python {'dict' if isinstance(where, ast.Dict) else 'list'}: "
                f"`{owner.name}.parameters()` does not have them, so no optimiser trains them and no `state_dict` "
                f"keeps them",
                ("layers that are not registered, at least", count, 0, "layers"),
                f"Wrap them: `{name} = nn.Module{'Dict' if isinstance(where, ast.Dict) else 'List'}(...)`.",
            )


def _lists(view: View, owner: ast.ClassDef) -> Iterator[tuple[str, ast.AST, int]]:
    """Attributes that are surely lists of layers with weights: (name, where, how many at least)."""
    for name, writes in list(view.program.assigned.items()):
        here = [w for w, t in writes if view.program.class_of(w) is owner and isinstance(t, ast.Attribute)]
        if not name.startswith("self.") or name.count(".") > 1 or len(here) != 1:
            continue
        value = here[0].value if isinstance(here[0], ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.List | ast.Tuple) and value.elts:
            layers = [e for e in value.elts if view.kinds.has_weights(e)]
            if layers and isinstance(value, ast.List):
                yield name, value, len(layers)
        elif isinstance(value, ast.Dict) and value.values:
            layers = [e for e in value.values if view.kinds.has_weights(e)]
            if layers:
                yield name, value, len(layers)
        elif isinstance(value, ast.ListComp) and view.kinds.has_weights(value.elt):
            yield name, value, 1
        elif isinstance(value, ast.List):
            added = [
                c
                for c in view.program.calls_of.get("append", ())
                if isinstance(c.func, ast.Attribute)
                and key(c.func.value) == name
                and view.program.class_of(c) is owner
                and c.args
                and view.kinds.has_weights(c.args[0])
            ]
            if added:
                yield name, value, len(added)


def _method(view: View, node: ast.AST) -> str:
    return next((a.name for a in view.program.ancestors(node) if isinstance(a, FUNCTIONS)), "")


def _given_away(view: View, use: ast.AST) -> bool:
    """The list itself goes into a call (`nn.Sequential(*self.layers)`), is returned, or stored elsewhere."""
    above = view.program.parent.get(use)
    if isinstance(
        above, ast.Starred | ast.Return | ast.Assign | ast.keyword | ast.List | ast.Tuple | ast.YieldFrom
    ):
        return True
    if not isinstance(above, ast.Call) or above.func is use:
        return False
    return key(above.func) not in ("enumerate", "zip", "reversed", "len", "range", "list", "iter")


def _outside(view: View, owner: ast.ClassDef, name: str) -> bool:
    """Code outside the class reads the list: it may hand the layers to an optimiser itself."""
    last = name.rpartition(".")[2]
    own = any(
        isinstance(s, FUNCTIONS) and s.name in (*OWNS, "state_dict", "_apply", "children", "modules")
        for s in owner.body
    )
    return own or any(
        isinstance(n, ast.Attribute) and n.attr == last and not view.program.inside(n, owner)
        for n in view.program.nodes
    )


def _swapped(view: View) -> Iterator[Found]:
    """`model.fc = nn.Linear(...)` after `Adam(model.parameters())` in the same block."""
    for call in view.program.calls:
        if not view.kinds.constructor(call).startswith("torch.optim.") or not call.args:
            continue
        if view.kinds.constructor(call).startswith("torch.optim.lr_scheduler."):
            continue
        built = view.program.statement(call)
        optimizer = next((key(t) for t in targets(built)), "")
        model = _owned(call)
        block = view.program.block(built)
        if not model or not optimizer or not block:
            continue
        later = block[next(i for i, s in enumerate(block) if s is built) + 1 :]
        for place, statement in enumerate(later):
            part = _part(statement, model)
            if (
                part is None
                or not isinstance(statement, ast.Assign)
                or not view.kinds.has_weights(statement.value)
            ):
                continue
            after = [n for s in later[place:] for n in ast.walk(s)]
            if not _trains(later[place:], optimizer) or _owned_later(view, after, optimizer, model):
                continue
            yield view.found(
                RULE,
                statement,
                f"`{view.text(part)}` is put into `{model}` after `{optimizer}` was given the parameters "
                f"({view.line(built)}): no optimiser has the new ones, and they stay as they were initialised",
                ("optimisers that own the new layer", 0, 1, "optimisers"),
                f"Build `{optimizer}` after the last change of `{model}`.",
                also=(built,),
            )


def _owned(call: ast.Call) -> str:
    """`model` of `Adam(model.parameters())`, where that is all the optimiser gets."""
    found = {
        key(n.func.value)
        for n in ast.walk(call.args[0])
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr in OWNS
    }
    return found.pop() if len(found) == 1 else ""


def _part(statement: ast.stmt, model: str) -> ast.expr | None:
    """`model.fc`, `model[2]` or `model.classifier[6]` where a statement assigns to it."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target = whole = statement.targets[0]
    while isinstance(whole, ast.Attribute | ast.Subscript):
        whole = whole.value
        if key(whole) == model:
            return target
    return None


def _trains(statements: list[ast.stmt], optimizer: str) -> bool:
    """The optimiser steps below, or is handed to something below."""
    for s in statements:
        for n in ast.walk(s):
            if isinstance(n, ast.Call):
                stepped = (
                    isinstance(n.func, ast.Attribute)
                    and n.func.attr == "step"
                    and key(n.func.value) == optimizer
                )
                handed = optimizer in [key(a) for a in (*n.args, *(k.value for k in n.keywords))]
                if stepped or (handed and "sched" not in key(n.func).lower()):
                    return True
    return False


def _owned_later(view: View, nodes: list[ast.AST], optimizer: str, model: str) -> bool:
    """Another optimiser, a rebuilt one or `add_param_group` may own the new layer."""
    for n in nodes:
        if any(key(t) == optimizer for t in targets(n)):
            return True
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute):
            if n.func.attr == "add_param_group":
                return True
            if n.func.attr in OWNS and (key(n.func.value) + ".").startswith(f"{model}."):
                above = view.program.parent.get(n)
                known = view.program.dotted(above.func) if isinstance(above, ast.Call) else ""
                if not known.startswith("torch.nn.utils."):
                    return True
    return False
