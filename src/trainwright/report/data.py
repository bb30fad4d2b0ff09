"""Findings as data: JSON (ours, schema version 1), SARIF 2.1.0 and GitHub annotations.

`docs/json-schema.md` explains the JSON to users, `schema-1.json` beside this file is its schema.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from .. import __version__
from ..core import Evidence, Finding, Rule, Run, Severity, Where
from ..rules import ALL
from ..rules.verdict import verdict
from .page import page, remedies

SCHEMA_VERSION = 1

Json = dict[str, object]

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
SARIF_LEVEL = {Severity.HINT: "note", Severity.HARM: "warning", Severity.FATAL: "error"}
GITHUB_LEVEL = {Severity.HINT: "notice", Severity.HARM: "warning", Severity.FATAL: "error"}


def as_json(run: Run, findings: Sequence[Finding], rules: Sequence[Rule] = ALL) -> Json:
    """Everything a program wants to know, as what `json.dumps(..., allow_nan=False)` takes.

    JSON has no infinity: one becomes the string `"Infinity"` or `"-Infinity"`, which `Number` of
    JavaScript and `float` of Python read back, and what is not a number becomes null.

    Args:
        rules: those that were applied; the remedies are read off their pages.
    """
    facts = run.facts
    said = verdict(run, findings)
    by_name = {rule.name: rule for rule in rules}
    return {
        "schema_version": SCHEMA_VERSION,
        "script": facts.get("script"),
        "exit_status": facts.get("exit_status"),
        "log": _log(run),
        "steps": run.steps,
        "overhead": _numbers(facts["overhead"]) if facts.get("overhead") else None,
        "verdict": {"kind": said.kind, "sentence": said.sentence, "looked_at": list(said.looked_at)},
        "findings": [_finding(f, by_name.get(f.rule)) for f in findings],
    }


def sarif(run: Run, findings: Sequence[Finding], rules: Sequence[Rule] = ALL) -> Json:
    """A SARIF 2.1.0 log, for editors and code scanning: one result a finding."""
    named = {f.rule for f in findings}
    by_name = {rule.name: rule for rule in rules if rule.name in named}
    index = {name: i for i, name in enumerate(by_name)}
    failures = [
        {"level": "warning", "message": {"text": f"{f.get('where', '')}: {f.get('error', '')}"}}
        for f in run.facts.get("own_failures", [])
    ]
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "trainwright",
                        "semanticVersion": __version__,
                        "rules": [_sarif_rule(rule) for rule in by_name.values()],
                    }
                },
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": failures}],
                "originalUriBaseIds": {"ROOT": {"uri": Path.cwd().as_uri() + "/"}},
                "results": [_sarif_result(f, index) for f in findings],
            }
        ],
    }


def github(run: Run, findings: Sequence[Finding]) -> str:
    """Workflow commands that put each finding on its line of a pull request; a hint is a notice."""
    return "".join(_annotation(f, run.facts.get("script")) + "\n" for f in findings)


def near(file: str) -> str:
    """A path as one would type it here: relative where the file lies below the working directory."""
    path = os.path.abspath(file)
    here = os.path.join(os.getcwd(), "")
    return path[len(here) :] if path.startswith(here) else file


def _finding(finding: Finding, rule: Rule | None) -> Json:
    where = finding.where[0] if finding.where else Where()
    found: Json = {
        "rule": finding.rule,
        "severity": _severity(finding).name.lower(),
        "message": finding.message,
        "where": where._asdict(),
        "steps": [int(step) for step in finding.steps],
        "evidence": [_numbers(e._asdict()) for e in finding.evidence],
    }
    if finding.fix:
        found["fix"] = finding.fix
    found["remedies"] = [{"name": a.name, "summary": a.summary} for a in (remedies(rule) if rule else ())]
    return found


def _log(run: Run) -> Json | None:
    """Where curves come from that were not watched."""
    log = run.facts.get("curves")
    return {key: value for key, value in log.items() if key != "notes"} if log else None


def _severity(finding: Finding) -> Severity:
    """An unsigned finding (no rule has said how bad it is) counts as harm."""
    return Severity.HARM if finding.severity is None else finding.severity


def _numbers(values: Mapping[str, object]) -> Json:
    return {key: _number(value) for key, value in values.items()}


def _number(value: object) -> object:
    """What JSON can hold; numpy's numbers become Python's."""
    if value is None or isinstance(value, str | bool | int):
        return value
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)
    if math.isnan(number):
        return None
    return number if math.isfinite(number) else f"{'-' * (number < 0)}Infinity"


def _sarif_rule(rule: Rule) -> Json:
    return {
        "id": rule.name,
        "shortDescription": {"text": rule.summary},
        "help": {"text": rule.page, "markdown": page(rule)},
        "defaultConfiguration": {"level": SARIF_LEVEL[rule.severity]},
    }


def _sarif_result(finding: Finding, index: Mapping[str, int]) -> Json:
    result: Json = {
        "ruleId": finding.rule,
        "level": SARIF_LEVEL[_severity(finding)],
        "message": {"text": _worded(finding)},
        "locations": [_location(where) for where in finding.where[:1]],
        "relatedLocations": [{"id": i, **_location(where)} for i, where in enumerate(finding.where[1:])],
        "properties": {
            "steps": [int(step) for step in finding.steps],
            "evidence": [_numbers(e._asdict()) for e in finding.evidence],
        },
    }
    return {**result, "ruleIndex": index[finding.rule]} if finding.rule in index else result


def _location(where: Where) -> Json:
    found: Json = {}
    if where.file:
        physical: Json = {"artifactLocation": _artifact(where.file)}
        if where.line:
            physical["region"] = {"startLine": where.line}
        found["physicalLocation"] = physical
    name = where.parameter or where.module
    if name:
        found["logicalLocations"] = [
            {"fullyQualifiedName": name, "kind": "member" if where.parameter else "object"}
        ]
    return found


def _artifact(file: str) -> Json:
    path = Path(near(file))
    if path.is_absolute():
        return {"uri": path.as_uri()}
    return {"uri": quote(path.as_posix()), "uriBaseId": "ROOT"}


def _annotation(finding: Finding, script: str | None) -> str:
    where = next((w for w in finding.where if w.file), Where(file=script))
    severity = _severity(finding)
    properties = {
        "file": near(where.file) if where.file else None,
        "line": where.line,
        "title": f"{severity.name.lower()}[{finding.rule}]",
    }
    told = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in properties.items() if value)
    return f"::{GITHUB_LEVEL[severity]} {told}::{_escaped(_worded(finding))}"


def _escaped(text: str, also: str = "") -> str:
    """Percent-encode what would end a workflow command, or a property of one; `%` first, or it is doubled."""
    for character in f"%\r\n{also}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _worded(finding: Finding) -> str:
    """The finding in full sentences, for those who see nothing else of it."""
    proof = "; ".join(_compared(e) for e in finding.evidence)
    lines = [f"{finding.message}.", f"{proof}." if proof else "", finding.fix, _explain(finding)]
    return "\n".join(line for line in lines if line)


def _compared(e: Evidence) -> str:
    return f"{e.what}: {e.measured:.3g}, limit {e.limit:g}{f' ({e.unit})' if e.unit else ''}"


def _explain(finding: Finding) -> str:
    return f"More: trainwright explain {finding.rule}" if finding.rule else ""
