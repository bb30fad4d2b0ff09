import re

import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules.stopped_too_early import stopped_too_early
from trainwright.rules.verdict import verdict
from trainwright.signals import learning_rate, loss, valid_loss

from .builder import HERE, a_loss, made, series


def a_run(losses, valid=None, rates=None, **facts):
    signals = {loss: series(losses)}
    if valid is not None:
        signals[valid_loss] = series(valid, np.linspace(0, len(losses) - 1, len(valid)).astype(int))
    if rates is not None:
        signals[learning_rate] = series({"0": rates})
    return made(signals, losses=[a_loss("mse_loss")], **{"steps": len(losses), **facts})


def decaying(steps, pace, seed=0, noise=0.02):
    """From 2 to 0.5, at so many steps a factor of e, with noise."""
    random = np.random.default_rng(seed)
    return 0.5 + 1.5 * np.exp(-np.arange(steps) / pace) + noise * random.standard_normal(steps)


def test_a_loss_that_still_falls_at_the_end_is_a_hint():
    (finding,) = stopped_too_early(a_run(decaying(200, 150)))
    assert finding.severity is Severity.HINT
    assert finding.where[0][2:] == (HERE["file"], HERE["line"])
    assert "another 65 steps" in finding.message
    assert "no validation loss" in finding.message


def test_the_estimate_is_of_the_right_size():
    """Of 50 noisy exponential decays at least 45 promises are within a third of the fall that comes."""
    from_here, to = (0.5 + 1.5 * np.exp(-at / 150) for at in (195, 265))
    errors = []
    for seed in range(50):
        (finding,) = stopped_too_early(a_run(decaying(200, 150, seed)))
        about = float(re.search(r"to about (\S+) ", finding.message).group(1))
        errors.append(abs(about - to) / (from_here - to))
    assert np.sort(errors)[44] < 1 / 3, np.sort(errors)[40:]


def test_a_loss_that_has_levelled_off_is_fine():
    assert not stopped_too_early(a_run(decaying(400, 20)))


def test_the_validation_loss_decides_where_it_is_known():
    falling, flat = decaying(200, 150), np.full(10, 0.7)
    assert not stopped_too_early(a_run(falling, flat))
    (finding,) = stopped_too_early(a_run(falling, np.linspace(2.0, 1.0, 10)))
    assert "validation loss still falls" in finding.message


def test_no_loss_below_zero_is_promised_where_none_was_seen():
    losses = np.concatenate([np.full(60, 1.0), np.linspace(1.0, 0.1, 60)])
    (finding,) = stopped_too_early(a_run(losses))
    assert "to about 0 " in finding.message


def test_a_schedule_that_has_run_out_is_named():
    assert "run out" in stopped_too_early(a_run(decaying(200, 150), rates=np.linspace(0.1, 0.0, 200)))[0].fix
    assert "run out" not in stopped_too_early(a_run(decaying(200, 150), rates=np.full(200, 0.1)))[0].fix


@pytest.mark.parametrize("pace", [10, 40, 80, 150, 400])
@pytest.mark.parametrize("steps", [8, 59, 100, 300])
@pytest.mark.parametrize("passes", [0, 5, 12])
def test_it_agrees_with_the_verdict(pace, steps, passes):
    run = a_run(decaying(steps, pace), decaying(passes, pace / 10, 1) if passes else None)
    found = stopped_too_early(run)
    assert bool(found) == (verdict(run, found).kind == "still-improving")


def test_several_losses_promise_nothing():
    losses = decaying(200, 150)
    run = made({loss: series({"": losses, "g.py:3": losses})}, losses=[], steps=200)
    assert not stopped_too_early(run)
