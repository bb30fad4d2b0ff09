"""The report as one HTML file: needs no network, no script and no colour to be read."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from string import Template

from ..core import Finding, Rule, Run, Severity, Where
from ..rules import ALL
from ..rules.unwatched import unit
from ..rules.verdict import Verdict, verdict
from .data import near
from .figures import curves, depths
from .markup import Markup, apart, folded, join, markdown, sentence, table, tag
from .ran import facts, seen, spent

NEAR = 4
"""Lines of source shown on either side of the one that is marked."""
PLACES = 6
"""Most places listed for one finding."""


def html(run: Run, findings: Sequence[Finding], rules: Sequence[Rule] = ALL) -> str:
    """The report on a run: the verdict, the findings in the order given, curves, layers, and what was not seen.

    Args:
        findings: worst first, as `rules.diagnose` returns them.
        rules: those that were applied: their pages are folded under the findings, and the others are listed
            as clean.
    """
    said = verdict(run, findings)
    by_name = {rule.name: rule for rule in rules}
    script = run.facts.get("script") or (
        run.facts["curves"]["file"] if "curves" in run.facts else "a training"
    )
    sections = {
        "findings": ("Findings", _findings(run, findings, by_name)),
        "curves": ("Curves", curves(run, findings)),
        "depth": ("Signal through depth", depths(run, findings)),
        "seen": ("What was looked at", seen(run, findings, rules, said)),
        "cost": ("What watching cost", spent(run)),
        "facts": ("The run", facts(run)),
    }
    body = join(
        tag("section", tag("h2", title, id=f"{key}-title"), content, id=key, aria_labelledby=f"{key}-title")
        for key, (title, content) in sections.items()
    )
    style, code = _asset("template.css"), _asset("template.js")
    return Template(_asset("template.html")).substitute(
        title=tag("title", f"{_tally(findings)} · {script} · trainwright"),
        policy=f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(code)}",
        style=style,
        head=_head(run, findings, said),
        contents=tag(
            "ul", *(tag("li", tag("a", title, href=f"#{key}")) for key, (title, _) in sections.items())
        ),
        body=body,
        script=code,
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _digest(content: str) -> str:
    """What the page's own policy lets through: this text and nothing that crept in by a name or a message."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _tally(findings: Sequence[Finding]) -> str:
    if not findings:
        return "no findings"
    return f"{len(findings)} finding{'s' if len(findings) > 1 else ''}"


def _head(run: Run, findings: Sequence[Finding], said: Verdict) -> Markup:
    """The verdict, the worst finding, and what the run was, in three lines."""
    about = run.facts
    bits = [
        tag("code", about["script"]) if about.get("script") else None,
        tag("code", about["curves"]["file"]) if "curves" in about else None,
        f"{run.steps:,} {unit(run)}s",
        f"{about['epochs']} epochs" if about.get("epochs") else None,
        about.get("device"),
        about["started"].replace("T", " ")[:16] + " UTC" if about.get("started") else None,
        f"exit status {about['exit_status']}" if about.get("exit_status") else None,
    ]
    worst = findings[0] if findings and said.kind == "findings" else None
    if worst:
        lead = tag(
            "p",
            "Worst: ",
            sentence(worst.message),
            ". ",
            tag("a", "See why", href="#finding-1"),
            class_="lead",
        )
    else:
        lead = None
    return join(
        [
            tag("p", *(tag("span", bit) for bit in bits if bit), class_="about"),
            tag("h1", sentence(said.sentence), class_=f"verdict {said.kind}"),
            lead,
        ]
    )


def _findings(run: Run, findings: Sequence[Finding], rules: dict[str, Rule]) -> Markup:
    if not findings:
        return tag("p", "None. What was looked at is listed below.", class_="quiet")
    return join(_finding(i, f, run, rules.get(f.rule)) for i, f in enumerate(findings, 1))


def _finding(i: int, finding: Finding, run: Run, rule: Rule | None) -> Markup:
    severity = (finding.severity or Severity.HARM).name.lower()
    first, last = finding.steps
    when = f"step {first:,}" if first == last else f"steps {first:,}–{last:,}"
    top = tag(
        "header",
        tag("span", str(i), class_="badge", aria_label=f"Finding {i}"),
        tag("span", severity, class_="severity"),
        tag("code", finding.rule, class_="rule"),
        tag("a", when, href="#curves", class_="when"),
    )
    evidence = [(sentence(e.what), *apart(e.measured, e.limit), e.unit or "–") for e in finding.evidence]
    parts = [
        top,
        tag("h3", sentence(finding.message), id=f"finding-{i}-title"),
        _places(finding.where),
        table(["Evidence", "Measured", "Limit", "Unit"], evidence, caption="The numbers that say so",
        numeric=1) if evidence else None,
        tag("div", tag("h4", "What to do"), tag("p", sentence(finding.fix)), class_="fix") if finding.fix else None,
        *_sources(finding.where, run),
    ]  # fmt: skip
    if rule:
        page = tag("div", tag("p", rule.summary), markdown(rule.page, top=4), class_="page")
        parts.append(
            folded(
                join(["More about ", tag("code", rule.name), ": why it hurts, what to do, when it is wrong"]),
                page,
            )
        )
    return tag(
        "article",
        *parts,
        id=f"finding-{i}",
        class_=f"finding {severity}",
        aria_labelledby=f"finding-{i}-title",
    )


def _places(where: Sequence[Where]) -> Markup | None:
    """Where it is: `file:line` and the name of the module or parameter."""
    items = []
    for place in dict.fromkeys(where):
        name = place.parameter or place.module
        file = near(place.file) if place.file else None
        line = f"{file}:{place.line}" if file and place.line else file
        bits = [tag("code", line, class_="line") if line else None, " " if line and name else None]
        if line or name:  # of curves alone, no place is known
            items.append(tag("li", *bits, tag("code", name) if name else None))
    if len(items) > PLACES:
        items[PLACES:] = [tag("li", f"and {len(items) - PLACES} more places", class_="quiet")]
    return tag("ul", *items, class_="places") if items else None


def _sources(where: Sequence[Where], run: Run) -> list[Markup]:
    """The source around each line that is named, nearby lines in one block."""
    known = run.facts.get("sources", {})
    marked: dict[str, set[int]] = {}
    for place in where[:PLACES]:
        if place.file in known and place.file and place.line:
            marked.setdefault(place.file, set()).add(place.line)
    blocks = []
    for file, lines in marked.items():
        texts = {int(n): line for n, line in known[file].items()}
        shown = sorted(n for n in texts if any(abs(n - m) <= NEAR for m in lines))
        rows = []
        for n, before in zip(shown, [None, *shown[:-1]], strict=True):
            if before is not None and n > before + 1:
                rows.append(tag("span", tag("span", "⋯", class_="n"), tag("span", ""), class_="row gap"))
            line = tag("code", texts[n] or " ")
            number_ = tag("span", str(n), class_="n")
            if n in lines:
                rows.append(tag("mark", number_, line, class_="row", aria_label=f"line {n}, marked"))
            else:
                rows.append(tag("span", number_, line, class_="row"))
        if rows:
            title = tag("figcaption", tag("code", near(file)))
            blocks.append(tag("figure", title, tag("div", *rows, class_="code"), class_="source"))
    return blocks
