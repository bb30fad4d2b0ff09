import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules.underfitting import underfitting
from trainwright.signals import constant_loss, loss

from .builder import HERE, a_loss, made, series


def a_run(losses, constant=1.0, places=None):
    signals = {loss: series(places or losses)}
    if constant is not None:
        signals[constant_loss] = series([constant] * 20)
    return made(signals, losses=[a_loss("mse_loss")], steps=len(losses))


def resting(start, end, steps=300):
    """Falls within forty steps, and rests, with 2 % noise."""
    noise = 1 + 0.02 * np.random.default_rng(0).standard_normal(steps)
    return (end + (start - end) * np.exp(-np.arange(steps) / 10)) * noise


def severity(losses, *args, **kwargs):
    findings = underfitting(a_run(losses, *args, **kwargs))
    return findings[0].severity if findings else None


def test_a_loss_that_comes_to_rest_above_a_constants_is_harm():
    (finding,) = underfitting(a_run(resting(5.0, 1.2)))
    assert finding.severity is Severity.HARM
    assert finding.steps == (225, 299)
    assert finding.where[0][2:] == (HERE["file"], HERE["line"])


@pytest.mark.parametrize(("end", "expected"), [(0.9, None), (1.02, Severity.HARM)])
def test_both_sides_of_the_constant(end, expected):
    assert severity(resting(5.0, end)) is expected


def test_one_that_still_falls_is_silent():
    assert severity(np.linspace(5.0, 1.5, 300)) is None


def test_one_that_never_fell_is_on_a_plateau_and_not_its_matter():
    assert severity(resting(1.05, 1.0)) is None


def test_one_that_ran_away_did_not_come_to_rest():
    assert severity(np.concatenate([resting(5.0, 0.5, 150), np.full(250, 2.0)])) is None


def test_without_a_known_constant_nothing_is_said():
    assert severity(resting(5.0, 1.2), constant=None) is None


@pytest.mark.parametrize(("steps", "expected"), [(99, None), (120, Severity.HARM)])
def test_short_runs_have_no_end(steps, expected):
    assert severity(np.append(resting(5.0, 1.2, 50), np.full(steps - 50, 1.2))) is expected


def test_several_losses_and_losses_that_are_not_finite_are_not_judged():
    losses = resting(5.0, 1.2)
    assert severity(losses, places={"": losses, "g.py:3": losses}) is None
    assert severity(np.append(losses, np.inf)) is None
