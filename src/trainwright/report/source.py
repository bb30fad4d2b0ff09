"""Findings in source code, shown as those of a run are, without what only a run has: steps, costs, a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TextIO

from rich.console import Console

from ..core import Facts, Finding, Rule, Run, Severity
from .data import SCHEMA_VERSION, Json, github, sarif
from .data import _finding as finding_as_json
from .terminal import STYLE as COLOURS
from .terminal import _advice, _compared, _console, _places, _prose, _rows, _wrapped


class Looked(NamedTuple):
    """What a check of sources looked at."""

    files: int
    """That could be read."""
    torch: int
    """Of those, how many use torch: the others have no training to judge."""
    unread: Sequence[str]
    """What could not be read and why, a sentence each."""
    known: int
    """Findings that a baseline knows, and that are left out."""
    sources: Mapping[str, Mapping[int, str]]
    """File -> line -> what stands there, for the findings."""


def source_json(looked: Looked, findings: Sequence[Finding], rules: Sequence[Rule]) -> Json:
    """The same object as of a run; `script`, `exit_status` and `overhead` are null."""
    by_name = {rule.name: rule for rule in rules}
    return {
        "schema_version": SCHEMA_VERSION,
        "script": None,
        "exit_status": None,
        "steps": 0,
        "overhead": None,
        "verdict": {
            "kind": _kind(looked, findings),
            "sentence": sentence(looked, findings),
            "looked_at": [_files(looked), *(f"no {why}" for why in looked.unread)],
        },
        "findings": [finding_as_json(f, by_name.get(f.rule)) for f in findings],
    }


def source_sarif(looked: Looked, findings: Sequence[Finding], rules: Sequence[Rule]) -> Json:
    """A SARIF log; a file that could not be read is a notification."""
    unread = [{"where": "not read", "error": why} for why in looked.unread]
    return sarif(Run({}, Facts(own_failures=unread)), findings, rules)


def source_github(findings: Sequence[Finding]) -> str:
    """Workflow commands, one a finding."""
    return github(Run({}), findings)


def source_text(
    looked: Looked, findings: Sequence[Finding], to: Console | TextIO, rules: Sequence[Rule]
) -> None:
    """Write the report: the findings in order of file and line, then what was looked at."""
    console = _console(to)
    by_name = {rule.name: rule for rule in rules}
    sources = {file: {str(n): text for n, text in rows.items()} for file, rows in looked.sources.items()}
    quoted = Run({}, Facts(sources=sources))
    _wrapped(console, _prose("trainwright: ", "bold") + _prose(sentence(looked, findings)))
    for finding in findings:
        severity = Severity.HARM if finding.severity is None else finding.severity
        console.print()
        title = _prose(f"{severity.name.lower()}[{finding.rule}]: ", COLOURS[severity])
        _wrapped(console, title + _prose(finding.message, "bold"))
        for line in _places(finding, quoted, console.width):
            console.print(line, soft_wrap=True)
        _rows(console, "counted", (_compared(e) for e in finding.evidence))
        for label, advice in _advice(finding, severity, by_name.get(finding.rule)):
            _rows(console, label, advice)
        if finding.rule in by_name:
            _rows(console, "more", [_prose(f"trainwright explain {finding.rule}")])
    console.print()
    _rows(console, "looked at", [_prose(_files(looked))])
    if looked.unread:
        _rows(console, "not read", [_prose(why) for why in looked.unread])


def sentence(looked: Looked, findings: Sequence[Finding]) -> str:
    """What one may conclude.

    >>> sentence(Looked(2, 1, (), 0, {}), ())
    'No fault is visible in the source of 2 files, 1 of them with torch.'
    """
    if not looked.files:
        return "No source could be read."
    grades = [f.severity or Severity.HARM for f in findings]
    words = {Severity.FATAL: "fatal finding", Severity.HARM: "harmful finding", Severity.HINT: "hint"}
    counts = [_count(grades.count(g), word) for g, word in words.items() if g in grades]
    known = f" besides {_count(looked.known, 'known finding')}" if looked.known else ""
    if not counts:
        return (
            f"No {'other ' if looked.known else ''}fault is visible in the source of {_files(looked)}{known}."
        )
    return f"{', '.join(counts)} in the source of {_files(looked)}{known}."


def _kind(looked: Looked, findings: Sequence[Finding]) -> str:
    if any((f.severity or Severity.HARM) > Severity.HINT for f in findings):
        return "findings"
    return "nothing-found" if looked.torch else "too-little-seen"


def _files(looked: Looked) -> str:
    return f"{_count(looked.files, 'file')}, {looked.torch} of them with torch"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"
