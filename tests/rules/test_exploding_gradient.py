"""A gradient that grows is a fault where the loss runs away."""

import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules import exploding_gradient
from trainwright.signals import activation_grad, constant_loss, grad_norm, loss, weight_norm

from .builder import chain, made, module, parameter, series

DEPTH = 8


def run_of(grown=1.0, norms=1.0, losses=(1.0, 0.3), steps=60, **facts):
    """A chain in which each layer gets `grown` times the next one's gradient; norms and losses over time."""
    through = {str(i): np.full(steps, grown ** (DEPTH - 1 - i)) for i in range(DEPTH)}
    over = np.broadcast_to(norms, steps)
    lost = np.interp(np.arange(steps), np.linspace(0, steps - 1, len(losses)), losses)
    return made(
        {
            activation_grad: series(through),
            grad_norm: series({f"{i}.weight": over * (3 if i == 5 else 1) for i in range(DEPTH)}),
            loss: series(lost),
            constant_loss: series(np.ones(steps)),
        },
        **(chain(DEPTH) | facts),
    )


def test_growth_through_depth_is_harm_where_the_loss_stays_far_above_the_constant_prediction():
    (found,) = exploding_gradient(run_of(grown=5.0, losses=(1e6, 1e5)))
    assert found.severity is Severity.HARM
    assert found.where[0].line == 10
    assert found.evidence[0].measured > 1e3


def test_growth_through_depth_without_harm_is_a_hint():
    assert [f.severity for f in exploding_gradient(run_of(grown=5.0))] == [Severity.HINT]


def test_growth_over_time_names_the_parameter_and_the_steps():
    norms = np.r_[np.ones(20), np.geomspace(1, 1e5, 40)]
    (found,) = exploding_gradient(run_of(norms=norms, losses=(1.0, 0.8, 50.0)))
    assert found.severity is Severity.HARM
    assert found.where[0].parameter == "5.weight"
    assert 30 < found.steps[0] < found.steps[1] == 59


def test_growth_before_infinity_is_seen():
    norms = np.array([1, 10, 1e3, np.inf, np.inf, np.inf, np.inf, np.inf])
    (found,) = exploding_gradient(
        run_of(norms=norms, losses=(1, 10, 1e6, np.inf, np.inf, np.inf, np.inf, np.inf), steps=8)
    )
    assert "not finite" in found.message


@pytest.mark.parametrize("norms", [1e6, np.geomspace(1, 1e4, 60)], ids=["large but steady", "growing"])
def test_norms_without_a_consequence_are_fine(norms):
    assert not exploding_gradient(run_of(norms=norms))


def test_a_loss_that_diverged_for_another_reason_is_left_to_others():
    assert not exploding_gradient(run_of(losses=(1.0, 50.0)))


def test_one_loss_of_two_may_rise():
    run = run_of(grown=5.0)
    run.series["loss"] = series({"": np.linspace(1, 50, 60), "gan.py:7": np.linspace(1, 0, 60)})
    assert [f.severity for f in exploding_gradient(run)] == [Severity.HINT]


def test_the_limit_is_where_it_says():
    at_limit = 1e3 ** (1 / (DEPTH - 1))
    assert not exploding_gradient(run_of(grown=at_limit * 0.99))
    assert exploding_gradient(run_of(grown=at_limit * 1.01))


def test_a_large_output_layer_does_not_hide_growth():
    run = run_of(grown=5.0, losses=(1e6, 1e5))
    run.series["activation_grad"].values[:, -1] = 100
    assert [f.severity for f in exploding_gradient(run)] == [Severity.HARM]


def recurrent(times, losses):
    facts = {
        "modules": {"rnn": module("RNN", {"file": "net.py", "line": 3}), "out": module()},
        "parameters": {
            "rnn.weight_hh_l0": parameter([32, 32], "rnn"),
            "out.weight": parameter([1, 32], "out"),
        },
    }
    names = list(facts["parameters"])
    return made(
        {
            grad_norm: series({names[0]: np.full(60, times), names[1]: np.ones(60)}),
            weight_norm: series({n: np.ones(60) for n in names}),
            loss: series(np.linspace(*losses, 60)),
            constant_loss: series(np.ones(60)),
        },
        **facts,
    )


def test_growth_through_time_names_the_recurrent_weight():
    (found,) = exploding_gradient(recurrent(200.0, (1e6, 1e5)))
    assert found.severity is Severity.HARM
    assert found.where[0] == ("rnn", "rnn.weight_hh_l0", "net.py", 3)


def test_growth_through_time_without_a_consequence_is_fine():
    assert not exploding_gradient(recurrent(200.0, (1.0, 0.3)))
    assert not exploding_gradient(recurrent(29.0, (1e6, 1e5)))
