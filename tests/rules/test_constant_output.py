import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules.constant_output import constant_output
from trainwright.signals import constant_loss, loss, majority_share, prediction_spread

from .builder import a_loss, a_tensor, falling, made, series

READ = [0, 1, 2, 4, 8, 16, 32, 64]


def a_run(spread, losses=(1.0,) * 100, share=None, constant=1.0, known=None, **facts):
    signals = {loss: series(losses), prediction_spread: series([1.0, *[spread] * 7], READ)}
    if constant is not None:
        signals[constant_loss] = series([constant] * len(losses))
    if share is not None:
        signals[majority_share] = series([share] * 8, READ)
    known = known or a_loss("mse_loss", target_range=[-3.0, 3.0])
    return made(signals, losses=[known], steps=len(losses), **{"targets": a_tensor(0.0, 1.0), **facts})


def severity(*args, **kwargs):
    findings = constant_output(a_run(*args, **kwargs))
    return findings[0].severity if findings else None


CLASSES = a_loss("cross_entropy", classes=10, target_range=[0.0, 9.0])


def test_one_answer_for_all_inputs_with_the_loss_of_a_constant_is_harm():
    (finding,) = constant_output(a_run(0.0))
    assert finding.severity is Severity.HARM
    assert finding.steps == (16, 64)


def test_it_is_fine_while_the_loss_falls_or_beats_a_constant():
    assert severity(0.0, falling(3.0, 1.2)) is None
    assert severity(0.0, [0.5] * 100) is None


def test_both_sides_of_the_limit_in_units_of_the_targets_spread():
    assert severity(0.021) is None
    assert severity(0.019) is Severity.HARM
    assert severity(0.021, targets=a_tensor(50.0, 40.0, feature_std=[2.0, 2.0])) is Severity.HARM


def test_one_class_for_all_samples_is_harm_though_logits_vary():
    assert severity(0.5, share=1.0, known=CLASSES) is Severity.HARM
    assert severity(0.5, share=0.98, known=CLASSES) is None


def test_the_majority_class_is_a_fine_answer_where_the_loss_beats_a_constant():
    assert severity(0.5, [0.2] * 100, share=1.0, known=CLASSES, constant=0.3) is None


def test_a_language_model_that_still_answers_with_its_most_frequent_word_is_fine_while_it_learns():
    assert severity(0.5, falling(10.8, 7.5), share=1.0, known=CLASSES, constant=6.5) is None


def test_without_a_reference_only_an_exact_constant_is_a_hint():
    assert severity(1e-6, constant=None) is Severity.HINT
    assert severity(1e-3, constant=None) is None


def test_targets_that_do_not_vary_have_a_constant_answer():
    assert severity(0.0, known=a_loss("mse_loss", target_range=[1.0, 1.0])) is None


def test_several_losses_and_losses_of_your_own_are_not_judged():
    run = a_run(0.0)
    run.facts["losses"].append(a_loss("mse_loss", target_range=[0.0, 1.0]))
    assert not constant_output(run)
    assert severity(0.0, known=a_loss("custom"), constant=None) is None


@pytest.mark.parametrize("readings", [1, 3])
def test_early_readings_are_too_few(readings):
    signals = {loss: series(np.ones(60)), constant_loss: series(np.ones(60))}
    signals[prediction_spread] = series([0.0] * readings, READ[:readings])
    known = a_loss("mse_loss", target_range=[-3.0, 3.0])
    assert not constant_output(made(signals, losses=[known], targets=a_tensor(), steps=60))


@pytest.mark.parametrize(("step", "expected"), [(5, None), (70, Severity.HARM)])
def test_where_all_is_nan_one_class_for_all_is_no_finding_of_its_own(step, expected):
    assert severity(0.0, non_finite={"step": step, "handled": False}) is expected
