from math import log

import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules.bad_initial_loss import bad_initial_loss
from trainwright.signals import constant_loss, loss, prediction_scale

from .builder import a_loss, a_parameter, a_tensor, falling, made, series


def a_run(losses, scale, constant, known, **facts):
    return made(
        {
            loss: series(losses),
            prediction_scale: series([scale], [0]),
            constant_loss: series([constant] * len(losses)),
        },
        losses=[known],
        parameters={"net.0.weight": a_parameter("net.0"), "net.2.weight": a_parameter("net.2")},
        steps=len(losses),
        **facts,
    )


def classes(losses, scale=8.0, of=10, **known):
    return a_run(losses, scale, log(of), a_loss("cross_entropy", classes=of, **known))


def severity(run):
    findings = bad_initial_loss(run)
    return findings[0].severity if findings else None


def test_a_first_loss_far_above_chance_is_harm_while_it_stays_above():
    (finding,) = bad_initial_loss(classes(falling(40, 5)))
    assert finding.severity is Severity.HARM
    assert finding.where[0].parameter == "net.2.weight"
    assert "still above that at step 99" in finding.message


def test_it_is_a_hint_once_the_loss_has_come_below():
    losses = falling(40, 0.3)
    (finding,) = bad_initial_loss(classes(losses))
    assert finding.severity is Severity.HINT
    assert finding.steps == (0, int(np.argmax(losses < log(10))))


def test_it_is_a_hint_while_too_little_was_seen():
    assert severity(classes([40.0] * 10)) is Severity.HINT


def test_the_logarithm_of_the_vocabulary_is_right_for_a_language_model():
    assert severity(classes(falling(10.9, 9.0), of=50257)) is None


def test_both_sides_of_the_limit():
    assert severity(classes([2 * log(10) - 0.01] * 40)) is None
    assert severity(classes([2 * log(10) + 0.01] * 40)) is Severity.HARM


def test_small_logits_are_not_to_blame_for_a_loss_with_further_terms():
    assert severity(classes([40.0] * 40, scale=0.3)) is None


def test_large_targets_with_small_outputs_are_not_its_matter():
    run = a_run(falling(1e6, 1e6), 0.3, 1e4, a_loss("mse_loss"), targets=a_tensor(1000.0, 100.0))
    assert severity(run) is None


def test_oversized_outputs_of_a_regression_are_harm_while_it_stays_above():
    known, targets = a_loss("mse_loss"), a_tensor(0.0, 1.0)
    assert severity(a_run(falling(900, 40), 30.0, 1.0, known, targets=targets)) is Severity.HARM
    assert severity(a_run(falling(900, 40), 9.0, 1.0, known, targets=targets)) is None


def test_imbalanced_yes_or_no_starts_at_ln_2_whatever_a_constant_scores():
    known = a_loss("binary_cross_entropy_with_logits")
    assert severity(a_run(falling(0.7, 0.05), 0.3, 0.05, known)) is None
    assert severity(a_run(falling(7.0, 2.0), 9.0, 0.05, known)) is Severity.HARM


@pytest.mark.parametrize("known", [{"reduction": "sum"}, {"reduction": "none"}])
def test_sums_over_the_batch_are_not_judged(known):
    assert severity(classes([400.0] * 40, **known)) is None


def test_a_weighted_logistic_loss_is_not_judged():
    known = a_loss("binary_cross_entropy_with_logits", extra={"weighted": True})
    assert severity(a_run([7.0] * 40, 9.0, 0.05, known)) is None


def test_a_loss_made_of_several_is_not_judged():
    run = classes([40.0] * 40)
    run.facts["losses"].append(a_loss("mse_loss"))
    assert severity(run) is None


def test_a_first_loss_that_is_not_finite_is_not_its_matter():
    assert severity(classes([np.inf] * 40)) is None
