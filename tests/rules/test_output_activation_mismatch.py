import pytest

from trainwright.core import Severity
from trainwright.rules.output_activation_mismatch import output_activation_mismatch
from trainwright.signals import constant_loss, loss

from .builder import a_loss, a_tensor, made, series

STUCK = {loss: series([1.0] * 40), constant_loss: series([1.0] * 40)}


def severity(signals=None, targets=None, **known):
    findings = output_activation_mismatch(made(signals, losses=[a_loss(**known)], targets=targets, steps=40))
    return findings[0].severity if findings else None


@pytest.mark.parametrize(
    ("made_by", "span", "mean", "std"),
    [
        ("relu", [-3.0, 3.0], 0.0, 1.0),
        ("sigmoid", [0.0, 255.0], 120.0, 60.0),
        ("tanh", [-6.0, 6.0], 0.0, 2.0),
    ],
)
def test_targets_mostly_out_of_reach_are_harm(made_by, span, mean, std):
    assert (
        severity(targets=a_tensor(mean, std), kind="mse_loss", input_from=made_by, target_range=span)
        is Severity.HARM
    )


@pytest.mark.parametrize(
    ("made_by", "span"),
    [
        ("relu", [0.0, 50.0]),  # counts
        ("sigmoid", [0.0, 1.0]),  # pictures
        ("tanh", [-1.0, 1.0]),
        ("tanh", [-1.05, 1.05]),
        ("linear", [-9.0, 9.0]),
        ("leaky_relu", [-9.0, 9.0]),
        (None, [-9.0, 9.0]),
        ("relu", [-1.0, -1.0]),  # targets that do not vary, as a GAN's
    ],
)
def test_targets_within_reach_are_fine(made_by, span):
    assert severity(targets=a_tensor(0, 1), kind="mse_loss", input_from=made_by, target_range=span) is None


def test_a_few_targets_out_of_reach_are_a_hint_unless_the_loss_is_stuck():
    known = {
        "kind": "l1_loss",
        "input_from": "relu",
        "target_range": [-2.0, 8.0],
        "targets": a_tensor(5.0, 1.0),
    }
    assert severity(**known) is Severity.HINT
    assert severity(STUCK, **known) is Severity.HARM


def test_without_statistics_of_targets_half_of_their_span_must_be_out_of_reach():
    assert severity(kind="mse_loss", input_from="relu", target_range=[-4.0, 6.0]) is Severity.HINT
    assert severity(kind="mse_loss", input_from="relu", target_range=[-6.0, 4.0]) is Severity.HARM


def test_both_sides_of_the_limit():
    assert severity(kind="mse_loss", input_from="relu", target_range=[-1.0, 9.0]) is None
    assert severity(kind="mse_loss", input_from="relu", target_range=[-1.1, 8.9]) is Severity.HINT


def test_a_softmax_over_one_unit_cannot_train():
    assert severity(kind="mse_loss", input_from="softmax", input_range=[1.0, 1.0]) is Severity.FATAL
    assert (
        severity(kind="binary_cross_entropy", input_from="softmax", input_range=[1.0, 1.0]) is Severity.FATAL
    )
    assert severity(kind="cross_entropy", classes=1) is Severity.FATAL
    assert severity(kind="binary_cross_entropy", input_from="softmax", input_range=[0.1, 0.9]) is None


def test_numbers_above_zero_are_no_log_probabilities():
    known = {"kind": "nll_loss", "classes": 10, "input_from": "linear"}
    assert severity(input_range=[-3.0, 2.0], **known) is Severity.HARM
    assert severity(input_range=[-30.0, 0.0], **known) is None
    assert (
        severity(kind="kl_div", input_from="softmax", input_range=[0.0, 0.9], sums_to_one=True)
        is Severity.HARM
    )
    assert (
        severity(kind="kl_div", input_from="log_softmax", input_range=[-9.0, 0.0], sums_to_one=False) is None
    )


@pytest.mark.parametrize("made_by", ["sigmoid", "tanh"])
def test_bounded_logits_of_several_classes_are_harm(made_by):
    assert severity(kind="cross_entropy", classes=10, input_from=made_by) is Severity.HARM


def test_a_relu_before_cross_entropy_is_harm_only_where_the_loss_is_stuck():
    known = {"kind": "cross_entropy", "classes": 10, "input_from": "relu"}
    assert severity(**known) is Severity.HINT
    assert severity(STUCK, **known) is Severity.HARM


def test_a_relu_before_a_logistic_loss_is_harm_where_there_are_negatives():
    known = {"kind": "binary_cross_entropy_with_logits", "input_from": "relu"}
    assert severity(target_range=[0.0, 1.0], **known) is Severity.HARM
    assert severity(target_range=[1.0, 1.0], **known) is None


@pytest.mark.parametrize("kind", ["cross_entropy", "binary_cross_entropy_with_logits", "nll_loss", "custom"])
def test_free_outputs_are_fine(kind):
    assert severity(kind=kind, classes=10, input_from="linear", target_range=[0.0, 1.0]) is None
    assert severity(kind=kind, classes=10, input_from="log_softmax", input_range=[-9.0, 0.0]) is None


def test_features_of_a_relu_compared_with_features_of_a_relu_are_fine():
    assert severity(kind="mse_loss", input_from="relu", target_range=[0.0, 12.0]) is None
