"""A loss ran away if it ends too high, or came back from a height with nothing learned."""

import numpy as np
import pytest

from trainwright.rules.divergence import diverged
from trainwright.signals import constant_loss, loss

from .builder import made, series


def run_of(losses, constant=1.0):
    return made({loss: series(losses), constant_loss: series(np.full(len(losses), constant))})


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (np.r_[np.ones(30), np.full(30, np.inf)], "is not finite since step 30"),
        (np.r_[np.ones(59), np.inf], "is not finite since step 59"),
        (np.r_[np.ones(20), np.full(40, 2.0)], "is 2 since step 20, while its first value is 1"),
        (np.geomspace(1e6, 1e3, 60), "since step 0, while the best constant prediction's is 1"),
        (np.r_[1.0, 1.0, 70.0, np.ones(57)], "rose to 70 at step 2 and is 1 now, no better than"),
    ],
    ids=["infinite", "infinite at last", "higher", "far above", "back at nothing"],
)
def test_it_says_how(losses, words):
    away = diverged(run_of(losses))
    assert words in away.sentence
    assert away.evidence.measured == away.now


@pytest.mark.parametrize(
    "losses",
    [
        np.geomspace(1, 0.1, 60),
        np.r_[1.0, 1.0, 70.0, np.geomspace(1, 0.1, 57)],
        np.r_[50.0, np.geomspace(2, 0.9, 59)],
        np.r_[np.ones(20), np.inf, np.geomspace(1, 0.1, 39)],
        np.r_[np.inf, np.ones(59)],
        -np.arange(60.0),
        [1, 2, 3],
        [],
    ],
    ids=[
        "falls",
        "came back",
        "large targets",
        "one infinite batch",
        "at once",
        "negative",
        "too few",
        "none",
    ],
)
def test_other_losses_did_not(losses):
    assert diverged(run_of(losses)) is None


def test_without_a_reference_only_a_large_rise_counts():
    losses = np.r_[np.ones(20), np.full(40, 5.0)]
    assert diverged(made({loss: series(losses)})) is None
    assert diverged(made({loss: series(losses * np.r_[np.ones(20), np.full(40, 10.0)])}))
