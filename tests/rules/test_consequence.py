"""Harm needs a loss that is no better than a constant's and does not improve, beyond the noise of batches."""

import numpy as np
import pytest

from trainwright.rules.consequence import standing
from trainwright.signals import constant_loss, loss

from .builder import falling, made, series


def stands(losses, constant=1.0, readings=20):
    signals = {loss: series(losses)}
    if constant is not None:
        signals[constant_loss] = series([constant] * readings)
    return standing(made(signals))


def noisy(level, spread=0.2, steps=100, seed=0):
    return level * (1 + spread * np.random.default_rng(seed).standard_normal(steps))


def test_fewer_than_forty_losses_show_nothing():
    assert stands([1.0] * 39) is None
    assert stands([1.0] * 40) is not None
    assert standing(made()) is None


def test_a_loss_at_the_constants_is_stuck():
    seen = stands(noisy(1.0))
    assert seen.learned is False
    assert seen.stuck


def test_a_loss_clearly_below_the_constants_has_learned():
    assert stands(noisy(0.6)).learned


def test_a_batch_of_noise_below_the_constant_has_not_learned():
    """Over 100 seeds a constant predictor passes for a learner as often as one standard error allows."""
    passed = sum(bool(stands(noisy(1.0, seed=seed)).learned) for seed in range(100))
    assert passed <= 16


def test_a_loss_that_still_falls_is_not_stuck_though_it_is_worse():
    seen = stands(falling(9.0, 2.0))
    assert seen.learned is False
    assert seen.improving
    assert not seen.stuck


def test_noise_seldom_passes_for_improvement():
    assert sum(stands(noisy(1.0, seed=seed)).improving for seed in range(100)) <= 5


def test_losses_that_are_not_finite_are_the_worst():
    seen = stands([np.inf] * 60)
    assert seen.late == np.inf
    assert seen.stuck


def test_without_a_reference_nothing_is_known():
    seen = stands([1.0] * 60, constant=None)
    assert seen.learned is None
    assert not seen.stuck


@pytest.mark.parametrize("constant", [0.0, -1.0])
def test_targets_that_do_not_vary_give_no_reference(constant):
    assert stands([1.0] * 60, constant).learned is None
