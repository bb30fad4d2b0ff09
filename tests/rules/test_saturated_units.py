"""Flat sigmoids and tanhs are a fault where nothing is learned, and never at the output."""

import numpy as np

from trainwright.core import Severity
from trainwright.rules import saturated_units
from trainwright.signals import activation_std, constant_loss, loss
from trainwright.signals import saturated_units as saturated_share

from .builder import chain, made, series


def run_of(shares, place="1", end=1.0):
    steps = len(shares)
    return made(
        {
            saturated_share: series({place: shares}),
            activation_std: series({str(i): np.ones(steps) for i in range(3)}),
            loss: series(np.linspace(1, end, steps)),
            constant_loss: series(np.ones(steps)),
        },
        **chain(3, activation="tanh"),
    )


def test_it_is_harm_where_the_loss_is_stuck():
    (found,) = saturated_units(run_of(np.r_[np.zeros(10), np.full(50, 0.7)]))
    assert found.severity is Severity.HARM
    assert found.message.startswith("70% of the tanh outputs behind `1`")
    assert (found.where[0].module, found.where[0].line) == ("1", 11)
    assert found.steps == (10, 59)


def test_gates_that_saturate_while_the_loss_learns_are_a_hint():
    assert [f.severity for f in saturated_units(run_of(np.full(60, 0.9), end=0.2))] == [Severity.HINT]


def test_a_confident_output_is_fine():
    assert not saturated_units(run_of(np.full(60, 0.99), place="2"))


def test_fewer_than_half_are_fine():
    assert not saturated_units(run_of(np.full(60, 0.49)))


def test_units_that_came_back_are_fine():
    assert not saturated_units(run_of(np.r_[np.ones(55), np.full(5, 0.2)]))


def test_within_the_first_ten_steps_only_a_layer_that_was_flat_from_the_start_is_harm():
    assert [f.severity for f in saturated_units(run_of(np.full(10, 0.95)))] == [Severity.HARM]
    assert [f.severity for f in saturated_units(run_of(np.full(10, 0.7)))] == [Severity.HINT]


def test_a_net_that_is_flat_throughout_is_harm_while_most_of_the_loss_is_left():
    run = run_of(np.full(60, 0.8), end=0.6)
    run.series["saturated_units"] = series({"0": np.full(60, 0.8), "1": np.full(60, 0.6)})
    assert [f.severity for f in saturated_units(run)] == [Severity.HARM]
    run.series["saturated_units"] = series({"0": np.full(60, 0.8), "1": np.full(60, 0.1)})
    assert [f.severity for f in saturated_units(run)] == [Severity.HINT]
