"""The report as text: the worst first, each with its line, its numbers and what to do; then what was clean.

Colours and bold only where a terminal shows them: the words alone say everything. Nothing is outside ASCII
but what the user's code and the messages bring along.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from ..core import Evidence, Finding, Rule, Run, Severity
from ..rules import ALL, unwatched
from ..rules.verdict import Verdict, verdict
from .data import near
from .markup import UNPRINTABLE, number
from .page import page, remedies

STYLE = {Severity.FATAL: "bold red", Severity.HARM: "bold yellow", Severity.HINT: "bold cyan"}
GOOD = {"still-improving", "nothing-found"}

PLACES = 4
"""Most places listed for one finding."""

ADVICE = 3
"""Most remedies quoted in full for one finding; the others by name."""

WIDTH = 100
"""Longer lines are hard to read, however wide the window is."""

LABEL = 12
"""Columns before the text of a row."""


def text(
    run: Run,
    findings: Sequence[Finding],
    to: Console | TextIO,
    rules: Sequence[Rule] = ALL,
    *,
    folder: Path | None = None,
    report: Path | None = None,
) -> None:
    """Write the whole report.

    Args:
        findings: worst first, as `rules.diagnose` returns them.
        to: a console, or anything that text is written to.
        rules: those that were applied: what they say to do is quoted, and those without findings are listed.
        folder: where the run was recorded, so that one can judge it again; `None` = nowhere.
        report: the HTML report; `None` = none was written.
    """
    console = _console(to)
    by_name = {rule.name: rule for rule in rules}
    said = verdict(run, findings)
    log = run.facts.get("curves")
    script = run.facts.get("script") or (log["file"] if log else None)
    heading = _prose(f"trainwright on {near(script)}: " if script else "trainwright: ", "bold")
    _wrapped(console, heading + _prose(said.sentence, "green" if said.kind in GOOD else ""))
    for finding in findings:
        console.print()
        _finding(console, finding, run, by_name.get(finding.rule))
    console.print()
    for label, lines in _seen(run, findings, rules, said):
        _rows(console, label, (_prose(line) for line in lines))
    for label, path in (("record", folder), ("report", report)):
        if path:
            _rows(console, label, [_prose(near(str(path)))])
    _next(console, _commands(run, findings, by_name, said, folder))


def explain(rule: Rule, to: Console | TextIO) -> None:
    """Write a rule's page: laid out in a terminal, as plain Markdown elsewhere."""
    console = _console(to)
    if console.is_terminal:
        console.print(Markdown(page(rule)))
    else:
        console.file.write(page(rule))


def catalogue(rules: Iterable[Rule], to: Console | TextIO) -> None:
    """Write all rules, the worst first, two lines each."""
    console = _console(to)
    for rule in sorted(rules, key=lambda r: (-r.severity, r.name)):
        console.print(
            Text.assemble((f"{rule.severity.name.lower():5}", STYLE[rule.severity]), f"  {rule.name}")
        )
        _rows(console, "", [_prose(rule.summary)], indent=7)
    console.print("\nA rule's page: trainwright explain NAME")


def _console(to: Console | TextIO) -> Console:
    if isinstance(to, Console):
        return to
    # Rich sees for itself whether it is a terminal, and honours NO_COLOR.
    console = Console(file=to, highlight=False, markup=False, emoji=False)
    console.width = min(console.width, WIDTH)
    return console


def _rows(console: Console, label: str, lines: Iterable[Text], indent: int = LABEL + 2) -> None:
    """A label and, beside it, text that keeps its margin when it wraps."""
    first = Text(f"  {label}".ljust(indent), "dim")
    for words in lines:
        _wrapped(console, words, first, indent)
        first = Text(" " * indent)


def _wrapped(console: Console, words: Text, first: Text | None = None, indent: int = 0) -> None:
    """Lines no longer than the console, all but the first behind `indent` blanks, none ending in one."""
    for i, line in enumerate(words.wrap(console, max(console.width - indent, 20))):
        line.rstrip()
        console.print((Text(" " * indent) if i else first or Text()) + line, soft_wrap=True)


