"""What is found in the recordings, and how that differs from what is expected. Needs no torch.

Run by itself it prints all that is found as JSON, with the seconds that each recording took.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

from trainwright import rules
from trainwright.core import Finding, Severity, Where
from trainwright.observe.store import load
from trainwright.rules.verdict import verdict

HERE = Path(__file__).resolve().parent
EXPECTED = "expected.json"


class Place(TypedDict):
    """Where a finding is: in the network, and in the recording's `train.py`."""

    module: str | None
    line: int | None


class Found(TypedDict):
    """One finding, as far as it may only change on purpose."""

    rule: str
    severity: str
    where: Place


class Judgement(TypedDict):
    """What is kept of the judgement on one recording."""

    verdict: str
    findings: list[Found]  # worst first


def names(root: Path = HERE) -> list[str]:
    """All recordings of a folder."""
    return sorted(script.parent.name for script in root.glob("*/train.py"))


def judged(recording: Path, thresholds: Mapping[str, Mapping[str, float]] | None = None) -> Judgement:
    """What the rules of today find."""
    run = load(recording)
    findings = rules.diagnose(run, thresholds=thresholds)
    return {"verdict": verdict(run, findings).kind, "findings": [_found(f) for f in findings]}


def expected(root: Path = HERE) -> dict[str, Judgement]:
    """What was accepted, by recording; nothing for one that is new."""
    files = {name: root / name / EXPECTED for name in names(root)}
    return {name: json.loads(file.read_text("utf-8")) for name, file in files.items() if file.exists()}


def table(before: Mapping[str, Judgement], now: Mapping[str, Judgement]) -> str:
    """A line for each finding that appeared (+) or disappeared (-), and each verdict that changed.

    Empty if the two are equal.
    """
    recordings = sorted({*before, *now})
    rows = [(mark, name, what) for name in recordings for mark, what in _changes(before, now, name)]
    width = max((len(name) for _, name, _ in rows), default=0)
    return "\n".join(f"{mark} {name:{width}}  {what}" for mark, name, what in rows)


def _changes(
    before: Mapping[str, Judgement], now: Mapping[str, Judgement], name: str
) -> Iterator[tuple[str, str]]:
    old, new = before.get(name), now.get(name)
    was, has = ([_row(f) for f in judgement["findings"]] if judgement else [] for judgement in (old, new))
    gone, come = Counter(was) - Counter(has), Counter(has) - Counter(was)
    yield from (("-", row) for row in gone.elements())
    yield from (("+", row) for row in come.elements())
    if was != has and not gone and not come:
        yield "~", f"order: {'; '.join(has)}"
    verdicts = [judgement["verdict"] if judgement else "none" for judgement in (old, new)]
    if verdicts[0] != verdicts[1]:
        yield "~", f"verdict: {verdicts[0]} -> {verdicts[1]}"


def _row(found: Found) -> str:
    module, line = found["where"]["module"], found["where"]["line"]
    place = ", ".join([f"`{module}`"] * (module is not None) + [f"train.py:{line}"] * (line is not None))
    return f"{found['severity']}[{found['rule']}]: {place or 'nowhere'}"


def _found(finding: Finding) -> Found:
    where = finding.where[0] if finding.where else Where()
    severity = (finding.severity or Severity.HARM).name.lower()
    return {
        "rule": finding.rule,
        "severity": severity,
        "where": {"module": where.module, "line": where.line},
    }


def main() -> None:
    judgements, seconds = {}, {}
    for name in names():
        started = time.process_time()
        judgements[name] = judged(HERE / name)
        seconds[name] = time.process_time() - started
    print(json.dumps({"torch": "torch" in sys.modules, "seconds": seconds, "judgements": judgements}))


if __name__ == "__main__":
    main()
