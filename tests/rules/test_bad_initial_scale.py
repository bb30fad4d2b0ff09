"""Activations that grow or shrink with depth before training are a fault where the run pays for it."""

import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules import bad_initial_scale
from trainwright.signals import activation_std, constant_loss, loss, update_ratio

from .builder import chain, made, series

DEPTH = 8


def run_of(stds, end=1.0, steps=60, start=1.0, moved=1e-3):
    """A chain whose layers put out these spreads; the output layer comes last."""
    return made(
        {
            activation_std: series({str(i): np.full(steps, s) for i, s in enumerate(stds)}),
            update_ratio: series({f"{i}.weight": np.full(steps, moved) for i in range(len(stds))}),
            loss: series(np.linspace(start, end, steps)),
            constant_loss: series(np.ones(steps)),
        },
        **chain(len(stds)),
    )


def test_shrinking_is_harm_where_the_loss_is_stuck():
    (found,) = bad_initial_scale(run_of(0.2 ** np.arange(DEPTH)))
    assert found.severity is Severity.HARM
    assert found.evidence[0].measured == pytest.approx(0.2)
    assert [w.line for w in found.where] == [10, 16]
    assert found.steps == (0, 0)


def test_growing_is_harm_where_the_loss_stays_far_above_the_constant_prediction():
    (found,) = bad_initial_scale(run_of(5.0 ** np.arange(DEPTH), start=1e6, end=1e5))
    assert found.severity is Severity.HARM
    assert "grows" in found.message


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_a_net_that_trains_all_the_same_gets_a_hint(factor):
    assert [f.severity for f in bad_initial_scale(run_of(factor ** np.arange(DEPTH), end=0.2))] == [
        Severity.HINT
    ]


def test_within_the_first_ten_steps_it_is_harm_only_if_nothing_moves():
    stds = 0.2 ** np.arange(DEPTH)
    assert [f.severity for f in bad_initial_scale(run_of(stds, steps=10, moved=1e-9))] == [Severity.HARM]
    assert [f.severity for f in bad_initial_scale(run_of(stds, steps=10))] == [Severity.HINT]


def test_the_factor_is_where_it_says():
    assert not bad_initial_scale(run_of(1.99 ** np.arange(20)))
    assert bad_initial_scale(run_of(2.01 ** np.arange(20)))


@pytest.mark.parametrize(
    "stds",
    [
        np.ones(DEPTH),
        0.41 ** np.minimum(np.arange(DEPTH), 3),  # torch's own start under ReLU, held by its biases
        np.sqrt(1 + np.arange(DEPTH)),  # a residual stream
        np.r_[np.ones(DEPTH - 1), 1e-6],  # a small output layer
        np.tile([1.0, 1e-4], DEPTH // 2),  # branches beside a stream
        [1.0, 1e4, 1e4, 1e4, 1e4, 1e4, 1.0],  # one jump: an unscaled input
    ],
    ids=["he", "torch", "residual", "output", "branches", "jump"],
)
def test_odd_but_healthy_starts_are_fine(stds):
    assert not bad_initial_scale(run_of(stds))


def test_a_run_that_is_first_seen_later_is_not_judged():
    run = run_of(0.2 ** np.arange(DEPTH))
    seen = run.series["activation_std"]
    run.series["activation_std"] = seen._replace(steps=seen.steps + 500)
    assert not bad_initial_scale(run)
