"""Which names are batches of a data loader."""

from __future__ import annotations

import ast

from ..kinds import words
from ..syntax import LOOPS, key, targets
from ..view import View

AROUND = {"enumerate", "tqdm", "trange", "zip", "iter", "track"}


def loader_of(loop: ast.AST) -> ast.expr | None:
    """What a `for` loop goes through, without `enumerate` and progress bars around it."""
    if not isinstance(loop, ast.For | ast.AsyncFor):
        return None
    given = loop.iter
    while isinstance(given, ast.Call) and key(given.func).rpartition(".")[2] in AROUND and given.args:
        given = given.args[0]
    return given


def is_loader(view: View, node: ast.expr | None) -> bool:
    """A `DataLoader`, or something unknown that is called one."""
    if node is None:
        return False
    if loader_call(view, node) is not None:
        return True
    known = view.names.values(node)
    if known and any(isinstance(v, ast.List | ast.ListComp | ast.Constant) for v in known):
        return False
    said = words(key(node))
    return any(w in ("loader", "dataloader", "dl") or w.endswith("loader") for w in said)


def loader_call(view: View, node: ast.expr) -> ast.Call | None:
    """The one call of torch's `DataLoader` that made it."""
    if isinstance(node, ast.Call):
        return node if view.kinds.constructor(node) in NAMES else None
    known = view.names.values(node)
    if not known or len(known) != 1 or not isinstance(known[0], ast.Call):
        return None
    return known[0] if view.kinds.constructor(known[0]) in NAMES else None


NAMES = {"torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader"}


def from_loader(view: View, name: ast.Name) -> bool:
    """A name that the innermost loop around it takes out of a loader."""
    for above in view.program.ancestors(name):
        if isinstance(above, LOOPS):
            if any(key(t) == name.id for t in targets(above)):
                return is_loader(view, loader_of(above))
        elif above is view.program.scope(name):
            return False
    return False
