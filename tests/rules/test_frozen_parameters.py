from math import sqrt

import pytest
import torch
from torch import nn

import trainwright as tw
from trainwright.core import Severity
from trainwright.rules.frozen_parameters import frozen_parameters
from trainwright.signals import constant_loss, loss

from .builder import HERE, a_module, a_parameter, falling, made, series

DRAWN = 1 / sqrt(3 * 32)
"""The spread of a fresh linear layer of 32 inputs."""


def frozen(module="body", std=DRAWN, shape=(32, 32), **known):
    facts = {"shape": list(shape), "initial_std": std, "trainable": False, "got_gradient": False}
    return a_parameter(module, None, **(facts | known))


def a_run(parameters, losses=None, **facts):
    modules = {"": a_module("Net", 2), "body": a_module("Linear"), "head": a_module("Linear")}
    known = {
        "parameters": {"head.weight": a_parameter("head"), **parameters},
        "modules": modules,
        "steps": 100,
    }
    read = {} if losses is None else {loss: series(losses), constant_loss: series([1.0], [0])}
    return made(read, **(known | facts))


def test_a_random_part_that_is_frozen_is_a_hint_and_harm_where_nothing_is_learned():
    (finding,) = frozen_parameters(a_run({"body.weight": frozen()}))
    assert finding.severity is Severity.HINT
    assert finding.where[0] == ("body", "body.weight", HERE["file"], HERE["line"])
    assert "`body`" in finding.fix
    (finding,) = frozen_parameters(a_run({"body.weight": frozen()}, [1.0] * 100))
    assert finding.severity is Severity.HARM
    (finding,) = frozen_parameters(a_run({"body.weight": frozen()}, falling(1.0, 0.1)))
    assert finding.severity is Severity.HINT


@pytest.mark.parametrize("std", [DRAWN * 1.1, DRAWN * 0.9, 0.0, None])
def test_a_part_with_another_spread_has_learned_something(std):
    assert not frozen_parameters(a_run({"body.weight": frozen(std=std)}))


def test_what_is_trained_is_not_frozen():
    assert not frozen_parameters(a_run({"body.weight": frozen(trainable=True)}))
    assert not frozen_parameters(a_run({"body.weight": frozen(got_gradient=True)}))


def test_a_normalisation_layer_that_has_moved_says_that_the_part_was_trained():
    modules = {"": a_module("Net", 2), "body": a_module("Linear"), "norm": a_module("BatchNorm1d")}
    for std, found in ((0.0, 1), (0.02, 0)):
        parameters = {"body.weight": frozen(), "norm.weight": frozen("norm", std, [32])}
        assert len(frozen_parameters(a_run(parameters, modules=modules))) == found


@pytest.mark.parametrize("module", ["body", "", "Linear"])
def test_a_part_into_which_weights_were_loaded_is_fine(module):
    entry = {"module": module, "site": HERE, "matched": 2, "missing": [], "unexpected": []}
    assert not frozen_parameters(a_run({"body.weight": frozen()}, loaded=[entry]))
    assert frozen_parameters(a_run({"body.weight": frozen()}, loaded=[entry | {"matched": 0}]))
    assert frozen_parameters(a_run({"body.weight": frozen()}, loaded=[entry | {"module": "head"}]))


def test_what_an_earlier_training_may_have_trained_is_fine():
    assert not frozen_parameters(a_run({"body.weight": frozen()}, restarts=[50]))


def test_weights_of_which_most_are_not_as_drawn_are_fine():
    parameters = {"body.weight": frozen(), "body.other": frozen(std=DRAWN * 2)}
    assert not frozen_parameters(a_run(parameters))
    assert frozen_parameters(a_run(parameters), share=0.4)


def test_few_values_say_nothing():
    assert not frozen_parameters(a_run({"body.weight": frozen(shape=(4, 3), std=1 / 3)}))


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(64, 64), nn.Conv2d(8, 16, 3), nn.LSTM(32, 32), nn.GRU(32, 32), nn.Embedding(64, 64)],
    ids=str,
)
def test_the_start_of_torchs_own_layers_is_known(layer):
    torch.manual_seed(0)
    layer.reset_parameters()
    parameters = {
        f"body.{name}": frozen("body", float(p.detach().std(correction=0)), p.shape)
        for name, p in layer.named_parameters()
    }
    modules = {"body": a_module(type(layer).__name__), "head": a_module("Linear")}
    (finding,) = frozen_parameters(a_run(parameters, modules=modules))
    assert finding.evidence[0].measured == 1


def two_phases(freeze_late):
    """A part that is frozen once the optimiser is there, or between two phases with gradients left over."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)
    for step in range(12):
        if step == (0 if freeze_late else 6):
            net[0].requires_grad_(False)
        net(torch.randn(8, 32)).square().mean().backward()
        sgd.step()
        sgd.zero_grad(set_to_none=False)


def test_freezing_after_the_optimiser_was_built_is_seen_and_after_training_it_is_not_reported():
    with tw.watch(overhead=100.0) as watch:
        two_phases(freeze_late=True)
    assert not watch.run().facts["parameters"]["0.weight"]["trainable"]
    assert frozen_parameters(watch.run())
    with tw.watch(overhead=100.0) as watch:
        two_phases(freeze_late=False)
    assert watch.run().facts["parameters"]["0.weight"]["got_gradient"]
    assert not frozen_parameters(watch.run())


def test_a_run_without_facts_has_nothing_to_find():
    assert not frozen_parameters(made())
