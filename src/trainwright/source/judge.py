"""From sources to findings: ask the checks, leave out what the user has said to leave out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from typing import NamedTuple

from ..core import Evidence, Finding, Severity, Where
from .checks import CHECKS
from .files import Source
from .ignored import Ignored, ignored
from .view import Found, View

OWN = "trainwright"
"""Signs findings about ourselves and about our comments. No rule has this name."""


class Seen(NamedTuple):
    """A finding, and the text of its line: what a baseline knows it by."""

    finding: Finding
    text: str


def judge(source: Source, rules: Collection[str], known: Collection[str]) -> list[Seen]:
    """What the checks find in one source, from top to bottom.

    Args:
        rules: names of the rules to ask.
        known: names of all rules there are; a comment that ignores another one is reported.
    """
    comments = ignored(source.text)
    lines = source.text.splitlines()
    quiet = {(c.line, rule) for c in comments for rule in c.rules}
    seen: list[Seen] = []
    if "torch" in source.text:
        for found in _ask(source, rules):
            span = range(found.first, found.last + 1)
            one = Seen(found.finding, _text(lines, found.first))
            if one not in seen and not any((line, found.finding.rule) in quiet for line in span):
                seen.append(one)
    seen += [Seen(f, _text(lines, c.line)) for c in comments for f in _misnamed(source, c, known)]
    return sorted(seen, key=lambda s: (s.finding.where[0].module or "", s.finding.where[0].line or 0))


def _ask(source: Source, rules: Collection[str]) -> Iterator[Found]:
    try:
        view = View(source)
    except RecursionError:
        yield _failed(source, "reading its names", "it is nested too deeply")
        return
    for names, check in CHECKS:
        if not set(names) & set(rules):
            continue
        try:
            yield from [f for f in check(view) if f.finding.rule in rules]
        except Exception as error:  # whatever it is, the other checks' findings must come out
            yield _failed(source, f"looking for {' and '.join(names)}", f"{type(error).__name__}: {error}")


def _failed(source: Source, doing: str, error: str) -> Found:
    finding = Finding(
        f"This file was left out in {doing}, which is a fault of trainwright: {error}",
        evidence=(Evidence("checks that failed", 1, 0, "checks"),),
        where=(Where(file=source.file, line=1),),
        fix="Please report it, with the file if you can; the other checks are not affected.",
        severity=Severity.HINT,
        rule=OWN,
    )
    return Found(finding, 1, 1)


def _misnamed(source: Source, comment: Ignored, known: Iterable[str]) -> Iterator[Finding]:
    wrong = [name for name in comment.rules if name not in known]
    for name in wrong or ([] if comment.rules else [""]):
        near = get_close_matches(name, list(known), 1)
        meant = f" Did you mean `{near[0]}`?" if near else ""
        line = source.line(comment.line)
        yield Finding(
            f"This comment ignores `{name}`, and there is no such rule.{meant}".rstrip(".")
            if name
            else "This comment names no rule, so it ignores nothing",
            evidence=(Evidence("rules of that name", 0, 1, "rules"),),
            where=(Where(f"cell {line.cell}" if line.cell else None, None, source.file, line.number),),
            fix="Write `# trainwright: ignore[RULE]`; `trainwright rules` lists all.",
            severity=Severity.HINT,
            rule=OWN,
        )


def _text(lines: list[str], number: int) -> str:
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""
