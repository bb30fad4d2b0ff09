"""`check --static`: from a command line to a report on source code, without running it."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TextIO

from . import report, source
from .core import Finding, Rule
from .rules import ALL
from .settings import Settings, UsageError, settings, unknown
from .source import Seen, Unreadable, UnreadableBaseline

FINDINGS, USAGE, UNWRITTEN = 1, 2, 4
ENDINGS = {".json": "json", ".sarif": "sarif"}


def check_source(options: Namespace, paths: Sequence[Path]) -> int:
    """Do `check --static`; returns the exit status."""
    try:
        said = settings(options)
        asked = _asked(said)
        _form(options)
        if options.write_baseline and not options.baseline:
            raise UsageError("--write-baseline needs a file: --baseline FILE --write-baseline.")
        looked, seen = _look(paths, asked)
        if options.write_baseline:
            return _write_baseline(options.baseline, seen)
        new = source.new(seen, options.baseline) if options.baseline else seen
        looked = looked._replace(known=len(seen) - len(new))
    except (UsageError, Unreadable, UnreadableBaseline) as error:
        _say(str(error))
        return USAGE
    findings = [s.finding for s in new]
    if not _write(options, looked, findings):
        return UNWRITTEN
    if said.fails(f.severity for f in findings):
        return FINDINGS
    return 0 if looked.files else USAGE


def _asked(said: Settings) -> frozenset[str]:
    """The rules to ask, of those that a source can show."""
    known = _known()
    for name in (*(said.select or ()), *said.ignore):
        if name not in known:
            raise UsageError(f"{unknown('there is no rule', name, known)} `trainwright rules` lists all.")
    chosen = source.NAMES if said.select is None else [n for n in source.NAMES if n in said.select]
    if not chosen:
        raise UsageError(
            f"none of these rules can be seen in a source; those are: {', '.join(source.NAMES)}."
        )
    return frozenset(chosen) - frozenset(said.ignore)


def _known() -> list[str]:
    return list(dict.fromkeys([rule.name for rule in ALL] + list(source.NAMES)))


def _look(paths: Sequence[Path], rules: frozenset[str]) -> tuple[report.Looked, list[Seen]]:
    seen: list[Seen] = []
    unread: list[str] = []
    sources: dict[str, dict[int, str]] = {}
    files = torch = 0
    known = _known()
    for path in source.find(paths):
        try:
            one = source.read(path)
        except Unreadable as error:
            unread.append(str(error))
            continue
        files += 1
        torch += "torch" in one.text
        unread += one.unread
        found = source.judge(one, rules, known)
        if found and not one.lines:  # the cells of a notebook share their line numbers
            lines = one.text.splitlines()
            places = {w.line for s in found for w in s.finding.where if w.line}
            sources[one.file] = {n: lines[n - 1] for n in places if n <= len(lines)}
        seen += found
    return report.Looked(files, torch, unread, 0, sources), seen


def _write_baseline(to: Path, seen: Sequence[Seen]) -> int:
    try:
        to.write_text(source.written(seen, to), encoding="utf-8")
    except OSError as error:
        _say(f"cannot write the baseline to `{to}`: {error.strerror or error}.")
        return UNWRITTEN
    _say(f"{len(seen)} finding{'' if len(seen) == 1 else 's'} in the baseline {to}")
    return 0


def _form(options: Namespace) -> str:
    output: Path | None = options.output
    form: str = options.format or (ENDINGS.get(output.suffix, "text") if output else "text")
    if form == "html" or (output and output.suffix == ".html" and not options.format):
        raise UsageError("a check of sources has no HTML report; it has text, json, sarif and github.")
    return form


def _write(options: Namespace, looked: report.Looked, findings: Sequence[Finding]) -> bool:
    """Write the report as asked for, to stdout or to `--output`; whether that went well."""
    output: Path | None = options.output
    form = _form(options)
    rules: tuple[Rule, ...] = ALL
    try:
        with output.open("w", encoding="utf-8") if output else nullcontext(sys.stdout) as to:
            if form == "text":
                report.source_text(looked, findings, to, rules)
            else:
                to.write(_made(form, looked, findings, rules))
            to.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _say(f"cannot write the report to `{output or 'stdout'}`: {error.strerror or error}.")
        return False
    if form == "github":
        for why in looked.unread:
            _say(why)
    if output:
        _say(f"{len(findings)} finding{'' if len(findings) == 1 else 's'}; the report: {output}")
    return True


def _made(form: str, looked: report.Looked, findings: Sequence[Finding], rules: Sequence[Rule]) -> str:
    if form == "github":
        return report.source_github(findings)
    data = (report.source_json if form == "json" else report.source_sarif)(looked, findings, rules)
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _say(sentence: str, to: TextIO | None = None) -> None:
    with suppress(OSError, ValueError, AttributeError):  # closed, or there is none
        print(f"trainwright: {sentence}", file=to or sys.stderr, flush=True)
