import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules.unscaled_input import unscaled_input
from trainwright.signals import constant_loss, loss

from .builder import HERE, a_module, a_tensor, falling, made, series


def severity(inputs, losses=(1.0,) * 60, first="Linear"):
    signals = {loss: series(losses), constant_loss: series([1.0] * len(losses))}
    modules = {"": a_module("Net", 2), "0": a_module(first), "1": a_module("Linear")}
    findings = unscaled_input(made(signals, inputs=inputs, modules=modules, steps=len(losses)))
    return findings[0].severity if findings else None


MIXED = a_tensor(2e4, 2e4, feature_mean=[4.0, 4e4], feature_std=[1.0, 2e4])


def test_features_far_apart_are_harm_where_the_loss_stays_at_a_constants():
    assert severity(MIXED) is Severity.HARM


def test_they_are_a_hint_where_the_loss_falls_or_is_lower_or_too_little_was_seen():
    assert severity(MIXED, falling(3.0, 1.2)) is Severity.HINT
    assert severity(MIXED, falling(1.0, 0.2)) is Severity.HINT
    assert severity(MIXED, [1.0] * 10) is Severity.HINT


def test_a_loss_that_is_not_finite_is_a_consequence_too():
    assert severity(MIXED, [np.inf] * 60) is Severity.HARM


def test_the_finding_names_the_feature_and_the_first_layer():
    modules = {"": a_module("Net", 1), "0": a_module("Linear")}
    (finding,) = unscaled_input(made(inputs=MIXED, modules=modules, steps=5))
    assert "Feature 1" in finding.message
    assert finding.where == (("0", None, HERE["file"], HERE["line"]),)


@pytest.mark.parametrize(
    "inputs",
    [
        a_tensor(0.0, 1.0, feature_mean=[0.0, 0.1], feature_std=[1.0, 0.9]),
        a_tensor(0.13, 0.31),  # pictures in 0-1
        a_tensor(0.13, 0.31, feature_mean=[0.0, 0.5], feature_std=[0.0, 0.4]),  # a pixel that is always 0
        a_tensor(
            0.3, 0.4, low=0.0, high=1.0, feature_mean=[0.002, 0.7], feature_std=[0.002, 0.4]
        ),  # a rare pixel
        a_tensor(900.0, 300.0, dtype="int64"),  # tokens
        None,
    ],
)
def test_usual_inputs_are_fine_even_where_nothing_is_learned(inputs):
    assert severity(inputs) is None


def test_pixels_of_0_to_255_are_large():
    assert severity(a_tensor(120.0, 70.0)) is Severity.HARM


@pytest.mark.parametrize("first", ["BatchNorm1d", "LayerNorm", "Embedding"])
def test_models_that_begin_with_a_normalisation_or_an_embedding_are_not_judged(first):
    assert severity(MIXED, first=first) is None


def test_both_sides_of_the_limits():
    assert severity(a_tensor(feature_mean=[0.0, 0.0], feature_std=[9.9, 0.1])) is None
    assert severity(a_tensor(feature_mean=[0.0, 0.0], feature_std=[10.1, 1.0])) is Severity.HARM
    assert severity(a_tensor(feature_mean=[0.0, 0.0], feature_std=[5.0, 0.04])) is Severity.HARM
