"""Questions about single nodes of a syntax tree: the name, the targets, an argument."""

from __future__ import annotations

import ast
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Loop: TypeAlias = ast.For | ast.AsyncFor | ast.While
Scope: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.Module
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module)

SINGLE = (ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.For, ast.AsyncFor, ast.comprehension)
"""What assigns to one target."""

DEPTH = 8
"""Names are followed through so many others; deeper ones are unknown."""


def key(node: ast.AST | None) -> str:
    """`self.opt` for a name or a chain of attributes, empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def targets(node: ast.AST) -> list[ast.expr]:
    """What a statement or expression assigns to, tuples taken apart."""
    if isinstance(node, ast.Assign):
        found = list(node.targets)
    elif isinstance(node, SINGLE):
        found = [node.target]
    elif isinstance(node, ast.With | ast.AsyncWith):
        found = [item.optional_vars for item in node.items if item.optional_vars]
    else:
        return []
    flat: list[ast.expr] = []
    while found:
        one = found.pop(0)
        if isinstance(one, ast.Tuple | ast.List):
            found = [*one.elts, *found]
        else:
            flat.append(one.value if isinstance(one, ast.Starred) else one)
    return flat


def keyword(call: ast.Call, name: str, place: int | None = None) -> ast.expr | None:
    """An argument by its name or its place."""
    for k in call.keywords:
        if k.arg == name:
            return k.value
    if (
        place is not None
        and place < len(call.args)
        and not any(isinstance(a, ast.Starred) for a in call.args[: place + 1])
    ):
        return call.args[place]
    return None
