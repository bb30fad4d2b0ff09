"""Units that start equal are a fault where nothing parts them."""

import numpy as np

from trainwright.core import Severity
from trainwright.rules import symmetric_weights
from trainwright.signals import constant_loss, grad_norm, loss

from .builder import chain, made, module, parameter, series

CONSTANT = {"initial_std": 0.0, "initial_mean": 0.1, "equal_units": True}
ZERO = {"initial_std": 0.0, "initial_mean": 0.0, "equal_units": True}


def run_of(*starts, end=1.0, gradient=1.0, steps=60):
    """A chain of layers that start as given; `{}` = at random."""
    facts = chain(len(starts))
    for i, start in enumerate(starts):
        facts["parameters"][f"{i}.weight"].update(start)
    return made(
        {
            grad_norm: series({f"{i}.weight": np.full(steps, gradient) for i in range(len(starts))}),
            loss: series(np.linspace(1, end, steps)),
            constant_loss: series(np.ones(steps)),
        },
        **facts,
    )


def test_a_constant_layer_before_a_constant_one_is_harm():
    (found,) = symmetric_weights(run_of({}, CONSTANT, CONSTANT))
    assert found.severity is Severity.HARM
    assert found.where[0] == ("1", "1.weight", "net.py", 11)
    assert "All 32 units of `1`" in found.message


def test_it_is_certain_from_the_first_steps_on():
    assert [f.severity for f in symmetric_weights(run_of(CONSTANT, CONSTANT, steps=3))] == [Severity.HARM]


def test_zero_layers_are_harm_if_the_first_gradient_is_zero_and_nothing_is_learned():
    (found,) = symmetric_weights(run_of(ZERO, ZERO, gradient=0.0))
    assert found.severity is Severity.HARM
    assert "no gradient reaches them" in found.message
    assert [f.severity for f in symmetric_weights(run_of(ZERO, ZERO, gradient=0.0, end=0.2))] == [
        Severity.HINT
    ]


def test_zero_layers_that_each_add_to_a_stream_are_fine():
    assert not symmetric_weights(run_of(ZERO, ZERO, ZERO, gradient=1.0))


def test_a_random_layer_behind_it_parts_the_units():
    assert not symmetric_weights(run_of(CONSTANT, {}, {}))


def test_a_zero_output_layer_is_fine():
    assert not symmetric_weights(run_of({}, {}, ZERO))


def test_a_zero_last_layer_of_a_residual_branch_is_fine():
    assert not symmetric_weights(run_of({}, ZERO, {}, ZERO, {}))


def test_scales_of_norms_are_fine():
    run = run_of({}, {}, {})
    run.facts["modules"]["3"] = module("LayerNorm")
    run.facts["parameters"]["3.weight"] = parameter([32], "3", **CONSTANT)
    assert not symmetric_weights(run)


def test_logistic_regression_from_zero_is_fine():
    assert not symmetric_weights(run_of(ZERO, gradient=0.0))


def test_layers_that_do_not_follow_each_other_are_not_paired():
    run = run_of(CONSTANT, CONSTANT)
    run.facts["parameters"]["1.weight"]["shape"] = [32, 48]
    assert not symmetric_weights(run)


def test_random_biases_part_the_units():
    run = run_of(CONSTANT, CONSTANT)
    run.facts["parameters"]["0.bias"] = parameter([32], "0")
    assert not symmetric_weights(run)
    run.facts["parameters"]["0.bias"] = parameter([32], "0", initial_std=0.0)
    assert symmetric_weights(run)


def test_dropout_or_a_loss_that_learned_makes_it_a_hint():
    run = run_of(CONSTANT, CONSTANT)
    run.series["loss"] = series(np.geomspace(1, 1e-3, 60))
    assert [f.severity for f in symmetric_weights(run)] == [Severity.HINT]
    run = run_of(CONSTANT, CONSTANT)
    run.facts["modules"]["drop"] = module("Dropout")
    assert [f.severity for f in symmetric_weights(run)] == [Severity.HINT]
