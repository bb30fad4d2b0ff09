"""Units that never answer are a fault where nothing is learned."""

import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules import dead_units
from trainwright.signals import constant_loss, grad_norm, loss
from trainwright.signals import dead_units as dead_share

from .builder import chain, made, series


def run_of(shares, end=1.0, gradient=1.0, **facts):
    """Layer `1` has these shares of dead units, layer `0` none."""
    steps = len(shares)
    return made(
        {
            dead_share: series({"0": np.zeros(steps), "1": shares}),
            grad_norm: series({"1.weight": np.full(steps, gradient)}),
            loss: series(np.linspace(1, end, steps)),
            constant_loss: series(np.ones(steps)),
        },
        **(chain(3) | facts),
    )


def test_it_is_harm_where_the_loss_is_stuck():
    (found,) = dead_units(run_of(np.r_[np.zeros(10), np.full(50, 0.7)]))
    assert found.severity is Severity.HARM
    assert found.where[0].module == "1"
    assert found.where[0].line == 11
    assert found.steps == (10, 59)


def test_where_the_loss_learns_it_is_a_hint():
    assert [f.severity for f in dead_units(run_of(np.full(60, 0.7), end=0.2))] == [Severity.HINT]


def test_a_dead_layer_within_the_first_ten_steps_is_harm_if_no_gradient_passes():
    shares = np.r_[np.zeros(4), np.ones(6)]
    assert [f.severity for f in dead_units(run_of(shares, gradient=0.0))] == [Severity.HARM]
    assert [f.severity for f in dead_units(run_of(shares, gradient=1e-3))] == [Severity.HINT]


@pytest.mark.parametrize("share", [0.0, 0.49])
def test_fewer_than_half_are_fine(share):
    assert not dead_units(run_of(np.full(60, share)))


def test_units_that_came_back_are_fine():
    assert not dead_units(run_of(np.r_[np.ones(30), np.zeros(30)]))


def test_the_advice_fits_the_time_of_death():
    (born,), (killed,) = dead_units(run_of(np.ones(60))), dead_units(run_of(np.r_[np.zeros(40), np.ones(20)]))
    assert "zero bias" in born.fix
    assert "learning rate" in killed.fix
