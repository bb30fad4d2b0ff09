"""All that a check may ask about one source, and what it answers with."""

from __future__ import annotations

import ast
from typing import NamedTuple

from ..core import Evidence, Finding, Severity, Where
from .events import Events
from .files import Source
from .kinds import Kinds
from .names import Names
from .outputs import Outputs
from .program import Program


class Found(NamedTuple):
    """A finding and the lines of the source that an `ignore` comment about it may stand on."""

    finding: Finding
    first: int
    last: int


class View:
    """One source with its names, kinds and events looked up once for all checks."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.program = Program(source)
        self.names = Names(self.program)
        self.kinds = Kinds(self.program, self.names)
        self.events = Events(self.program, self.kinds)
        self.outputs = Outputs(self.program, self.names, self.kinds)

    def found(
        self,
        rule: str,
        node: ast.AST,
        message: str,
        evidence: tuple[str, float, float, str],
        fix: str,
        severity: Severity = Severity.HARM,
        also: tuple[ast.AST, ...] = (),
    ) -> Found:
        """A finding at a node.

        Args:
            evidence: what was counted, how many, what it should be, and the unit.
            also: further places, for the reader.
        """
        statement = self.program.statement(node)
        first = getattr(node, "lineno", 1)
        last = max(getattr(node, "end_lineno", None) or first, first)
        if not hasattr(statement, "body"):
            last = max(getattr(statement, "end_lineno", None) or last, last)
        finding = Finding(
            message,
            evidence=(Evidence(*evidence),),
            where=tuple(dict.fromkeys(self.where(n) for n in (node, *also))),
            fix=fix,
            severity=severity,
            rule=rule,
        )
        return Found(finding, first, last)

    def where(self, node: ast.AST) -> Where:
        """The reader's place of a node: in a notebook the cell, and the line in it."""
        line = self.source.line(getattr(node, "lineno", 1))
        return Where(f"cell {line.cell}" if line.cell else None, None, self.source.file, line.number)

    def line(self, node: ast.AST) -> str:
        """`line 12`, for a message."""
        where = self.where(node)
        return f"line {where.line}" + (f" of {where.module}" if where.module else "")

    def text(self, node: ast.AST, longest: int = 40) -> str:
        """The user's own words for an expression, on one line."""
        words = " ".join(ast.unparse(node).split())
        return words if len(words) <= longest else f"{words[: longest - 3]}..."
