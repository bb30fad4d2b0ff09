"""What is found in real trainings that were recorded once; it may only change on purpose."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from recordings import judging

from trainwright import rules
from trainwright.core import Severity
from trainwright.observe.store import load

NAMES = judging.names()
HEALTHY = ("digits-mlp", "gan", "k-fold", "lbfgs", "lstm", "transformer")
ON_PURPOSE = "On purpose? Put this table into the commit, after: python tests/recordings/accept.py"


def python(*args: str | Path) -> str:
    done = subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def today() -> dict[str, Any]:
    """What the rules find now, in a process of its own."""
    return json.loads(python(judging.HERE / "judging.py"))


def texts(data: object) -> Iterator[str]:
    """Every text in nested data, keys included."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        yield from (text for pair in data.items() for part in pair for text in texts(part))
    elif isinstance(data, Sequence):
        yield from (text for part in data for text in texts(part))


def test_findings_and_verdicts_are_those_that_were_accepted(today):
    differences = judging.table(judging.expected(), today["judgements"])
    assert not differences, f"appeared (+) and disappeared (-):\n{differences}\n{ON_PURPOSE}"


def test_judging_imports_no_torch(today):
    assert today["torch"] is False


def test_each_is_judged_in_well_under_two_seconds(today):
    assert max(today["seconds"].values()) < 0.5, today["seconds"]


def alarms(name: str) -> list[str]:
    found = judging.expected()[name]["findings"]
    return [f["rule"] for f in found if Severity[f["severity"].upper()] >= Severity.HARM]


@pytest.mark.parametrize("name", HEALTHY)
def test_no_alarm_is_expected_of_a_healthy_one(name):
    """So that accepting cannot let a false alarm in."""
    assert alarms(name) == []


@pytest.mark.parametrize("name", sorted({*NAMES} - {*HEALTHY}))
def test_an_alarm_is_expected_of_a_sick_one(name):
    """So that accepting cannot let a miss in."""
    assert alarms(name)


class TestTheTable:
    ACCEPTED = judging.expected()

    def test_is_empty_only_where_nothing_changed(self):
        assert judging.table(self.ACCEPTED, deepcopy(self.ACCEPTED)) == ""

    def test_shows_a_finding_that_disappeared_and_the_verdict_that_follows(self):
        now = deepcopy(self.ACCEPTED) | {"overfitting": {"verdict": "nothing-found", "findings": []}}
        assert re.fullmatch(
            r"- overfitting  harm\[overfitting\]: train.py:\d+\n"
            r"~ overfitting  verdict: findings -> nothing-found",
            judging.table(self.ACCEPTED, now),
        )

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"rule": "dead-units"}, r"\+ nan  fatal\[dead-units\]"),
            ({"severity": "hint"}, r"\+ nan  hint\[non-finite\]"),
            ({"where": {"module": "0", "line": 22}}, r"\+ nan  fatal\[non-finite\]: `0`, train.py:22"),
            ({"where": {"module": None, "line": None}}, r"\+ nan  fatal\[non-finite\]: nowhere"),
        ],
        ids=["rule", "severity", "module", "line"],
    )
    def test_shows_a_finding_that_is_another_now(self, change, says):
        now = deepcopy(self.ACCEPTED)
        now["nan"]["findings"][0].update(change)
        table = judging.table(self.ACCEPTED, now)
        assert re.search(says, table)
        assert "- nan  fatal[non-finite]: train.py:22" in table

    def test_shows_another_order(self):
        now = deepcopy(self.ACCEPTED)
        now["deep-sigmoid"]["findings"].reverse()
        assert judging.table(self.ACCEPTED, now).startswith("~ deep-sigmoid  order: ")

    def test_shows_a_recording_of_which_nothing_was_accepted_yet(self):
        before = {name: found for name, found in self.ACCEPTED.items() if name != "gan"}
        assert judging.table(before, self.ACCEPTED) == "~ gan  verdict: none -> nothing-found"

    def test_shows_what_another_threshold_does(self):
        now = self.ACCEPTED | {
            "overfitting": judging.judged(judging.HERE / "overfitting", {"overfitting": {"noise": 1000}})
        }
        assert judging.table(self.ACCEPTED, now).startswith("- overfitting  harm[overfitting]")


def test_accepting_expects_what_is_found_and_says_what_that_changed(tmp_path):
    shutil.copytree(judging.HERE / "nan", tmp_path / "nan")
    for script in ("accept.py", "judging.py"):
        shutil.copy(judging.HERE / script, tmp_path)
    (tmp_path / "nan" / "expected.json").write_text('{"verdict": "still-improving", "findings": []}')
    said = python(tmp_path / "accept.py")
    assert "+ nan  fatal[non-finite]: train.py:22" in said
    assert "~ nan  verdict: still-improving -> findings" in said
    assert judging.expected(tmp_path)["nan"] == judging.judged(judging.HERE / "nan")
    assert python(tmp_path / "accept.py") == "Nothing changed.\n"


class TestOtherLimits:
    def test_change_what_is_found(self):
        run = load(judging.HERE / "digits-mlp")
        assert rules.diagnose(run) == ()
        found = rules.diagnose(run, thresholds={"unscaled-input": {"scale": 0.1}})
        assert [f.rule for f in found] == ["unscaled-input"]

    @pytest.mark.parametrize(
        ("limits", "rule_is_found"),
        [([], True), (["--set", "overfitting.noise=1000"], False)],
        ids=["default", "set"],
    )
    def test_given_on_the_command_line_do_the_same(self, limits, rule_is_found):
        run = judging.HERE / "overfitting"
        said = json.loads(python("-m", "trainwright", "diagnose", run, "--format", "json", *limits))
        assert any(f["rule"] == "overfitting" for f in said["findings"]) is rule_is_found


@pytest.mark.parametrize("name", NAMES)
class TestEveryRecord:
    def test_is_of_the_script_beside_it(self, name):
        folder = judging.HERE / name
        lines = (folder / "train.py").read_text(encoding="utf-8").splitlines()
        sources = load(folder).facts["sources"]
        assert list(sources) == ["train.py"]
        assert {n: lines[int(n) - 1] for n in sources["train.py"]} == sources["train.py"]

    def test_was_read_at_every_step_so_that_no_clock_decided_what_is_in_it(self, name):
        facts = load(judging.HERE / name).facts
        assert facts["overhead"]["sampled"] == facts["steps"] >= 20
        assert facts["own_failures"] == []

    def test_says_nothing_of_the_machine_it_was_made_on(self, name):
        absolute = re.compile(r"(^|\s)(/|~|[A-Z]:\\)\w")
        assert [text for text in texts(dict(load(judging.HERE / name).facts)) if absolute.search(text)] == []


def test_recordings_are_small_together():
    files = [judging.HERE / name / "rank0.sqlite" for name in NAMES]
    assert sum(file.stat().st_size for file in files) < 1e6
