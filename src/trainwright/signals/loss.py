"""Signals of the loss and of the score, which the observer notes as losses are computed."""

from __future__ import annotations

from ..core import Moment, Reading, Training, signal
from .noted import noted


@signal(at=Moment.STEP, unit="loss", each_step=True)
def loss(training: Training) -> Reading | None:
    """The scalar that backward starts from, at every step; factors of a scaler or of accumulation are taken
    out.

    The mean over the backwards of one step. The place is `""`; where several losses are used (as in a GAN)
    each further one has its line `file:line` as place.
    """
    return noted(training, "loss")


@signal(at=Moment.STEP, unit="loss", each_step=True)
def valid_loss(training: Training) -> Reading | None:
    """The same loss evaluated without gradient: the mean of each pass between two training steps."""
    return noted(training, "valid_loss")


@signal(at=Moment.STEP, unit="share", each_step=True)
def valid_accuracy(training: Training) -> Reading | None:
    """Share of right answers over each validation pass (classification losses only)."""
    return noted(training, "valid_accuracy")


@signal(at=Moment.STEP, unit="loss")
def constant_loss(training: Training) -> Reading | None:
    """The loss of the best constant prediction, from the targets of all sampled steps so far.

    Read only where the loss that backward starts from is one call of one known function, so that the two
    compare.
    """
    return noted(training, "constant_loss")


@signal(at=Moment.LOSS, unit="share")
def accuracy(training: Training) -> Reading | None:
    """Share of the training batch whose highest output is the label (classification losses only)."""
    return noted(training, "accuracy")
