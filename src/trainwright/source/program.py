"""One parsed file, indexed: parents, imports, functions, classes, calls, and where a node stands."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property

from .files import Source
from .syntax import DEPTH, FUNCTIONS, LOOPS, SCOPES, Function, Loop, Scope, key, targets

INDEXED = {ast.Import, ast.ImportFrom, ast.ClassDef, ast.Call, *FUNCTIONS, *LOOPS}
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


class Program:
    """A source, indexed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tree = source.tree
        self.parent: dict[ast.AST, ast.AST] = {}
        self.imports: dict[str, str] = {}
        self.functions: dict[str, list[Function]] = defaultdict(list)
        self.classes: dict[str, list[ast.ClassDef]] = defaultdict(list)
        self.calls: list[ast.Call] = []
        self.loops: list[Loop] = []
        self.nodes: list[ast.AST] = [self.tree]
        self._scopes: dict[ast.AST, Scope] = {}
        for node in self.nodes:  # grows as it goes: breadth first, without recursion
            for child in ast.iter_child_nodes(node):
                self.parent[child] = node
                if not isinstance(child, ast.expr_context | ast.operator | ast.cmpop):
                    self.nodes.append(child)
        for node in self.nodes:
            if type(node) in INDEXED:
                self._index(node)

    def _index(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for a in node.names:
                self.imports[a.asname or a.name.partition(".")[0]] = (
                    a.name if a.asname else a.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for a in node.names:
                self.imports[a.asname or a.name] = f"{'.' * node.level}{node.module or ''}.{a.name}"
        elif isinstance(node, FUNCTIONS):
            self.functions[node.name].append(node)
        elif isinstance(node, ast.ClassDef):
            self.classes[node.name].append(node)
        elif isinstance(node, ast.Call):
            self.calls.append(node)
        elif isinstance(node, LOOPS):
            self.loops.append(node)

    @cached_property
    def assigned(self) -> dict[str, list[tuple[ast.AST, ast.expr]]]:
        """Every assignment in the file by the key that it writes: (statement, target)."""
        found: dict[str, list[tuple[ast.AST, ast.expr]]] = defaultdict(list)
        for node in self.nodes:
            for target in targets(node):
                found[key(target)].append((node, target))
        return found

    @cached_property
    def calls_of(self) -> dict[str, list[ast.Call]]:
        """Calls by the last part of what is called."""
        found: dict[str, list[ast.Call]] = defaultdict(list)
        for call in self.calls:
            name = call.func.attr if isinstance(call.func, ast.Attribute) else key(call.func)
            found[name].append(call)
        return found

    # Where a node stands

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """From the parent up to the module."""
        while node in self.parent:
            node = self.parent[node]
            yield node

    def scope(self, node: ast.AST) -> Scope:
        """The function (or the module) whose names a node sees first."""
        known = self._scopes.get(node)
        if known is None:
            above = (a for a in self.ancestors(node) if isinstance(a, SCOPES))
            known = self._scopes[node] = next(above, self.tree)
        return known

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The class in whose method a node stands."""
        return next((a for a in self.ancestors(node) if isinstance(a, ast.ClassDef)), None)

    def statement(self, node: ast.AST) -> ast.AST:
        """The innermost statement around a node."""
        while not isinstance(node, ast.stmt | ast.excepthandler | ast.match_case) and node in self.parent:
            node = self.parent[node]
        return node

    def block(self, statement: ast.AST) -> list[ast.stmt]:
        """The list of statements that one stands in."""
        above = self.parent.get(statement)
        for name in BLOCKS:
            block = getattr(above, name, None)
            if isinstance(block, list) and any(s is statement for s in block):
                return block
        return []

    def inside(self, node: ast.AST, outer: ast.AST) -> bool:
        return node is outer or any(a is outer for a in self.ancestors(node))

    # What a node stands for

    def dotted(self, node: ast.AST | None) -> str:
        """`torch.nn.Linear` for what is imported under any name, empty for what is not imported."""
        name = key(node)
        first, _, rest = name.partition(".")
        if first not in self.imports or first in self.assigned:
            return ""
        whole = f"{self.imports[first]}.{rest}" if rest else self.imports[first]
        return whole.replace("torch.nn.modules.", "torch.nn.")

    def function(self, call: ast.Call) -> Function | None:
        """The function of this file that a call runs; `None` where that is not certain."""
        if isinstance(call.func, ast.Name):
            found = self.functions.get(call.func.id, [])
            if len(found) != 1 or call.func.id in self.assigned or self.class_of(found[0]) is not None:
                nested = [f for f in found if self.scope(f) is self.scope(call)]
                return nested[0] if len(nested) == 1 and call.func.id not in self.assigned else None
            return found[0]
        if key(call.func).startswith("self.") and key(call.func).count(".") == 1:
            home = self.class_of(call)
            return (
                self.method(home, call.func.attr) if home and isinstance(call.func, ast.Attribute) else None
            )
        return None

    def method(self, owner: ast.ClassDef, name: str) -> Function | None:
        """A method of a class of this file, or of its base classes in this file."""
        for one in self.family(owner):
            for statement in one.body:
                if isinstance(statement, FUNCTIONS) and statement.name == name:
                    return statement
        return None

    def family(self, owner: ast.ClassDef) -> list[ast.ClassDef]:
        """A class and its base classes in this file, nearest first."""
        found = [owner]
        for one in found:
            for base in one.bases:
                known = self.classes.get(key(base), [])
                if len(known) == 1 and known[0] not in found and len(found) < DEPTH:
                    found.append(known[0])
        return found
