"""How often each rule is right: alarms on healthy trainings, and faults found in sick ones.

    python bench/false_alarms.py                   # every script, one seed: some ten minutes on two cores
    python bench/false_alarms.py --fast            # a fifth of them; writes no results
    python bench/false_alarms.py --split tuning    # what thresholds may be set by

Each script is watched in a process of its own, as `python -m trainwright run SCRIPT`. Records are kept in
runs/bench and used again until the script, or the code that observes, changes; judging is always done afresh.
So an interrupted run goes on where it stopped, and a changed rule is measured in seconds.

A finding of HARM or FATAL is an alarm; a HINT is none. On a healthy script any alarm is a false one. On a sick
one the rule that its manifest names must raise it (or hint, if it never does more); others that are true of it,
too, are in `also`.
The exit status is 1 if a healthy script raised an alarm, or missed the score that it must reach.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

from trainwright import rules
from trainwright.core import Severity
from trainwright.observe.store import UnreadableRun, load
from trainwright.stats import wilson

HERE = Path(__file__).parent
ROOT = HERE.parent
KEPT = ROOT / "runs" / "bench"
RESULTS = HERE / "results" / "false_alarms.json"
RATES = ROOT / "src" / "trainwright" / "rules" / "rates.json"
SCORE = re.compile(r"score=(\S+) needs=(\S+)\s*$")
LIMIT_S = 600  # a script takes 3 to 8 s on a free core


class Fault(TypedDict):
    """What a sick script's line in the manifest says."""

    split: str
    rule: str
    also: list[str]


@dataclass(frozen=True)
class Script:
    """One training of the bench."""

    path: Path
    held_out: bool
    rule: str | None = None  # None = healthy
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{'sick' if self.rule else 'healthy'}/{self.path.stem}"


HINTS = {rule.name for rule in rules.ALL if rule.severity is Severity.HINT}


@dataclass(frozen=True)
class Outcome:
    """What watching one script gave."""

    script: str
    seed: int
    held_out: bool
    rule: str | None
    also: tuple[str, ...]
    status: int
    score: str
    needs: str
    steps: int
    findings: tuple[tuple[str, str, str], ...]  # (severity, rule, message), worst first
    problem: str = ""  # why there is no verdict

    @property
    def alarms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(rule for severity, rule, _ in self.findings if severity != "hint"))

    @property
    def hints(self) -> tuple[str, ...]:
        found = (rule for severity, rule, _ in self.findings if severity == "hint")
        return tuple(rule for rule in dict.fromkeys(found) if rule not in self.alarms)

    @property
    def named(self) -> bool:
        """Whether the fault's rule spoke up: raised an alarm, or gave a hint if it never does more."""
        return self.rule in self.alarms or (self.rule in HINTS and self.rule in self.hints)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="every fifth script; writes no results")
    parser.add_argument("--split", choices=("tuning", "held-out", "all"), default="all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=2, help="scripts at a time")
    parser.add_argument("--list", action="store_true", help="print the findings' messages, too")
    parser.add_argument("names", nargs="*", help="scripts without folder and .py; none = all")
    asked = parser.parse_args()

    scripts = [s for s in suite() if asked.split in ("all", "held-out" if s.held_out else "tuning")]
    if asked.names:
        scripts = [s for s in scripts if s.path.stem in asked.names]
    if asked.fast:
        scripts = scripts[::5]
    if not scripts:
        parser.error(f"no script is called {' or '.join(asked.names)}")
    outcomes = watch_all([(s, seed) for seed in asked.seeds for s in scripts], asked.jobs)
    print(table(outcomes, asked.list))
    print(summary(outcomes))
    if not (asked.fast or asked.names) and asked.split == "all":
        write(outcomes)
    healthy = [o for o in outcomes if not o.rule]
    return int(any(o.alarms or o.status or o.problem for o in healthy))


def suite() -> list[Script]:
    """All scripts as the manifests name them; a script that none names is an error."""
    healthy: dict[str, list[str]] = json.loads((HERE / "healthy" / "manifest.json").read_text())
    sick: dict[str, Fault] = json.loads((HERE / "sick" / "manifest.json").read_text())
    scripts = [
        Script(place("healthy", name, split), split == "held-out")
        for split, names in healthy.items()
        for name in names
    ]
    scripts += [
        Script(place("sick", name, f["split"]), f["split"] == "held-out", f["rule"], tuple(f["also"]))
        for name, f in sick.items()
    ]
    named = {s.path for s in scripts}
    found = {p for kind in ("healthy", "sick") for p in (HERE / kind).rglob("*.py")}
    if named != found:
        odd = sorted(str(p.relative_to(HERE)) for p in named ^ found)
        raise SystemExit(f"Manifest and folder disagree about {', '.join(odd)}.")
    known = {rule.name for rule in rules.ALL}
    if unknown := {name for s in scripts for name in (s.rule, *s.also) if name} - known:
        raise SystemExit(f"bench/sick/manifest.json names rules that do not exist: {', '.join(unknown)}.")
    return sorted(scripts, key=lambda s: s.name)


def place(kind: str, name: str, split: str) -> Path:
    return HERE / kind / ("held_out" if split == "held-out" else "") / f"{name}.py"


def watch_all(jobs: Sequence[tuple[Script, int]], at_a_time: int) -> list[Outcome]:
    observer = digest(p for part in ("core.py", "signals", "observe") for p in sources(part))
    done = 0

    def one(job: tuple[Script, int]) -> Outcome:
        nonlocal done
        started = time.monotonic()
        outcome = judge(*job, record(*job, observer))
        done += 1
        said = outcome.problem or ", ".join(outcome.alarms) or "-"
        took = time.monotonic() - started
        print(f"{done:3d}/{len(jobs)} {outcome.script} ({took:.0f} s): {said}", file=sys.stderr, flush=True)
        return outcome

    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(one, jobs))


