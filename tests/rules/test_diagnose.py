"""Findings come worst first, and a rule that fails takes nothing else down."""

from dataclasses import replace

import pytest

from trainwright import rules
from trainwright.core import Evidence, Finding, Severity
from trainwright.signals import grad_norm

from .builder import made, series


def rule_that(check, needs=()):
    return replace(rules.dead_units, name="made-up", needs=needs, check=check, severity=Severity.FATAL)


def finds(*findings):
    return rule_that(lambda run: iter(findings))


def finding(severity, step):
    return Finding("it is 1", (Evidence("it", 1, 0, "one"),), steps=(step, step), severity=severity)


def test_the_worst_comes_first_then_the_earlier():
    found = rules.diagnose(
        made(),
        [finds(finding(Severity.HINT, 0), finding(Severity.HARM, 9)), finds(finding(Severity.HARM, 3))],
    )
    assert [(f.severity, f.steps[0]) for f in found] == [
        (Severity.HARM, 3),
        (Severity.HARM, 9),
        (Severity.HINT, 0),
    ]


def test_a_rule_that_fails_becomes_a_hint_about_us_and_the_others_are_asked():
    def fails(run):
        raise KeyError("boo")
        yield

    harm, ours = rules.diagnose(made(), [rule_that(fails), finds(finding(Severity.HARM, 0))])
    assert harm.severity is Severity.HARM
    assert (ours.rule, ours.severity) == ("trainwright", Severity.HINT)
    assert "`made-up` failed" in ours.message
    assert "KeyError: 'boo'" in ours.message


def test_a_rule_whose_signals_were_not_recorded_is_not_asked():
    needy = rule_that(lambda run: iter([finding(Severity.HARM, 0)]), needs=(grad_norm,))
    assert not rules.diagnose(made(), [needy])
    assert rules.diagnose(made({grad_norm: series({"a": [1]})}), [needy])


def test_thresholds_reach_their_rule():
    from trainwright.signals import dead_units as share

    run = made({share: series({"a": [0.3] * 6})})
    assert not rules.diagnose(run)
    assert rules.diagnose(run, thresholds={"dead-units": {"share": 0.2}})


@pytest.mark.parametrize(
    ("thresholds", "words"),
    [
        ({"dead-unit": {"share": 1}}, "did you mean `dead-units`"),
        ({"dead-units": {"shares": 1}}, "did you mean `share`"),
        ({"dead-units": {"zzz": 1}}, "it has share"),
    ],
)
def test_a_misspelt_threshold_is_an_error_with_a_suggestion(thresholds, words):
    with pytest.raises(ValueError, match=words):
        rules.diagnose(made(), thresholds=thresholds)


def test_that_nothing_is_learned_is_an_alarm_only_where_nothing_says_why():
    def found(name, severity):
        return Finding("", rule=name, severity=severity, evidence=(), steps=(0, 1))

    alone = [found("plateau", Severity.HARM), found("overfitting", Severity.HINT)]
    assert [f.severity for f in rules._causes_first(alone)] == [Severity.HARM, Severity.HINT]
    beside = [found("underfitting", Severity.HARM), found("dead-units", Severity.HARM)]
    assert [f.severity for f in rules._causes_first(beside)] == [Severity.HINT, Severity.HARM]