def _finding(console: Console, finding: Finding, run: Run, rule: Rule | None) -> None:
    severity = Severity.HARM if finding.severity is None else finding.severity
    title = Text(f"{severity.name.lower()}[{finding.rule}]: ", STYLE[severity])
    _wrapped(console, title + _prose(finding.message, "bold"))
    for line in _places(finding, run, console.width):
        console.print(line, soft_wrap=True)  # a path that is cut in two cannot be clicked
    _rows(console, "seen", [Text(_when(finding, run))])
    _rows(console, "measured", (_compared(e) for e in finding.evidence))
    for label, advice in _advice(finding, severity, rule):
        _rows(console, label, advice)
    if rule:
        _rows(console, "more", [Text(f"trainwright explain {rule.name}")])


def _places(finding: Finding, run: Run, width: int) -> Iterator[Text]:
    """`--> train.py:12` and what stands there; names alone where no line is known."""
    places = list(dict.fromkeys(finding.where))
    quoted = set()
    for where in places[:PLACES]:
        name = where.parameter or where.module
        at = f"{near(where.file)}:{where.line}" if where.file and where.line else near(where.file or "")
        bits = [_printable(at), f"`{_printable(name)}`" if name else ""]
        if any(bits):  # of curves alone, no place is known
            yield Text("  --> ", "dim") + Text(" ".join(bit for bit in bits if bit), "bold")
        source = run.facts.get("sources", {}).get(where.file or "", {}).get(str(where.line), "").strip()
        if source and where[2:] not in quoted:
            quoted.add(where[2:])
            line = f"      {where.line} | {_printable(source)}"
            yield Text(line if len(line) <= width else f"{line[: width - 3]}...", "dim")
    if len(places) > PLACES:
        yield Text(f"      and {len(places) - PLACES} more places", "dim")


def _when(finding: Finding, run: Run) -> str:
    """Since which step, and until when if it stopped well before the run did."""
    first, last = finding.steps
    if first == last:
        return f"at step {first:,}"
    return (
        f"since step {first:,}" if last >= 0.9 * (run.steps - 1) else f"from step {first:,} to step {last:,}"
    )


def _compared(e: Evidence) -> Text:
    """A number beside its limit, with as many digits as it takes to tell them apart."""
    digits = 3
    while digits < 7 and number(e.measured, digits) == number(e.limit, digits) and e.measured != e.limit:
        digits += 1
    unit = f" ({e.unit})" if e.unit else ""
    measured = Text(number(e.measured, digits), "bold")
    return _prose(f"{e.what}: ") + measured + _prose(f", limit {number(e.limit, digits)}{unit}")


def _advice(finding: Finding, severity: Severity, rule: Rule | None) -> Iterator[tuple[str, list[Text]]]:
    """The fix with the user's own names, and what the page advises: at length only where harm has no fix."""
    known = remedies(rule) if rule else ()
    quoted = 0
    if finding.fix:
        yield "do", [_prose(finding.fix)]
    elif severity > Severity.HINT:
        quoted = ADVICE
        yield "do", [_prose(a.name, "bold") + _prose(f": {a.summary}") for a in known[:quoted]]
    if known[quoted:]:
        yield "or" if quoted else "remedies", [_prose(", ".join(a.name for a in known[quoted:]))]


