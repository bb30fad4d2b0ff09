"""Signals of the loss and of the score. The observer fills them as losses are computed: they have no tensor to read."""

from __future__ import annotations

from ..core import Moment, Reading, Training, signal


@signal(at=Moment.LOSS, unit="loss")
def loss(training: Training) -> Reading | None:
    """The scalar that backward starts from, at every step (GradScaler's factor taken out; mean over accumulated batches).

    The place is `""`; where several losses are used (as in a GAN) each further one has its line `file:line` as place.
    """
    if training.loss is None:
        return None
    return ("",), training.loss.detach().reshape(1)


@signal(at=Moment.LOSS, unit="loss")
def valid_loss(training: Training) -> Reading | None:
    """The same loss evaluated without gradient: the mean of each pass between two training steps."""
    return _noted(training, "valid_loss")


@signal(at=Moment.LOSS, unit="loss")
def constant_loss(training: Training) -> Reading | None:
    """The loss of the best constant prediction, from the targets of all sampled steps so far."""
    return _noted(training, "constant_loss")


@signal(at=Moment.LOSS, unit="share")
def accuracy(training: Training) -> Reading | None:
    """Share of the training batch whose highest output is the label (classification losses only)."""
    return _noted(training, "accuracy")


@signal(at=Moment.LOSS, unit="share")
def valid_accuracy(training: Training) -> Reading | None:
    """Share of right answers over each validation pass (classification losses only)."""
    return _noted(training, "valid_accuracy")


def _noted(training: Training, name: str) -> Reading | None:
    """What the observer noted under `name` when the loss function was called."""
    import torch

    value = training.memory.pop(name, None)
    if not isinstance(value, int | float):
        return None
    return ("",), torch.tensor([float(value)])
