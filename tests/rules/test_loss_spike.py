import numpy as np

from trainwright.core import Severity
from trainwright.rules.loss_spike import loss_spike
from trainwright.signals import learning_rate, loss

from .builder import HERE, a_loss, falling, made, series


def a_run(losses, rates=None, places=None):
    signals = {loss: series(places or losses)}
    if rates is not None:
        signals[learning_rate] = series({"0": rates})
    return made(signals, losses=[a_loss("mse_loss")], steps=len(losses))


def severity(losses, **kwargs):
    findings = loss_spike(a_run(losses, **kwargs))
    return findings[0].severity if findings else None


def jumping(to, length=200, at=120):
    """Falls from 2 to 0.5 with 2 % noise, and is higher by `to` for `length` steps from `at` on."""
    losses = falling(2.0, 0.5, 200)
    losses[at : at + length] += to
    return losses


def test_a_jump_that_stays_is_harm_and_names_its_step():
    (finding,) = loss_spike(a_run(jumping(2.0)))
    assert finding.severity is Severity.HARM
    assert finding.steps == (120, 199)
    assert "step 120" in finding.message
    assert finding.where[0][2:] == (HERE["file"], HERE["line"])


def test_one_that_comes_back_is_a_hint_that_says_how_long_it_took():
    (finding,) = loss_spike(a_run(jumping(2.0, 20)))
    assert finding.severity is Severity.HINT
    assert "to come back" in finding.message
    assert finding.steps[0] == 120
    assert 134 <= finding.steps[1] <= 142


def test_one_that_is_on_its_way_back_is_a_hint():
    losses = falling(2.0, 0.5, 200)
    losses[120:] += np.linspace(3.0, 1.0, 80)
    assert severity(losses) is Severity.HINT


def test_both_sides_of_a_fifth_of_what_was_gained():
    assert severity(jumping(0.27)) is None
    assert severity(jumping(0.6)) is Severity.HARM


def test_single_bad_batches_are_no_spike():
    losses = falling(2.0, 0.5, 200)
    losses[[60, 90, 91, 92, 150]] = 50.0
    assert severity(losses) is None


def test_heavy_tailed_noise_is_no_spike():
    """Of 300 plateaus with the noise of Student's t (3 degrees) none is an alarm, and 1 % a hint."""
    random = np.random.default_rng(0)
    found = [severity(1 + 0.03 * np.abs(random.standard_t(3, 300))) for _ in range(300)]
    assert found.count(Severity.HARM) == 0
    assert found.count(Severity.HINT) <= 3


def test_a_slow_rise_is_no_spike():
    assert severity(np.concatenate([falling(2.0, 0.5, 100), np.linspace(0.5, 2.0, 300)])) is None


def test_where_the_rate_had_just_risen_it_is_a_hint():
    rates = np.where(np.arange(200) < 118, 0.01, 0.1)
    assert severity(jumping(2.0), rates=rates) is Severity.HINT


def test_losses_below_zero_several_losses_and_short_runs_are_not_judged():
    assert severity(jumping(2.0) - 1) is None
    assert severity(jumping(2.0), places={"": jumping(2.0), "g.py:3": jumping(2.0)}) is None
    assert severity([1.0] * 10 + [9.0] * 10) is None


def test_what_follows_a_loss_that_is_not_finite_is_not_its_matter():
    losses = jumping(2.0, at=199)
    losses[100:] = np.inf
    assert severity(losses) is None
