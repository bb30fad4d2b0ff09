"""Large steps are a fault where the loss runs away, and nowhere else."""

import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules import learning_rate_too_high
from trainwright.signals import constant_loss, learning_rate, loss, update_ratio

from .builder import chain, made, series


def run_of(losses, moved=0.5, constant=1.0, rate=1.0):
    steps = len(losses)
    optimizers = [{"site": {"file": "train.py", "line": 5}}]
    return made(
        {
            update_ratio: series({f"{i}.weight": np.full(steps, moved) for i in range(3)}),
            loss: series(losses),
            constant_loss: series(np.full(steps, constant)),
            learning_rate: series({"0": np.full(steps, rate)}),
        },
        **(chain(3) | {"optimizers": optimizers}),
    )


STUCK = np.r_[1.0, 30.0, 10.0, np.linspace(2, 1, 17), np.full(40, 1.0)]


def test_a_loss_that_rose_and_is_stuck_since_is_harm():
    (found,) = learning_rate_too_high(run_of(STUCK))
    assert found.severity is Severity.HARM
    assert (found.where[0].file, found.where[0].line) == ("train.py", 5)
    assert "a learning rate of 1 " in found.message
    assert found.evidence[1].measured == pytest.approx(30)


@pytest.mark.parametrize(
    "losses",
    [
        np.geomspace(1, 1e6, 60),
        np.r_[np.geomspace(1, 1e3, 10), np.full(50, np.inf)],
        [1, 30, 900, np.inf, np.inf, np.inf],
    ],
    ids=["grows", "infinite", "check"],
)
def test_a_loss_that_diverges_is_harm(losses):
    assert [f.severity for f in learning_rate_too_high(run_of(losses))] == [Severity.HARM]


def test_a_high_but_fine_rate_is_fine():
    assert not learning_rate_too_high(run_of(np.geomspace(1, 0.01, 60)))


def test_a_first_rise_that_came_back_is_fine():
    assert not learning_rate_too_high(run_of(np.r_[1.0, 3.0, np.geomspace(2, 0.1, 58)]))


def test_a_rise_with_small_steps_has_another_cause():
    assert not learning_rate_too_high(run_of(STUCK, moved=0.01))


def test_a_noisy_loss_is_fine():
    rng = np.random.default_rng(0)
    assert not learning_rate_too_high(run_of(1 + 0.1 * rng.standard_normal(200)))


def test_a_small_rise_within_the_first_ten_steps_is_a_hint():
    assert [f.severity for f in learning_rate_too_high(run_of([1.0, 2.0, 1.4, 1.3, 1.2, 1.2, 1.1]))] == [
        Severity.HINT
    ]


def test_losses_that_play_against_each_other_are_not_judged():
    run = run_of(STUCK)
    run.series["loss"] = series({"": STUCK, "gan.py:9": STUCK})
    assert not learning_rate_too_high(run)
