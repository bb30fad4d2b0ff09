"""What the names of a program stand for: assignments, attributes, parameters and the calls that give them.

Everything errs towards "unknown" (`None`): a check that cannot be sure stays silent.
"""

from __future__ import annotations

import ast

from .program import Program
from .syntax import DEPTH, FUNCTIONS, LOOPS, Function, key, keyword, targets


class Names:
    """Answers about one program."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def values(self, node: ast.AST, depth: int = DEPTH) -> list[ast.expr] | None:
        """All that a name or `self.x` may be bound to; `None` where something unknown is among it."""
        name = key(node)
        if not name or depth <= 0:
            return None
        if name.startswith("self.") and name.count(".") == 1:
            home = self.program.class_of(node)
            return self._attribute(home, name, depth) if home else None
        if "." in name:
            return None
        scope: ast.AST = self.program.scope(node)
        while True:
            if isinstance(scope, ast.Lambda | ast.FunctionDef | ast.AsyncFunctionDef):
                arguments = [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]
                if name in [a.arg for a in arguments]:
                    if any(self._of(w, scope) for w, _ in self.program.assigned.get(name, ())):
                        return None
                    return self._given(scope, name, depth) if not isinstance(scope, ast.Lambda) else None
            here = [(w, t) for w, t in self.program.assigned.get(name, ()) if self._of(w, scope)]
            if here:
                return self._assigned_values(here)
            if isinstance(scope, ast.Module):
                return None
            scope = self.program.scope(scope)

    def _of(self, node: ast.AST, scope: ast.AST) -> bool:
        return self.program.scope(node) is scope and self._body_of(node) is self._body_of(scope)

    def _body_of(self, node: ast.AST) -> ast.AST | None:
        """The class whose body a node stands in without a function between; names there are no locals."""
        for above in self.program.ancestors(node):
            if isinstance(above, ast.ClassDef):
                return above
            if isinstance(above, (*FUNCTIONS, ast.Lambda)):
                return None
        return None

    def _attribute(self, owner: ast.ClassDef, name: str, depth: int) -> list[ast.expr] | None:
        family = self.program.family(owner)
        here = [(w, t) for w, t in self.program.assigned.get(name, ()) if self.program.class_of(w) in family]
        found = self._assigned_values(here) if here else None
        if found is None:
            return None
        return [v for e in found for v in (self._through(e, depth) or [e])]

    def _through(self, value: ast.expr, depth: int) -> list[ast.expr] | None:
        return self.values(value, depth - 1) if isinstance(value, ast.Name) else None

    def _assigned_values(self, writes: list[tuple[ast.AST, ast.expr]]) -> list[ast.expr] | None:
        found: list[ast.expr] = []
        for statement, target in writes:
            value = self.assigned_value(statement, target)
            if value is None:
                return None
            found.append(value)
        return found

    def assigned_value(self, statement: ast.AST, target: ast.expr) -> ast.expr | None:
        """What a statement puts into one of its targets, where that is written there."""
        if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            return None
        value = statement.value
        if not isinstance(statement, ast.Assign) or any(t is target for t in statement.targets):
            return value
        for whole in statement.targets:
            pairs = _paired(whole, value)
            if any(t is target for t, _ in pairs):
                return next(v for t, v in pairs if t is target)
        return None

    def _given(self, function: Function, name: str, depth: int) -> list[ast.expr] | None:
        """What the calls in this file give a parameter."""
        found: list[ast.expr] = []
        named = function.name
        if isinstance(self.program.parent.get(function), ast.ClassDef):
            if named != "__init__":
                sites = [c for c in self.program.calls_of.get(named, ()) if isinstance(c.func, ast.Attribute)]
            else:
                owner = self.program.parent[function]
                named = owner.name if isinstance(owner, ast.ClassDef) else ""
                sites = [c for c in self.program.calls_of.get(named, ()) if isinstance(c.func, ast.Name)]
            skip = 1
        else:
            sites = [c for c in self.program.calls_of.get(named, ()) if isinstance(c.func, ast.Name)]
            skip = 0
        if len(self.program.functions.get(function.name, ())) != 1 and function.name != "__init__":
            return None
        arguments = [*function.args.posonlyargs, *function.args.args][skip:]
        place = next((i for i, a in enumerate(arguments) if a.arg == name), None)
        for call in sites:
            value = keyword(call, name, place)
            spread = any(isinstance(a, ast.Starred) for a in call.args) or None in [
                k.arg for k in call.keywords
            ]
            if value is None and not spread:
                value = self._default(function, name)
            if value is None:
                return None
            deeper = self.values(value, depth - 1) if isinstance(value, ast.Name) else [value]
            if deeper is None:
                return None
            found += deeper
        return list(dict.fromkeys(found)) or None  # nodes compare by identity

    def _default(self, function: Function, name: str) -> ast.expr | None:
        plain = [*function.args.posonlyargs, *function.args.args]
        for argument, default in zip(reversed(plain), reversed(function.args.defaults), strict=False):
            if argument.arg == name:
                return default
        for argument, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True):
            if argument.arg == name:
                return value
        return None

    def before(self, name: ast.Name) -> ast.expr | None:
        """What a name was last given on the straight way to here; `None` where ways meet, or it is unknown."""
        at: ast.AST = self.program.statement(name)
        scope = self.program.scope(name)
        while at is not scope and at in self.program.parent:
            block = self.program.block(at)
            place = next((i for i, s in enumerate(block) if s is at), 0)
            for earlier in reversed(block[:place]):
                found = [
                    (w, t)
                    for w, t in self.program.assigned.get(name.id, ())
                    if self.program.inside(w, earlier) and self.program.scope(w) is scope
                ]
                if found:
                    return self._last(earlier, found)
            at = self.program.parent[at]
            if isinstance(at, LOOPS) and self.writes(at, name.id, scope):
                return None  # it may come from the round before
            if any(key(t) == name.id for t in targets(at)):
                return None
        return None

    def writes(self, outer: ast.AST, name: str, scope: ast.AST | None = None) -> bool:
        """Whether a name, or something under it, is assigned inside `outer` (or by its head)."""
        return any(
            self.program.inside(w, outer) and (scope is None or self.program.scope(w) is scope)
            for w, _ in self.program.assigned.get(name, ())
        )

    def _last(self, earlier: ast.stmt, writes: list[tuple[ast.AST, ast.expr]]) -> ast.expr | None:
        inner: ast.stmt | None = earlier
        while isinstance(inner, ast.With | ast.AsyncWith):  # a with block always runs
            if any(w is inner for w, _ in writes):
                return None
            inner = next(
                (s for s in reversed(inner.body) if any(self.program.inside(w, s) for w, _ in writes)), None
            )
        last = [(w, t) for w, t in writes if w is inner]
        return self.assigned_value(*last[-1]) if len(last) == 1 else None


def _paired(target: ast.expr, value: ast.expr | None) -> list[tuple[ast.expr, ast.expr]]:
    """Targets with their values, where both are written out: `x, y = a, b`."""
    if not (isinstance(target, ast.Tuple | ast.List) and isinstance(value, ast.Tuple | ast.List)):
        return []
    if any(isinstance(e, ast.Starred) for e in (*target.elts, *value.elts)):
        return []
    return list(zip(target.elts, value.elts, strict=True)) if len(target.elts) == len(value.elts) else []
