import numpy as np

from trainwright.core import Severity
from trainwright.rules.overfitting import overfitting
from trainwright.signals import loss, valid_accuracy, valid_loss

from .builder import HERE, a_loss, falling, made, series

PASSES = np.arange(9, 200, 10)
RISING = np.concatenate([np.linspace(1.0, 0.5, 8), np.linspace(0.52, 0.9, 12)])


def a_run(valid, train=None, accuracy=None):
    signals = {
        loss: series(falling(1.0, 0.01, 200) if train is None else train),
        valid_loss: series(valid, PASSES[: len(valid)]),
    }
    if accuracy is not None:
        signals[valid_accuracy] = series(accuracy, PASSES[: len(accuracy)])
    return made(signals, losses=[a_loss("mse_loss")], steps=200)


def severity(*args, **kwargs):
    findings = overfitting(a_run(*args, **kwargs))
    return findings[0].severity if findings else None


def test_a_validation_loss_that_rises_while_training_improves_is_harm_from_its_lowest_on():
    (finding,) = overfitting(a_run(RISING))
    assert finding.severity is Severity.HARM
    assert finding.steps == (79, 199)
    assert "step 79" in finding.message
    assert finding.where[0][2:] == (HERE["file"], HERE["line"])


def test_a_validation_loss_below_the_training_loss_is_normal():
    assert severity(falling(0.8, 0.005, 20)) is None


def test_a_validation_loss_that_levels_off_is_fine():
    assert severity(np.concatenate([np.linspace(1.0, 0.5, 8), np.full(12, 0.5)])) is None


def test_noise_on_a_plateau_is_no_rise():
    """Of 300 noisy plateaus none is taken for overfitting."""
    random = np.random.default_rng(0)
    plateaus = (0.5 + 0.5 * np.exp(-np.arange(20) / 3) + 0.1 * random.standard_normal(20) for _ in range(300))
    assert sum(severity(plateau) is not None for plateau in plateaus) == 0


def test_slow_random_swings_are_seldom_a_rise():
    """Noise of 10 %, 0.7 of it carried over from pass to pass: at most 3 % are taken for overfitting."""
    random = np.random.default_rng(0)

    def plateau():
        noise = random.standard_normal(20)
        for i in range(1, 20):
            noise[i] = 0.7 * noise[i - 1] + 0.51**0.5 * noise[i]
        return 0.5 + 0.5 * np.exp(-np.arange(20) / 3) + 0.05 * noise

    assert sum(severity(plateau()) is not None for _ in range(200)) <= 6


def test_a_training_loss_that_rises_too_is_not_overfitting():
    assert severity(RISING, train=np.linspace(0.5, 2.0, 200)) is None


def test_fewer_than_five_passes_since_the_lowest_are_too_few():
    late = np.concatenate([np.linspace(1.0, 0.5, 14), [0.6, 0.7, 0.8]])
    assert severity(late) is None
    assert severity(np.concatenate([late, [0.9, 1.0, 1.1]])) is Severity.HARM


def test_both_sides_of_the_rise():
    def to(end):
        return np.concatenate([np.linspace(1.0, 0.5, 8), np.linspace(0.5, end, 12)])

    assert severity(to(0.54)) is None
    assert severity(to(0.58)) is Severity.HARM


def test_right_answers_that_stay_make_it_a_hint_and_that_fall_harm():
    rising = np.linspace(0.6, 0.9, 20)
    assert severity(RISING, accuracy=rising) is Severity.HINT
    falls = np.concatenate([np.linspace(0.6, 0.9, 8), np.linspace(0.9, 0.8, 12)])
    assert severity(RISING, accuracy=falls) is Severity.HARM


def test_a_single_validation_pass_says_nothing():
    assert severity([0.5]) is None


def test_a_validation_loss_that_is_not_finite_is_not_its_matter():
    assert severity([*RISING[:-1], np.inf]) is None
