"""detached-graph: backward starts from a loss that no weight has a part in any more."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from ...core import Severity
from ..syntax import DEPTH, key, keyword
from ..view import Found, View
from .loaders import from_loader

RULE = "detached-graph"

CUTS = {"item", "detach", "numpy", "tolist", "argmax"}
CUTTING = {"torch.argmax"}
KEEPS = set(
    "to cuda cpu float double half long int view reshape squeeze unsqueeze flatten mean sum clone abs exp log pow "
    "sqrt clamp contiguous t type_as item detach numpy tolist argmax".split()
)
"""Methods whose result has a graph only if what they are called on has one."""

MAKES = {"torch.tensor", "torch.as_tensor", "torch.from_numpy", "torch.FloatTensor", "torch.LongTensor"}
NEW = {
    "torch.zeros",
    "torch.ones",
    "torch.randn",
    "torch.rand",
    "torch.randint",
    "torch.arange",
    "torch.randperm",
}


class Graph(NamedTuple):
    """That an expression surely has no graph."""

    cut: ast.AST | None
    """Where one was lost; `None` = it never had one."""
    leaf: bool = False
    """It asks for gradients again, so that backward starts and ends there."""


DATA = Graph(None)


def check(view: View) -> Iterator[Found]:
    """Follow what each backward starts from; only what is certain on the straight way counts."""
    for call in view.program.calls_of.get("backward", ()):
        if not isinstance(call.func, ast.Attribute) or call.args or call.keywords:
            continue
        graph = _graph(view, call.func.value)
        if graph is None or graph.cut is None:
            continue
        start = view.text(call.func.value)
        yield view.found(
            RULE,
            graph.cut,
            f"`{start}.backward()` ({view.line(call)}) starts from a value that was cut off the graph here by "
            f"`{_how(graph.cut)}`: "
            + ("it runs and no weight gets a gradient" if graph.leaf else "no weight can get a gradient"),
            ("ways from the loss to a weight", 0, 1, "ways"),
            "Compute the loss from the model's output itself; detach only what is printed or kept.",
            Severity.HARM,
            also=(call,),
        )


def _how(cut: ast.AST) -> str:
    if isinstance(cut, ast.Call):
        return f"{cut.func.attr}()" if isinstance(cut.func, ast.Attribute) else f"{key(cut.func)}()"
    return f".{cut.attr}" if isinstance(cut, ast.Attribute) else "a new tensor"


def _graph(view: View, node: ast.expr, depth: int = DEPTH) -> Graph | None:
    """What is certain about an expression's graph; `None` = it may have one."""
    if depth <= 0:
        return None
    if isinstance(node, ast.Constant):
        return DATA
    if isinstance(node, ast.Name):
        value = view.names.before(node)
        if value is not None:
            return _graph(view, value, depth - 1)
        return DATA if from_loader(view, node) else None
    if isinstance(node, ast.UnaryOp):
        return _graph(view, node.operand, depth - 1)
    if isinstance(node, ast.BinOp):
        return _joined([_graph(view, n, depth - 1) for n in (node.left, node.right)])
    if isinstance(node, ast.Subscript):
        return _graph(view, node.value, depth - 1)
    if isinstance(node, ast.Attribute) and node.attr == "data":
        return Graph(node) if _computed(view, node.value) else None
    return _of_call(view, node, depth) if isinstance(node, ast.Call) else None


def _of_call(view: View, call: ast.Call, depth: int) -> Graph | None:
    name = view.program.dotted(call.func)
    asks = keyword(call, "requires_grad")
    again = isinstance(asks, ast.Constant) and asks.value is True
    if name in NEW:
        return None if asks is not None else DATA
    if name in MAKES or name == "torch.autograd.Variable":
        inner = _graph(view, call.args[0], depth - 1) if call.args else None
        if inner is None and call.args and name in MAKES:
            inner = Graph(call) if _computed(view, call.args[0]) else DATA
        if inner is None or (asks is not None and not again):
            return None
        if again:
            return Graph(inner.cut, leaf=True) if inner.cut is not None else None
        return inner
    if view.kinds.loss(call) is not None:
        return _joined([_graph(view, a, depth - 1) for a in call.args[:2]]) if len(call.args) > 1 else None
    if name in CUTTING and call.args:
        return Graph(call) if _computed(view, call.args[0]) else None
    if not isinstance(call.func, ast.Attribute) or name:
        return None
    owner = call.func.value
    inner = _graph(view, owner, depth - 1)
    if call.func.attr == "requires_grad_" and inner is not None and inner.cut is not None:
        return Graph(inner.cut, leaf=True)
    if inner is not None:
        return inner if call.func.attr in KEEPS and not inner.leaf else None
    return Graph(call) if call.func.attr in CUTS and _computed(view, owner) else None


def _joined(parts: list[Graph | None]) -> Graph | None:
    known = [p for p in parts if p is not None]
    if len(known) < len(parts) or any(p.leaf for p in known):
        return None
    return next((p for p in known if p.cut is not None), DATA)


def _computed(view: View, node: ast.expr, depth: int = 4) -> bool:
    """A tensor that a loss or a model computed: not a parameter, nor something that merely has `.data`."""
    if isinstance(node, ast.Name) and depth:
        value = view.names.before(node)
        return value is not None and _computed(view, value, depth - 1)
    if isinstance(node, ast.BinOp):
        return _computed(view, node.left, depth - 1) or _computed(view, node.right, depth - 1)
    if not isinstance(node, ast.Call):
        return False
    if view.kinds.loss(node) is not None or view.kinds.module(node.func) is not None:
        return True
    last = key(node.func).rpartition(".")[2].lower()
    return last in ("model", "net", "network", "criterion", "loss_fn", "loss_func")
