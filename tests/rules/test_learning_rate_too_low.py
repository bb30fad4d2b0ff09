"""Weights that hardly move are a fault where the loss is still at its start."""

import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules import learning_rate_too_low
from trainwright.signals import constant_loss, grad_norm, learning_rate, loss, update_ratio, weight_norm

from .builder import chain, made, series


def run_of(end=0.999, moved=1e-7, gradient=0.1, steps=200, rates=1e-6, **facts):
    names = [f"{i}.weight" for i in range(3)]
    return made(
        {
            update_ratio: series({n: np.broadcast_to(moved, steps) for n in names}),
            grad_norm: series({n: np.full(steps, gradient) for n in names}),
            weight_norm: series({n: np.ones(steps) for n in names}),
            loss: series(np.linspace(1, end, steps)),
            constant_loss: series(np.ones(steps)),
            learning_rate: series({"0": np.broadcast_to(rates, steps)}),
        },
        **(chain(3) | {"optimizers": [{"site": {"file": "train.py", "line": 5}}]} | facts),
    )


def test_a_loss_that_is_where_it_began_is_harm():
    (found,) = learning_rate_too_low(run_of())
    assert found.severity is Severity.HARM
    assert (found.where[0].file, found.where[0].line) == ("train.py", 5)
    assert found.evidence[1].measured == pytest.approx(2e-5)


def test_within_the_first_ten_steps_it_is_a_hint():
    assert [f.severity for f in learning_rate_too_low(run_of(steps=10))] == [Severity.HINT]


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_the_limits_are_where_they_say(share):
    assert bool(learning_rate_too_low(run_of(moved=1e-5 * share))) == (share < 1)
    assert bool(learning_rate_too_low(run_of(moved=0.01 / 2000 * share, steps=2000))) == (share < 1)


def test_a_run_that_has_converged_is_fine():
    assert not learning_rate_too_low(run_of(end=0.01, gradient=0.1))


def test_a_small_gradient_is_another_fault():
    assert not learning_rate_too_low(run_of(gradient=1e-6))


def test_a_warm_up_under_way_is_fine():
    assert not learning_rate_too_low(run_of(rates=np.linspace(0, 1e-6, 200)))
    assert not learning_rate_too_low(run_of(rates=np.linspace(1e-9, 1e-6, 10), steps=10))


def test_a_schedule_at_its_end_is_fine():
    rates = np.geomspace(1e-1, 1e-8, 200)
    assert not learning_rate_too_low(run_of(rates=rates, moved=rates / 10))


def test_fine_tuning_is_a_hint():
    found = learning_rate_too_low(run_of(loaded=[{"module": "", "matched": 6}]))
    assert [f.severity for f in found] == [Severity.HINT]


def test_a_loss_of_ones_own_is_not_judged():
    run = run_of()
    run.series["constant_loss"] = series({"": []})
    assert not learning_rate_too_low(run)
