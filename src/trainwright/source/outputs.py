"""What an expression ends in: the activation that made it, through names, models of the file and reshaping."""

from __future__ import annotations

import ast
from typing import NamedTuple

from .kinds import Kinds, returns
from .names import Names
from .program import Program
from .syntax import DEPTH, key, keyword

ACTIVATIONS = {
    "torch.softmax": "softmax",
    "torch.nn.functional.softmax": "softmax",
    "torch.sigmoid": "sigmoid",
    "torch.nn.functional.sigmoid": "sigmoid",
    "torch.special.expit": "sigmoid",
}
MODULES = {"torch.nn.Softmax": "softmax", "torch.nn.Sigmoid": "sigmoid"}
RESHAPED = set("squeeze unsqueeze view reshape flatten float contiguous to double cuda cpu view_as".split())
LINEAR = {"torch.nn.Linear": 1, "torch.nn.LazyLinear": 0}


class Ending(NamedTuple):
    """The activation at the end of something."""

    kind: str
    node: ast.AST
    dim: int | None
    """`None` = not written as a number, or no dimension."""
    width: int | None
    """Columns of the linear layer in front of it, where that is a number in the source."""


class Outputs:
    """Answers about one program."""

    def __init__(self, program: Program, names: Names, kinds: Kinds) -> None:
        self.program = program
        self.names = names
        self.kinds = kinds

    def ending(self, node: ast.expr, depth: int = DEPTH) -> Ending | None:
        """The softmax or sigmoid that an expression surely is the result of."""
        if depth <= 0:
            return None
        if isinstance(node, ast.Name):
            value = self.names.before(node)
            return self.ending(value, depth - 1) if value is not None else None
        if not isinstance(node, ast.Call):
            return None
        direct = self._direct(node)
        if direct is not None:
            return direct
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in RESHAPED
            and not self.program.dotted(node.func)
        ):
            return self.ending(node.func.value, depth - 1)
        module = self.kinds.module(node.func)
        return self.of_module(module, depth - 1) if module is not None and node.args else None

    def of_module(self, made: ast.Call, depth: int = DEPTH) -> Ending | None:
        """The activation that ends every way through a module's forward."""
        if depth <= 0:
            return None
        name = self.kinds.constructor(made)
        if name in MODULES:
            return Ending(MODULES[name], made, number(keyword(made, "dim", 0)), None)
        if name == "torch.nn.Sequential":
            return self._of_sequential(made, depth)
        owner = self.kinds.module_class(made)
        forward = self.program.method(owner, "forward") if owner is not None else None
        found = [self.ending(value, depth - 1) for value in returns(forward)] if forward is not None else []
        first = found[0] if found else None
        return first if first and all(f and f.kind == first.kind for f in found) else None

    def _of_sequential(self, made: ast.Call, depth: int) -> Ending | None:
        layers = list(made.args)
        while layers and self.kinds.constructor(layers[-1]) in ("torch.nn.Flatten", "torch.nn.Unflatten"):
            layers.pop()
        if not layers or any(isinstance(a, ast.Starred) for a in layers):
            return None
        last = self.kinds.module(layers[-1], depth - 1)
        end = self.of_module(last, depth - 1) if last is not None else None
        if (
            end is None
            or end.width is not None
            or len(layers) < 2
            or self.kinds.constructor(layers[-1]) not in MODULES
        ):
            return end
        return end._replace(width=self._width(layers[-2]))

    def _direct(self, call: ast.Call) -> Ending | None:
        name = self.program.dotted(call.func)
        made: ast.Call | None = None
        inner: ast.expr | None = call.args[0] if call.args else None
        place = 1
        if name in ACTIVATIONS:
            kind = ACTIVATIONS[name]
        elif isinstance(call.func, ast.Attribute) and call.func.attr in ("softmax", "sigmoid") and not name:
            if key(call.func.value) == "self":
                return self._of_layer(call)
            kind, inner, place = call.func.attr, call.func.value, 0
            if (number(keyword(call, "dim", 0)) is None) == (kind == "softmax"):
                return None  # no tensor's method
        else:
            made = self.kinds.module(call.func) if not name else None
            kind = MODULES.get(self.kinds.constructor(made), "") if made is not None else ""
            if not kind:
                return None
            return self._of_layer(call)
        dim = number(keyword(call, "dim", place))
        return Ending(kind, call, dim, self._width_of_call(inner))

    def _of_layer(self, call: ast.Call) -> Ending | None:
        """`self.softmax(x)`, `nn.Softmax(dim=1)(x)`."""
        made = self.kinds.module(call.func)
        kind = MODULES.get(self.kinds.constructor(made)) if made is not None else None
        if made is None or kind is None or not call.args:
            return None
        return Ending(kind, call, number(keyword(made, "dim", 0)), self._width_of_call(call.args[0]))

    def _width_of_call(self, inner: ast.expr | None, depth: int = 3) -> int | None:
        """Columns of `self.out(x)` where `self.out` is a linear layer."""
        if isinstance(inner, ast.Name) and depth:
            value = self.names.before(inner)
            return self._width_of_call(value, depth - 1) if value is not None else None
        made = self.kinds.module(inner.func) if isinstance(inner, ast.Call) else None
        return self._width(made) if made is not None else None

    def _width(self, layer: ast.expr) -> int | None:
        name = self.kinds.constructor(layer)
        if name not in LINEAR or not isinstance(layer, ast.Call):
            return None
        return number(keyword(layer, "out_features", LINEAR[name]))


def number(node: ast.expr | None) -> int | None:
    """A whole number as it is written, with its sign."""
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1, node.operand
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return sign * node.value
    return None
