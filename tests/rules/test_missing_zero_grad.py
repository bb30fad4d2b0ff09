import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules.missing_zero_grad import missing_zero_grad
from trainwright.signals import leftover_grad

from .builder import HERE, a_parameter, made, series

STEPS = [1, 2, 4, 8, 16]


def an_optimizer(calls=0):
    return {
        "type": "SGD",
        "site": HERE,
        "groups": [],
        "zero_grad_calls": calls,
        "clip": [],
        "scheduler": None,
    }


def a_run(ratios, calls=0, optimizers=1, steps=None, places=("a.weight",)):
    readings = series(dict.fromkeys(places, ratios), steps or STEPS[: len(ratios)])
    return made(
        {leftover_grad: readings},
        steps=20,
        parameters={place: a_parameter("a") for place in places},
        optimizers=[an_optimizer(calls) for _ in range(optimizers)],
    )


def test_gradients_left_at_every_step_are_harm_at_the_optimisers_line():
    (finding,) = missing_zero_grad(a_run([0.9, 1.1, 0.8, 1.0, 1.0]))
    assert finding.severity is Severity.HARM
    assert finding.where[0][2:] == (HERE["file"], HERE["line"])
    assert finding.steps == (1, 16)
    assert finding.evidence[0].measured == pytest.approx(1.0)


def test_cleared_gradients_are_fine():
    assert not missing_zero_grad(a_run([0.0] * 5, calls=20))


def test_accumulation_over_several_steps_with_a_stray_leftover_is_fine():
    assert not missing_zero_grad(a_run([0.0, 0.9, 0.0, 0.9, 0.9]))


def test_the_first_step_does_not_count():
    assert not missing_zero_grad(a_run([0.9, 0.9, 0.9], steps=[0, 1, 2]))
    assert missing_zero_grad(a_run([0.0, 0.9, 0.9, 0.9], steps=[0, 1, 2, 4]))


def test_two_readings_are_too_few():
    assert not missing_zero_grad(a_run([0.9, 0.9]))
    assert missing_zero_grad(a_run([0.9, 0.9]), patience=2)


def test_several_places_at_one_step_count_as_one_reading():
    assert not missing_zero_grad(a_run([0.9, 0.9], places=("a.weight", "b.weight")))


def test_both_sides_of_the_limit():
    assert not missing_zero_grad(a_run([0.049] * 5))
    assert missing_zero_grad(a_run([0.06] * 5))


def test_it_is_a_hint_where_zero_grad_was_called_or_optimisers_share_gradients():
    assert missing_zero_grad(a_run([1.0] * 5, calls=19))[0].severity is Severity.HINT
    assert missing_zero_grad(a_run([1.0] * 5, optimizers=2))[0].severity is Severity.HINT


def test_a_call_once_in_many_steps_is_still_harm():
    assert missing_zero_grad(a_run([1.0] * 5, calls=2))[0].severity is Severity.HARM


def test_a_place_that_no_optimiser_owns_is_passed_over():
    run = a_run([1.0] * 5)
    run.facts["parameters"]["a.weight"]["optimizer"] = None
    assert not missing_zero_grad(run)


def test_readings_that_are_missing_do_not_count():
    assert not missing_zero_grad(a_run([np.nan, np.nan, np.nan, 1.0, 1.0]))
