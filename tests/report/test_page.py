"""A page holds all of the declaration, and its advice can be read back."""

import pytest

from trainwright import rules as all_rules
from trainwright.report.page import page, remedies


def test_the_page_has_severity_sections_thresholds_signals_and_the_line_for_no_measurement(rules):
    text = page(rules[1], rates={})
    assert text.startswith("# cold-feet\n\nThe first layers stand still.\n")
    assert "At worst **harm**" in text
    assert "reads `loss`, `grad_norm`" in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Why it hurts",
        "## Evidence",
        "## What to do",
        "## When it is wrong",
        "## Sources",
        "## Thresholds",
        "## Measured",
    ]
    assert "| `ratio` | 0.001 | ratio | a test \\| of tables |" in text
    assert "--set cold-feet.ratio=0.001" in text
    assert "not yet measured" in text


def test_a_rule_without_thresholds_or_signals_says_so(rules):
    text = page(rules[0], rates={})
    assert "None: the rule is certain" in text
    assert "no signal" in text


def test_measured_rates_come_with_their_interval(rules):
    text = page(rules[1], {"cold-feet": {"sick": 10, "hits": 10, "healthy": 25, "false_alarms": 0}})
    assert "**Hits**: 10 of 10 (95 % interval 72 % to 100 %)" in text
    assert "**False alarms**: 0 of 25 (95 % interval 0 % to 13 %)" in text
    assert "not yet measured" not in text


def test_remedies_are_the_bullets_with_their_sentences_and_code(rules):
    warm, short = remedies(rules[1])
    assert warm.name == "warm-socks"
    assert warm.summary == "Start with larger weights, so that the gradient arrives. Measured in `0.weight`."
    assert warm.code == "nn.init.kaiming_normal_(m.weight)\nfor m in net:\n    warm(m)"
    assert short == ("short-way", "Add `x + block(x)`.", "x = x + block(x)")


def test_a_section_that_says_why_there_is_no_remedy_has_none(rules):
    assert remedies(rules[0]) == ()


@pytest.mark.parametrize("rule", all_rules.ALL, ids=str)
def test_every_rule_has_advice_and_a_page(rule):
    assert remedies(rule)
    assert all(a.summary.endswith((".", ":")) for a in remedies(rule)), "a summary is whole sentences"
    text = page(rule)
    assert all(f"`{name}`" in text for name in rule.limits)