def sources(part: str) -> list[Path]:
    path = ROOT / "src" / "trainwright" / part
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def digest(paths: Iterable[Path]) -> str:
    return hashlib.sha256(b"".join(p.read_bytes() for p in paths)).hexdigest()[:12]


def record(script: Script, seed: int, observer: str) -> Path:
    """The folder with the record of this script, made now unless there is one of the same code."""
    folder = KEPT / f"{script.name.replace('/', '-')}-{seed}"
    key = f"{observer}-{digest([script.path])}"
    ended = folder / "ended.json"
    if ended.exists():
        known = json.loads(ended.read_text())
        if known["key"] == key and SCORE.search(known["last"]):
            return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [
        sys.executable,
        "-m",
        "trainwright",
        "run",
        "--format",
        "json",
        "--folder",
        str(folder / "run"),
    ]
    command += ["--output", str(folder / "findings.json"), str(script.path), "--seed", str(seed)]
    one_core = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=one_core, timeout=LIMIT_S, cwd=folder
        )
        status, out, err = done.returncode, done.stdout, done.stderr
    except subprocess.TimeoutExpired:
        status, out, err = 124, "", f"took longer than {LIMIT_S} s"
    (folder / "stderr.txt").write_text(err)
    ended.write_text(json.dumps({"key": key, "status": status, "last": out.rstrip().rpartition("\n")[2]}))
    return folder


def judge(script: Script, seed: int, folder: Path) -> Outcome:
    """Ask the rules of today about a record."""
    ended = json.loads((folder / "ended.json").read_text())
    match = SCORE.search(ended["last"])
    findings: tuple[tuple[str, str, str], ...] = ()
    steps, problem = 0, "" if match else f"no score: see {folder / 'stderr.txt'}"
    try:
        run = load(folder / "run")
        found = rules.diagnose(run)
        findings = tuple(((f.severity or Severity.HARM).name.lower(), f.rule, f.message) for f in found)
        steps = run.steps
    except UnreadableRun as error:
        problem = problem or str(error)
    return Outcome(
        script.name,
        seed,
        script.held_out,
        script.rule,
        script.also,
        ended["status"],
        match[1] if match else "?",
        match[2] if match else "?",
        steps,
        findings,
        problem,
    )


