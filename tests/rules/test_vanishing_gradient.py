"""A gradient that dies on its way back is a fault where the loss shows it."""

import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules import vanishing_gradient
from trainwright.signals import activation_grad, constant_loss, grad_norm, loss, update_ratio, weight_norm

from .builder import chain, made, module, parameter, series

DEPTH = 8


def run_of(passed=0.1, moved=1e-9, end=1.0, steps=60, grads=True, **facts):
    """A chain in which a layer gets `passed` of the next one's gradient; the loss goes from 1 to `end`."""
    names = [f"{i}.weight" for i in range(DEPTH)]
    through = {str(i): np.full(steps, passed ** (DEPTH - 1 - i)) for i in range(DEPTH)}
    return made(
        {
            **({activation_grad: series(through)} if grads else {}),
            grad_norm: series({n: through[n[0]] for n in names}),
            weight_norm: series({n: np.ones(steps) for n in names}),
            update_ratio: series({n: np.full(steps, moved) for n in names}),
            loss: series(np.linspace(1, end, steps)),
            constant_loss: series(np.ones(steps)),
        },
        **(chain(DEPTH) | facts),
    )


@pytest.mark.parametrize("grads", [True, False], ids=["of activations", "of weights"])
def test_it_is_harm_where_the_loss_is_stuck(grads):
    (found,) = vanishing_gradient(run_of(grads=grads))
    assert found.severity is Severity.HARM
    assert found.where[0].module == "0"
    assert found.where[0].line == 10
    assert found.evidence[0].measured == pytest.approx(1e-6, rel=0.5)
    assert found.steps == (0, 59)


def test_nothing_is_said_where_the_loss_learns():
    assert not vanishing_gradient(run_of(end=0.3))


def test_nothing_is_said_of_a_gradient_that_gets_through():
    assert not vanishing_gradient(run_of(passed=0.5))


def test_the_limit_is_where_it_says():
    at_limit = 1e-4 ** (1 / (DEPTH - 2))  # the quarters are two layers each: six layers apart
    assert not vanishing_gradient(run_of(passed=at_limit * 1.01))
    assert vanishing_gradient(run_of(passed=at_limit * 0.99))


def test_within_the_first_ten_steps_it_is_harm_only_if_the_first_layers_stand_still():
    assert [f.severity for f in vanishing_gradient(run_of(steps=10))] == [Severity.HARM]
    assert [f.severity for f in vanishing_gradient(run_of(steps=10, moved=1e-6))] == [Severity.HINT]
    assert not vanishing_gradient(run_of(steps=10, moved=1e-3)), "Adam moves them all the same"


def test_four_readings_are_too_few():
    assert not vanishing_gradient(run_of(steps=4))


def test_a_loss_of_ones_own_gives_a_hint():
    run = run_of()
    without = made({}, **run.facts)
    without.series.update({k: v for k, v in run.series.items() if k != "constant_loss"})
    assert [f.severity for f in vanishing_gradient(without)] == [Severity.HINT]


def test_frozen_layers_are_not_looked_at():
    facts = chain(DEPTH)
    for i in range(6):
        facts["parameters"][f"{i}.weight"]["trainable"] = False
    assert not vanishing_gradient(run_of(**facts))


def test_embeddings_norms_and_tokens_of_a_container_are_not_looked_at():
    facts = chain(DEPTH)
    facts["modules"]["0"] = module("Embedding")
    facts["modules"]["1"] = module("Encoder") | {"children": 3}
    facts["parameters"]["2.weight"] = parameter([32], "2")  # the scale of a norm
    run = run_of(passed=1.0, **facts)
    run.series["activation_grad"].values[:, :3] = 1e-9
    assert not vanishing_gradient(run)


def test_one_layer_without_gradient_is_no_vanishing():
    run = run_of(passed=1.0)
    run.series["activation_grad"].values[:, 0] = 0  # a residual branch that starts at zero
    assert not vanishing_gradient(run)


def test_a_plateau_that_is_left_is_no_fault():
    run = run_of(passed=0.1)
    run.series["activation_grad"].values[20:] = 1
    assert not vanishing_gradient(run)
