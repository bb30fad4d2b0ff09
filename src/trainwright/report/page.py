"""A rule's page: the one text that `explain` prints, the documentation embeds and the reports quote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from textwrap import dedent
from typing import NamedTuple, TypedDict

from ..core import Rule
from ..stats import wilson

BULLET = re.compile(r"^[-*] \*\*(?P<name>[a-z0-9-]+)\*\*: *(?P<said>.*)$")


class Advice(NamedTuple):
    """One thing to do, from the bullets `- **name**: sentence.` of a rule's section "What to do"."""

    name: str
    summary: str
    code: str
    """To paste; empty where the page shows none."""


class Rate(TypedDict):
    """How often a rule was right, counted by `make bench` over runs with the fault and over healthy ones."""

    sick: int  # runs that have the fault
    hits: int  # of these, runs on which the rule fired
    healthy: int  # runs that have no fault
    false_alarms: int  # of these, runs on which the rule gave HARM or FATAL


def page(rule: Rule, rates: Mapping[str, Rate] | None = None) -> str:
    """The Markdown page of a rule, from nothing but its declaration and what was measured of it.

    Args:
        rates: by rule; `None` = those that came with this version (`rules/rates.json`).
    """
    reads = ", ".join(f"`{signal}`" for signal in rule.needs) or "only what is known of the script, no signal"
    parts = [
        f"# {rule.name}",
        rule.summary,
        f"At worst **{rule.severity.name.lower()}** · reads {reads}",
        rule.page,
        f"## Thresholds\n\n{_thresholds(rule)}",
        f"## Measured\n\n{_measured((_published() if rates is None else rates).get(rule.name))}",
    ]
    return "\n\n".join(parts) + "\n"


def remedies(rule: Rule) -> tuple[Advice, ...]:
    """What a rule's page says to do, in its order; empty where the page says why there is nothing."""
    section = re.search(r"^## What to do\n(.*?)(?=^## |\Z)", rule.page, re.MULTILINE | re.DOTALL)
    found: list[Advice] = []
    bullet: list[str] = []
    for line in [*(section[1].splitlines() if section else ()), "- **end**: "]:
        if BULLET.match(line):
            found += _advice(bullet)
            bullet = [line]
        elif not line or line.startswith(" "):
            bullet.append(line)
        else:  # a paragraph of its own ends the bullet
            found += _advice(bullet)
            bullet = []
    return tuple(found)


def _advice(bullet: list[str]) -> list[Advice]:
    head = BULLET.match(bullet[0]) if bullet else None
    if head is None:
        return []
    end = next(
        (i for i, line in enumerate(bullet) if not line or line.lstrip().startswith("```")), len(bullet)
    )
    said = " ".join([head["said"], *(line.strip() for line in bullet[1:end])])
    code = [line for line in bullet[end:] if not line.lstrip().startswith("```")]
    return [Advice(head["name"], said.strip(), dedent("\n".join(code)).strip("\n"))]


def _thresholds(rule: Rule) -> str:
    if not rule.limits:
        return "None: the rule is certain of what it reports, or silent."
    rows = [
        f"| `{name}` | {default:g} | {_cell(limit.unit)} | {_cell(limit.source)} |"
        for name, (default, limit) in rule.limits.items()
    ]
    name, (default, _) = next(iter(rule.limits.items()))
    change = f"Change one: `--set {rule.name}.{name}={default:g}`, or `[tool.trainwright]` in pyproject.toml."
    return "\n".join(["| name | default | unit | source |", "| --- | --- | --- | --- |", *rows, "", change])


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _measured(rate: Rate | None) -> str:
    if rate is None:
        return "Hit and false-alarm rate: not yet measured."
    return (
        f"- **Hits**: {_share(rate['hits'], rate['sick'])} runs that have the fault.\n"
        f"- **False alarms**: {_share(rate['false_alarms'], rate['healthy'])} healthy runs."
    )


def _share(count: int, of: int) -> str:
    """`0 of 25 (95 % interval 0 % to 13 %)`; without an interval where there was nothing to count."""
    if not of:
        return "none of 0"
    low, high = (f"{100 * end:.0f} %" for end in wilson(count, of))
    return f"{count} of {of} (95 % interval {low} to {high})"


@cache
def _published() -> dict[str, Rate]:
    path = files("trainwright.rules").joinpath("rates.json")
    try:
        known: dict[str, Rate] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:  # the bench has not been run in this checkout
        return {}
    return known
