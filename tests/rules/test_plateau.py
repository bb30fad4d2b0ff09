import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules.plateau import plateau
from trainwright.signals import constant_loss, loss

from .builder import HERE, a_loss, falling, made, series


def a_run(losses, constant=1.0, places=None, **facts):
    signals = {loss: series(places or losses)}
    if constant is not None:
        signals[constant_loss] = series([constant] * 20)
    return made(signals, losses=[a_loss("cross_entropy")], steps=len(losses), **facts)


def severity(losses, *args, **kwargs):
    findings = plateau(a_run(losses, *args, **kwargs))
    return findings[0].severity if findings else None


def flat(level, steps=200, noise=0.03, seed=0):
    return level * (1 + noise * np.random.default_rng(seed).standard_normal(steps))


def test_a_loss_that_stays_at_that_of_a_constant_is_harm():
    (finding,) = plateau(a_run(flat(1.0)))
    assert finding.severity is Severity.HARM
    assert finding.steps == (0, 199)
    assert finding.where[0][2:] == (HERE["file"], HERE["line"])


def test_a_converged_run_is_silent():
    assert severity(falling(2.0, 0.3, 400)) is None
    assert severity(flat(0.3), constant=1.0) is None


def test_a_plateau_that_was_left_at_last_is_silent():
    assert severity(np.concatenate([flat(1.0, 300), np.linspace(1.0, 0.2, 100)])) is None


def test_a_loss_that_fell_and_came_to_rest_is_not_its_matter():
    assert severity(falling(3.0, 1.05, 300)) is None


def test_a_loss_that_fell_and_rose_again_is_not_its_matter():
    assert severity(np.concatenate([falling(1.0, 0.5, 150), np.full(150, 1.2)])) is None


@pytest.mark.parametrize(("steps", "expected"), [(149, None), (150, Severity.HARM)])
def test_both_sides_of_patience(steps, expected):
    assert severity(flat(1.0, steps)) is expected


@pytest.mark.parametrize(("steps", "expected"), [(299, None), (300, Severity.HINT)])
def test_without_a_reference_it_is_a_hint_and_takes_longer(steps, expected):
    assert severity(flat(1.0, steps), constant=None) is expected


def test_hardly_any_noisy_decay_is_taken_for_a_plateau():
    """Of 200 losses that fall by a tenth under noise of 3 % none is."""
    found = [severity(flat(1.0, 200, seed=s) * np.linspace(1.0, 0.9, 200)) for s in range(200)]
    assert found.count(None) == 200


def test_loaded_models_losses_below_zero_and_several_losses_are_not_judged():
    assert severity(flat(1.0), loaded=[{"module": ""}]) is None
    assert severity(flat(1.0, 400) - 1, constant=None) is None
    assert severity(flat(1.0), places={"": flat(1.0), "g.py:3": flat(1.0)}) is None
    assert severity(np.append(flat(1.0), np.inf)) is None
