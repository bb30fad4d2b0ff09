"""Signals of where the training stands."""

from __future__ import annotations

from ..core import Moment, Reading, Training, signal
from .noted import noted


@signal(at=Moment.STEP, unit="learning rate", each_step=True)
def learning_rate(training: Training) -> Reading | None:
    """Learning rate that each parameter group was just stepped with: places `0`, `1`, ... over all
    optimisers."""
    return noted(training, "learning_rate")


@signal(at=Moment.STEP, unit="passes", each_step=True)
def epoch(training: Training) -> Reading | None:
    """Passes of the training data loader begun so far."""
    return noted(training, "epoch")