def table(outcomes: Sequence[Outcome], messages: bool) -> str:
    """One line a script, healthy ones first."""
    lines = [f"{'script':38s} {'split':8s} {'score':>10s} {'needs':>6s}  alarms (hints)"]
    for o in outcomes:
        marked = [f"[{a}]" if a == o.rule else a if a in o.also or not o.rule else f"{a}?" for a in o.alarms]
        said = o.problem or " ".join(marked) or ("MISSED" if o.rule and not o.named else "-")
        if o.rule and not o.named and o.alarms:
            said += f" MISSED {o.rule}"
        if o.hints:
            said += f" ({' '.join(o.hints)})"
        split = "held-out" if o.held_out else "tuning"
        wrong = "" if bool(o.status) == bool(o.rule) else " !"
        lines.append(f"{o.script:38s} {split:8s} {o.score:>10s} {o.needs:>6s}{wrong:2s}{said}")
        if messages:
            lines += [f"      {severity} {rule}: {message}" for severity, rule, message in o.findings]
    lines.append(
        "[rule] the fault itself, rule? not among what is true of the script, ! score not as it should be"
    )
    return "\n".join(lines)


def summary(outcomes: Sequence[Outcome]) -> str:
    lines = []
    for split, chosen in splits(outcomes).items():
        healthy, sick = [o for o in chosen if not o.rule], [o for o in chosen if o.rule]
        parts = [
            share("healthy runs with an alarm", healthy, lambda o: bool(o.alarms)),
            share("with a hint", healthy, lambda o: bool(o.hints)),
            share("sick runs with an alarm", sick, lambda o: bool(o.alarms)),
            share("with the right rule", sick, lambda o: o.named),
            share("among the first two", sick, lambda o: o.named and o.rule not in o.alarms[2:]),
            share("with an alarm that is not true", sick, lambda o: bool({*o.alarms} - {o.rule, *o.also})),
        ]
        lines += [f"{split}: " + "; ".join(part for part in parts if part)]
    return "\n".join(lines)


def splits(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    parts = {"overall": list(outcomes)}
    parts["tuning"] = [o for o in outcomes if not o.held_out]
    parts["held-out"] = [o for o in outcomes if o.held_out]
    return {name: part for name, part in parts.items() if part}


def share(what: str, of: Sequence[Outcome], when: Callable[[Outcome], bool]) -> str:
    if not of:
        return ""
    count = sum(map(when, of))
    low, high = wilson(count, len(of))
    return f"{what} {count}/{len(of)} ({100 * low:.0f} to {100 * high:.0f} %)"


def write(outcomes: Sequence[Outcome]) -> None:
    """The results, and the counts that each rule's page shows."""
    by_split = {split: rates(part) for split, part in splits(outcomes).items()}
    results = {
        "title": "Alarms on healthy and on sick trainings",
        "command": "make bench",
        "seeds": sorted({o.seed for o in outcomes}),
        "summary": summary(outcomes).splitlines(),
        "rates": by_split,
        "runs": [asdict(o) | {"alarms": o.alarms, "hints": o.hints} for o in outcomes],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    published = {
        rule: counts | {"held_out": by_split.get("held-out", {}).get(rule), "command": "make bench"}
        for rule, counts in by_split["overall"].items()
    }
    RATES.write_text(json.dumps(published, indent=1) + "\n")
    print(f"wrote {RESULTS.relative_to(ROOT)} and {RATES.relative_to(ROOT)}", file=sys.stderr)


def rates(outcomes: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """By rule: runs that have its fault and those on which it fired, healthy runs and its alarms on them."""
    healthy = [o for o in outcomes if not o.rule]
    sick = Counter(o.rule for o in outcomes if o.rule)
    hits = Counter(o.rule for o in outcomes if o.named)
    false = Counter(rule for o in healthy for rule in o.alarms)
    return {
        rule.name: {
            "sick": sick[rule.name],
            "hits": hits[rule.name],
            "healthy": len(healthy),
            "false_alarms": false[rule.name],
        }
        for rule in rules.ALL
    }


if __name__ == "__main__":
    sys.exit(main())
