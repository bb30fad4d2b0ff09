import pytest

from trainwright.core import Severity
from trainwright.rules.unused_parameters import unused_parameters
from trainwright.signals import constant_loss, loss

from .builder import HERE, a_module, a_parameter, falling, made, series


def unused(module="head", **known):
    return a_parameter(module, **({"got_gradient": False} | known))


def a_run(parameters, losses=None, sampled=20, optimizers=1, **facts):
    known = {
        "parameters": parameters,
        "modules": {"": a_module("Net", 2), "body": a_module("Linear"), "head": a_module("Linear")},
        "optimizers": [{"type": "Adam", "site": HERE, "groups": []}] * optimizers,
        "overhead": {"sampled": sampled},
        "steps": 100,
    }
    read = {} if losses is None else {loss: series(losses), constant_loss: series([1.0], [0])}
    return made(read, **(known | facts))


def test_an_optimiser_that_owns_nothing_of_the_loss_is_harm_at_its_line():
    (finding,) = unused_parameters(a_run({"body.weight": unused("body"), "head.weight": unused()}))
    assert finding.severity is Severity.HARM
    assert "none of them is part of the loss" in finding.message
    assert finding.where[0][2:] == (HERE["file"], HERE["line"])


@pytest.mark.parametrize("facts", [{"compiled": True}, {"world_size": 2}, {"optimizers": 2}], ids=str)
def test_it_is_a_hint_where_gradients_may_have_been_missed(facts):
    (finding,) = unused_parameters(a_run({"head.weight": unused()}, **facts))
    assert finding.severity is Severity.HINT


def test_a_layer_that_is_left_out_is_a_hint_and_harm_where_nothing_is_learned():
    parameters = {"body.weight": a_parameter("body"), "head.weight": unused()}
    (finding,) = unused_parameters(a_run(parameters))
    assert finding.severity is Severity.HINT
    assert finding.where[0] == ("head", "head.weight", HERE["file"], HERE["line"])
    assert "`head` called in `forward`" in finding.fix
    assert unused_parameters(a_run(parameters, [1.0] * 100))[0].severity is Severity.HARM
    assert unused_parameters(a_run(parameters, falling(1.0, 0.1)))[0].severity is Severity.HINT


def test_a_small_layer_that_is_left_out_explains_no_loss():
    parameters = {"body.weight": a_parameter("body", shape=[40, 4]), "head.weight": unused()}
    assert unused_parameters(a_run(parameters, [1.0] * 100))[0].severity is Severity.HINT
    assert unused_parameters(a_run(parameters, [1.0] * 100), share=0.09)[0].severity is Severity.HARM


def test_frozen_parameters_and_those_that_no_optimiser_owns_are_fine():
    body = {"body.weight": a_parameter("body")}
    assert not unused_parameters(a_run(body | {"head.weight": unused(trainable=False)}))
    assert not unused_parameters(a_run(body | {"head.weight": unused(optimizer=None)}))
    assert not unused_parameters(a_run(body))


def test_few_steps_say_nothing():
    assert not unused_parameters(a_run({"head.weight": unused()}, sampled=4))
    assert not unused_parameters(a_run({"head.weight": unused()}, steps=4))
    assert unused_parameters(a_run({"head.weight": unused()}, sampled=4), patience=4)


def test_a_run_without_facts_has_nothing_to_find():
    assert not unused_parameters(made())
    assert not unused_parameters(made(parameters={"head.weight": unused()}, steps=100))
