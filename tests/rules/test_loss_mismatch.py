import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules.loss_mismatch import loss_mismatch
from trainwright.signals import constant_loss, loss

from .builder import HERE, a_loss, a_tensor, falling, made, series


def found(kind, low, high, losses=None, targets=None, **known):
    read = {} if losses is None else {loss: series(losses), constant_loss: series([1.0], [0])}
    facts = a_loss(kind, target_range=[float(low), float(high)], **({"target_integers": True} | known))
    return loss_mismatch(made(read, losses=[facts], targets=targets, steps=100))


@pytest.mark.parametrize("kind", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
@pytest.mark.parametrize(("low", "high"), [(1, 2), (-1, 1), (0, 9), (0, 255)])
def test_a_logistic_loss_takes_targets_from_0_to_1(kind, low, high):
    (finding,) = found(kind, low, high)
    assert finding.severity is Severity.HARM
    assert f"from {low} to {high}" in finding.message
    assert finding.where[0][2:] == (HERE["file"], HERE["line"])
    assert not found(kind, 0, 1)
    assert not found(kind, -0.04, 1.04)
    assert found(kind, -0.06, 1.0)


def test_cross_entropy_takes_probabilities_or_class_numbers():
    assert not found("cross_entropy", 0, 9, target_dtype="int64", classes=10)
    assert found("cross_entropy", -2, 2, target_dtype="float32", classes=10)[0].severity is Severity.HARM


def test_counts_are_not_negative():
    assert found("poisson_nll_loss", -1, 8)[0].severity is Severity.HARM
    assert not found("poisson_nll_loss", 0, 8)


@pytest.mark.parametrize("kind", ["soft_margin_loss", "hinge_embedding_loss"])
def test_a_loss_for_1_and_minus_1_gets_nothing_from_0(kind):
    assert found(kind, 0, 1)[0].severity is Severity.HARM
    assert not found(kind, -1, 1)


def test_several_labels_under_one_softmax_are_a_hint_and_harm_where_nothing_is_learned():
    rows = {"target_dtype": "float32", "classes": 4, "targets": a_tensor(feature_mean=[0.5, 0.5, 0.4, 0.3])}
    assert found("cross_entropy", 0, 1, falling(1.0, 0.1), **rows)[0].severity is Severity.HINT
    (finding,) = found("cross_entropy", 0, 1, [1.0] * 100, **rows)
    assert finding.severity is Severity.HARM
    assert finding.evidence[0].measured == pytest.approx(1.7)
    rows["targets"] = a_tensor(feature_mean=[0.25] * 4)
    assert not found("cross_entropy", 0, 1, [1.0] * 100, **rows)


def numbers(values):
    return a_tensor(float(np.mean(values)), float(np.std(values)))


def test_evenly_spread_class_numbers_are_a_hint_and_harm_where_nothing_is_learned():
    digits = {"targets": numbers(range(10)), "input_shape": [64, 1]}
    (finding,) = found("mse_loss", 0, 9, falling(1.0, 0.1), **digits)
    assert finding.severity is Severity.HINT
    assert "10 classes" in finding.message
    assert found("mse_loss", 0, 9, [1.0] * 100, **digits)[0].severity is Severity.HARM


def test_counts_and_amounts_are_no_class_numbers():
    counts = numbers(np.random.default_rng(0).poisson(3.0, 500))
    assert not found("mse_loss", 0, 9, [1.0] * 100, targets=counts, input_shape=[64, 1])
    half = numbers(np.arange(0, 9.5, 0.5))
    assert not found("mse_loss", 0, 9, [1.0] * 100, targets=half, input_shape=[64, 1], target_integers=False)
    assert not found("mse_loss", 0, 1, targets=numbers([0, 1]), input_shape=[64, 1])
    assert not found("mse_loss", 0, 9, targets=numbers(range(10)), input_shape=[64, 10])


def test_a_run_without_facts_has_nothing_to_find():
    assert not loss_mismatch(made())
    assert not loss_mismatch(made(losses=[a_loss("binary_cross_entropy"), a_loss("custom")]))
