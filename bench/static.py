"""What can be seen in source alone: faults found in sick scripts, findings on healthy ones, and how long it takes.

    python bench/static.py                  # the bench's scripts and what is installed beside this interpreter
    python bench/static.py --fast           # the bench's scripts; writes no results
    python bench/static.py --also FOLDER    # another corpus; its findings are listed and not written down

Nothing is run, and torch is not imported. Corpora are code that others wrote and use, so a finding there is either
a false one or a fault that nobody has seen: each is listed, to be looked at. The exit status is 1 if a healthy
script has a finding.
"""

from __future__ import annotations

import argparse
import json
import sys
import sysconfig
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from trainwright.source import NAMES, Seen, Unreadable, find, judge, read
from trainwright.stats import wilson

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results" / "static.json"
PACKAGES = (
    "torch torchvision sklearn skorch lightning accelerate transformers torchmetrics jax optax scipy joblib networkx"
).split()
"""Installed packages that are read, where they are there: training code, and numerical code that is none."""


@dataclass(frozen=True)
class Corpus:
    """What came of one folder of code that is taken for healthy."""

    name: str
    files: int
    torch: int
    unread: int
    findings: tuple[str, ...]
    seconds: float
    """Of one core, whatever else the machine does."""

    @property
    def per_1000(self) -> float:
        return 1000 * len(self.findings) / max(self.files, 1)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="the bench's scripts only; writes no results")
    parser.add_argument("--also", type=Path, nargs="+", default=[], help="further folders, listed only")
    asked = parser.parse_args()

    sick = sick_scripts()
    print(table(sick))
    healthy = corpus("healthy scripts", healthy_scripts())
    print(described(healthy))
    packages = Path(sysconfig.get_paths()["purelib"])
    installed = [] if asked.fast else [packages / name for name in PACKAGES if (packages / name).is_dir()]
    corpora = [corpus(folder.name, [folder]) for folder in installed]
    for one in (*corpora, *(corpus(str(folder), [folder]) for folder in asked.also)):
        print(described(one))
    if not asked.fast:
        write(sick, healthy, corpora)
    return int(bool(healthy.findings))


def sick_scripts() -> dict[str, tuple[str, str]]:
    """Script -> (the fault that was planted, whether it was found)."""
    manifest = json.loads((HERE / "sick" / "manifest.json").read_text(encoding="utf-8"))
    found = {}
    for name, fault in sorted(manifest.items()):
        place = HERE / "sick" / ("held_out" if fault["split"] == "held-out" else "") / f"{name}.py"
        rules = [seen.finding.rule for seen in looked_at(place)]
        wrong = [rule for rule in rules if rule not in (fault["rule"], *fault["also"])]
        verdict = (
            "found" if fault["rule"] in rules else "missed" if fault["rule"] in NAMES else "not looked for"
        )
        found[name] = fault["rule"], f"{verdict}; {', '.join(wrong)} besides" if wrong else verdict
    return found


def healthy_scripts() -> list[Path]:
    return [
        *sorted((ROOT / "examples").glob("healthy*.py")),
        HERE / "healthy",
        HERE / "toolkit",
        ROOT / "tests" / "frameworks",
    ]


def corpus(name: str, paths: Iterable[Path]) -> Corpus:
    started = time.process_time()
    files = torch = unread = 0
    findings: list[str] = []
    for path in find(paths):
        try:
            source = read(path)
        except Unreadable:
            unread += 1
            continue
        files += 1
        torch += "torch" in source.text
        findings += [worded(seen) for seen in judge(source, NAMES, NAMES)]
    return Corpus(name, files, torch, unread, tuple(findings), round(time.process_time() - started, 2))


def looked_at(path: Path) -> list[Seen]:
    return judge(read(path), NAMES, NAMES)


def worded(seen: Seen) -> str:
    where = seen.finding.where[0]
    file = Path(where.file or "").as_posix().rpartition("site-packages/")[2]
    return f"{file}:{where.line} {seen.finding.rule}: {seen.text}"


def table(sick: dict[str, tuple[str, str]]) -> str:
    rows = [f"{name:32} {rule:30} {said}" for name, (rule, said) in sick.items()]
    looked = [said for _, said in sick.values() if not said.startswith("not looked for")]
    hits = sum(said.startswith("found") for said in looked)
    low, high = wilson(hits, len(looked))
    share = f"{hits} of {len(looked)} faults that are looked for ({100 * low:.0f} to {100 * high:.0f} %)"
    return "\n".join([*rows, f"{share}; {len(sick) - len(looked)} of other rules cannot be seen in source"])


def described(one: Corpus) -> str:
    told = (
        f"{one.name}: {len(one.findings)} findings in {one.files:,} files ({one.torch:,} with torch, "
        f"{one.unread} unreadable), {one.per_1000:.2f} in 1,000; {one.seconds:.1f} s, "
        f"{100 * one.seconds / max(one.files, 1):.2f} s for 100"
    )
    return "\n  ".join([told, *one.findings])


def write(sick: dict[str, tuple[str, str]], healthy: Corpus, corpora: list[Corpus]) -> None:
    rows = [{**asdict(one), "per_1000": one.per_1000} for one in (healthy, *corpora)]
    data = {
        "title": "Faults that stand in source",
        "command": "python bench/static.py",
        "python": sys.version.split()[0],
        "code": [{**row, "findings": len(row["findings"])} for row in rows],
        "sick": [{"script": name, "rule": rule, "result": said} for name, (rule, said) in sick.items()],
        "to look at": [f"`{line}`" for row in rows for line in row["findings"]],
    }
    RESULTS.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
