import pytest
import torch
from torch import nn

import trainwright as tw
from trainwright.core import Severity
from trainwright.rules.eval_mode_in_training import eval_mode_in_training
from trainwright.signals import constant_loss, loss, valid_loss

from .builder import HERE, a_module, falling, made, series

STUCK, WELL = [1.0] * 100, falling(1.0, 0.1)


def a_run(losses=STUCK, kind="BatchNorm1d", valid=None, **facts):
    known = {
        "eval_from": 0,
        "eval_steps": 20,
        "eval_during_training": ["", "norm"],
        "modules": {"": a_module("Net", 2), "norm": a_module(kind)},
        "steps": 100,
    }
    read = {loss: series(losses), constant_loss: series([1.0], [0])}
    if valid is not None:
        read[valid_loss] = series(valid, range(4, 100, 5))
    return made(read, **(known | facts))


@pytest.mark.parametrize("kind", ["BatchNorm2d", "Dropout", "SyncBatchNorm"])
def test_a_model_that_learns_nothing_in_evaluation_mode_is_harm_at_the_layer(kind):
    (finding,) = eval_mode_in_training(a_run(kind=kind))
    assert finding.severity is Severity.HARM
    assert kind in finding.message
    assert finding.where[0] == ("norm", None, HERE["file"], HERE["line"])
    assert finding.steps == (0, 99)


def test_one_that_learns_is_a_hint():
    (finding,) = eval_mode_in_training(a_run(WELL))
    assert finding.severity is Severity.HINT


def test_one_that_overfits_or_runs_away_is_harm():
    valid = [1.0, 0.6, 0.5, *(0.5 + 0.1 * i for i in range(17))]
    assert eval_mode_in_training(a_run(WELL, valid=valid))[0].severity is Severity.HARM
    assert eval_mode_in_training(a_run(WELL, valid=[0.5] * 20))[0].severity is Severity.HINT
    assert eval_mode_in_training(a_run([1.0] * 50 + [90.0] * 50))[0].severity is Severity.HARM


def test_layers_to_which_the_mode_is_all_the_same_are_fine():
    assert not eval_mode_in_training(a_run(kind="LayerNorm"))


def test_single_layers_in_evaluation_mode_are_fine():
    assert not eval_mode_in_training(a_run(eval_from=None, eval_steps=0))


def test_few_steps_say_nothing():
    assert not eval_mode_in_training(a_run(eval_steps=4))
    assert eval_mode_in_training(a_run(eval_steps=4), patience=4)


def test_fine_tuning_is_a_hint_unless_the_mode_slipped_in_later():
    loaded = [{"module": "", "site": HERE, "matched": 5, "missing": [], "unexpected": []}]
    assert eval_mode_in_training(a_run(loaded=loaded))[0].severity is Severity.HINT
    (finding,) = eval_mode_in_training(a_run(loaded=loaded, eval_from=10))
    assert finding.severity is Severity.HARM
    assert "since step 10" in finding.message


def test_of_a_second_training_the_steps_are_its_own():
    assert eval_mode_in_training(a_run(restarts=[50], eval_from=60))[0].steps == (10, 99)


def test_a_run_without_facts_has_nothing_to_find():
    assert not eval_mode_in_training(made())


def training(mode_of):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)
    for step in range(10):
        net.eval()
        nn.functional.mse_loss(net(torch.ones(4, 4)), torch.zeros(4, 1))  # a look at it, with gradient
        net.train(mode_of(step))
        sgd.zero_grad()
        nn.functional.mse_loss(net(torch.randn(8, 4)), torch.randn(8, 1)).backward()
        sgd.step()
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


@pytest.mark.parametrize(
    ("mode_of", "steps", "since"),
    [(lambda step: True, 0, None), (lambda step: step < 4, 6, 4), (lambda step: step > 6, 7, None)],
    ids=["train", "left on", "switched back"],
)
def test_the_mode_is_that_of_the_backward_pass_and_looking_changes_nothing(mode_of, steps, since):
    plain = training(mode_of)
    with tw.watch(overhead=100.0) as watch:
        watched = training(mode_of)
    facts = watch.run().facts
    assert (facts["eval_steps"], facts["eval_from"]) == (steps, since)
    assert torch.equal(plain, watched)
