"""What holds for every rule: it fires on its own sick case and leaves the healthy twin alone."""

import math
import re
from functools import cache
from pathlib import Path

import pytest

import trainwright as tw
from trainwright import rules
from trainwright.core import Finding, Rule, Run, Severity
from trainwright.observe.store import load

SECTIONS = ["Why it hurts", "Evidence", "What to do", "When it is wrong", "Sources"]
REMEDY = re.compile(r"^- \*\*[a-z0-9]+(-[a-z0-9]+)*\*\*: \S.*", re.MULTILINE)
FOLDER = Path(rules.__file__).parent
EVERY_STEP = 100.0
"""A budget at which every step is read, so that what is found does not depend on how busy the machine is; what is
found at the default budget is for `bench/false_alarms.py`."""


def recorded(rule: Rule, case: str) -> Run:
    """The rule's sick or healthy case, seeded and watched; once a session."""
    return _recorded(rule.name, case)


@cache
def _recorded(name: str, case: str) -> Run:
    import torch

    torch.manual_seed(0)
    with tw.watch(overhead=EVERY_STEP) as watch:
        getattr(next(rule for rule in rules.ALL if rule.name == name).case, case)()
    return watch.run()


def alarms(found: tuple[Finding, ...]) -> list[str]:
    return [f"{f.rule}: {f.message}" for f in found if f.severity >= Severity.HARM]


@pytest.mark.parametrize("rule", rules.ALL, ids=str)
class TestEveryRule:
    def test_it_raises_the_alarm_on_its_sick_case(self, rule):
        found = rule(recorded(rule, "sick"))
        assert found, "silent on its own sick case"
        assert max(f.severity for f in found) >= min(rule.severity, Severity.HARM), (
            "a hint, though it declares harm"
        )

    def test_no_rule_alarms_on_the_healthy_twin(self, rule):
        assert alarms(rules.diagnose(recorded(rule, "healthy"))) == []

    def test_no_rule_fails_on_either(self, rule):
        for case in ("sick", "healthy"):
            assert [f.message for f in rules.diagnose(recorded(rule, case)) if f.rule == rules.OWN] == []

    def test_a_saved_run_gives_the_same_findings(self, rule, tmp_path):
        import torch

        torch.manual_seed(0)
        with tw.watch(overhead=EVERY_STEP, folder=tmp_path) as watch:
            rule.case.sick()
        assert rules.diagnose(load(tmp_path)) == rules.diagnose(watch.run())

    def test_evidence_is_of_numbers(self, rule):
        for finding in rule(recorded(rule, "sick")):
            assert finding.evidence
            for item in finding.evidence:
                assert item.what
                assert item.unit
                assert not math.isnan(item.measured), item
                assert not math.isnan(item.limit), item

    def test_a_finding_names_a_line_of_the_users_code(self, rule):
        for finding in rule(recorded(rule, "sick")):
            assert finding.where, "it names no place"
            for where in finding.where:
                assert where.file == str(FOLDER / f"{rule.name.replace('-', '_')}.py")
                assert where.line > 0

    def test_a_finding_is_one_sentence_with_a_number_and_says_what_to_do(self, rule):
        run = recorded(rule, "sick")
        for finding in rule(run):
            assert re.search(r"\d", finding.message)
            assert "\n" not in finding.message
            assert not finding.message.endswith(".")
            assert finding.fix.endswith((".", "?"))
            assert 0 <= finding.steps[0] <= finding.steps[1] <= run.steps

    def test_its_page_has_every_section_in_order_and_names_remedies(self, rule):
        assert re.findall(r"^## (.*)$", rule.page, re.MULTILINE) == SECTIONS
        todo = rule.page.split("## What to do")[1].split("## When it is wrong")[0]
        assert REMEDY.search(todo), "no remedy: write one as `- **name**: sentence.`"
        assert rule.summary.endswith(".")

    def test_every_threshold_has_a_unit_and_a_source(self, rule):
        for name, (default, limit) in rule.limits.items():
            assert math.isfinite(default), name
            assert limit.unit.strip(), name
            assert len(limit.source) > 10, name

    def test_it_says_nothing_about_a_run_of_nothing(self, rule):
        assert rules.diagnose(Run({}), [rule]) == ()


def test_every_file_that_declares_a_rule_is_listed():
    declaring = {p.stem for p in FOLDER.glob("*.py") if re.search(r"^@rule\(", p.read_text(), re.MULTILINE)}
    assert {rule.name.replace("-", "_") for rule in rules.ALL} == declaring


def test_names_are_unique():
    assert len({rule.name for rule in rules.ALL}) == len(rules.ALL)