def _seen(
    run: Run, findings: Sequence[Finding], rules: Sequence[Rule], said: Verdict
) -> Iterator[tuple[str, list[str]]]:
    """What was clean, what could not be judged, what was looked at, what it cost, what went wrong with us."""
    found = {f.rule for f in findings}
    quiet = [rule for rule in rules if rule.name not in found]
    blind = {rule.name: [str(s) for s in rule.needs if s not in run] for rule in quiet}
    clean = [rule.name for rule in quiet if not blind[rule.name]]
    if clean and said.kind != "too-little-seen":
        yield "clean", [", ".join(clean)]
    lacking = [f"{name} (no {', '.join(signals)})" for name, signals in blind.items() if signals]
    if lacking and run.series:
        yield "not judged", ["; ".join(lacking)]
    given_up, log = run.facts.get("given_up", []), run.facts.get("curves")
    apart = [unwatched.took(log), *log["notes"]] if log else []
    phrases = [phrase for phrase in said.looked_at if phrase not in (*given_up, *apart)]
    if apart:
        yield "columns", [f"{apart[0]}."]
    yield "looked at", ["; ".join(p for p in phrases if not p.startswith("no "))]
    missing = [p.removeprefix("no ") for p in phrases if p.startswith("no ")]
    if missing and run.series:
        yield "not seen", ["; ".join(missing)]
    if given_up:
        yield "given up", given_up
    if apart[1:]:
        yield "notes", apart[1:]
    cost = _cost(run)
    if cost:
        yield "cost", [cost]
    failures = run.facts.get("own_failures", [])
    if failures:
        worded = [f"{f.get('where', 'somewhere')}: {f.get('error', 'unknown')}" for f in failures]
        yield "our fault", [*worded, "Your script was not touched by it. Please report it."]


def _cost(run: Run) -> str:
    """What watching took of the run; empty where it was not measured."""
    known = run.facts.get("overhead", {})
    cost = {key: float(value) for key, value in known.items() if isinstance(value, int | float)}
    bits = [
        f"{100 * cost['share']:.2g} % of the run:" if "share" in cost else "",
        f"{number(cost['own_s'])} s" if "own_s" in cost else "",
        f"of {number(cost['run_s'])} s" if "own_s" in cost and "run_s" in cost else "",
        f"(budget {100 * cost['budget']:.2g} %)," if "budget" in cost else "",
        f"and {number(cost['startup_s'])} s to start" if "startup_s" in cost else "",
    ]
    return " ".join(bit for bit in bits if bit).rstrip(":,")


def _commands(
    run: Run, findings: Sequence[Finding], rules: dict[str, Rule], said: Verdict, folder: Path | None
) -> Iterator[tuple[str, str]]:
    """What to type next, and what for."""
    script, argv = run.facts.get("script"), run.facts.get("argv", [])
    again = shlex.join([near(script), *argv]) if script else ""
    worst = next((rules[f.rule] for f in findings if f.rule in rules), None)
    if worst:
        yield f"trainwright explain {worst.name}", "why it hurts, what to do, when it is wrong"
    if script and said.kind == "findings":
        yield f"trainwright check {again}", "after the fix: the first steps again"
    elif script and run.facts.get("stopped_by") == "check":
        yield f"trainwright run {again}", "the whole training, watched"
    if folder and worst and worst.limits:
        name, (default, _) = next(iter(worst.limits.items()))
        judged = f"{shlex.quote(near(str(folder)))} --set {worst.name}.{name}={default:g}"
        yield f"trainwright diagnose {judged}", "the same run with other limits"


def _next(console: Console, commands: Iterable[tuple[str, str]]) -> None:
    for i, (command, purpose) in enumerate(commands):
        if i == 0:
            console.print("\nNext:")
        console.print(Text(f"  {purpose}:", "dim"), soft_wrap=True)
        console.print(Text(f"    {_printable(command)}", "bold"), soft_wrap=True)  # whole, to be copied


def _prose(words: str, style: str = "") -> Text:
    """Words of ours or of the user's code as they stand: no markup, nothing that steers a terminal."""
    prose = Text(_printable(words), style)
    prose.highlight_regex(r"`[^`]+`", "cyan")
    return prose


def _printable(words: str) -> str:
    """Without what would move the cursor or change a colour, or could not be written as UTF-8 at all."""
    return words.translate(dict.fromkeys(UNPRINTABLE, "?")).encode("utf-8", "replace").decode("utf-8")
