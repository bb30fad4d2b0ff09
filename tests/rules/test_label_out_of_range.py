import contextlib

import pytest
import torch
from torch import nn

import trainwright as tw
from trainwright.core import Severity
from trainwright.rules.label_out_of_range import label_out_of_range

from .builder import HERE, a_loss, made


def found(low, high, classes=4, **known):
    refused = {"kind": "cross_entropy", "site": HERE, "step": 0, "ignored": -100}
    refused |= {"low": low, "high": high, "classes": classes}
    return label_out_of_range(made(refused_labels=refused, **({"steps": 0} | known)))


def test_labels_that_begin_at_1_are_fatal_at_the_losss_line():
    (finding,) = found(1, 4)
    assert finding.severity is Severity.FATAL
    assert finding.where[0][2:] == (HERE["file"], HERE["line"])
    assert "Subtract 1" in finding.fix
    assert (finding.evidence[0].measured, finding.evidence[0].limit) == (4, 3)


def test_what_to_do_follows_from_the_labels():
    assert "`ignore_index=-1`" in found(-1, 3)[0].fix
    assert "10 outputs" in found(0, 9)[0].fix
    assert found(-1, 9)[0].evidence[0].measured == -1


def test_cudas_assertion_is_a_hint_where_classes_are_told_apart():
    said = {"exception": "AcceleratorError: CUDA error: device-side assert triggered", "steps": 3}
    (finding,) = label_out_of_range(made(losses=[a_loss("cross_entropy", classes=4)], **said))
    assert finding.severity is Severity.HINT
    assert finding.steps == (3, 3)
    assert not label_out_of_range(made(losses=[a_loss("mse_loss")], **said))
    assert not label_out_of_range(made(losses=[a_loss("cross_entropy", classes=4)], steps=3))


def test_a_run_without_facts_has_nothing_to_find():
    assert not label_out_of_range(made())


def training(labels_of, ignore=-100, shape=(8, 3)):
    """Five steps, of which one is refused; the weights at the end."""
    torch.manual_seed(0)
    net = nn.Linear(3, 3)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss(ignore_index=ignore)
    for step in range(5):
        sgd.zero_grad()
        with contextlib.suppress(IndexError, ValueError, RuntimeError):
            criterion(net(torch.randn(shape)), labels_of(step)).backward()
            sgd.step()
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def late(step):
    return torch.tensor([0, 1, 2, 0, 1, 2, 0, 5 if step == 3 else 1])


def watched(*args, **kwargs):
    with tw.watch(overhead=100.0) as watch:
        weights = training(*args, **kwargs)
    return watch.run().facts["refused_labels"], weights


def test_the_labels_that_were_refused_are_noted_and_watching_changes_nothing():
    plain = training(late)
    refused, weights = watched(late)
    assert (refused["low"], refused["high"], refused["classes"], refused["step"]) == (0, 5, 3, 3)
    assert refused["site"]["file"] == __file__
    assert torch.equal(plain, weights)


@pytest.mark.parametrize(
    "labels_of",
    [
        lambda step: torch.zeros(7, dtype=torch.long),  # another batch size
        lambda step: torch.zeros(8, 3, dtype=torch.int32),
        lambda step: torch.full((8,), 1),
    ],
    ids=["size", "dtype", "good"],
)
def test_what_is_refused_for_another_reason_is_not_its_matter(labels_of):
    assert watched(labels_of)[0] is None


def test_the_ignored_label_is_no_label():
    assert watched(lambda step: torch.tensor([9, 1, 2, 0, 1, 2, 0, 1]), ignore=9)[0] is None
    refused, _ = watched(lambda step: torch.tensor([9, 1, 2, 0, 1, 2, 0, -1]), ignore=9)
    assert (refused["low"], refused["high"], refused["ignored"]) == (-1, 2, 9)
