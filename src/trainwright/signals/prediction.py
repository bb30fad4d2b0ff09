"""Signals of what the network answers: the first argument of the loss function."""

from __future__ import annotations

from ..core import Moment, Reading, Training, signal


@signal(at=Moment.LOSS, unit="prediction")
def prediction_spread(training: Training) -> Reading | None:
    """Standard deviation of the prediction over the samples of a batch, root mean square over outputs."""
    if training.prediction is None or len(training.prediction) < 2:
        return None
    return ("",), training.prediction.var(dim=0, correction=0).mean().sqrt().reshape(1)


@signal(at=Moment.LOSS, unit="prediction")
def prediction_scale(training: Training) -> Reading | None:
    """Root mean square of the prediction."""
    if training.prediction is None:
        return None
    return ("",), training.prediction.square().mean().sqrt().reshape(1)


@signal(at=Moment.LOSS, unit="share")
def majority_share(training: Training) -> Reading | None:
    """Share of the batch that gets the most frequent answer (class ids as targets only)."""
    if training.prediction is None or training.prediction.shape[1] < 2 or len(training.prediction) < 2:
        return None
    if training.target is None or training.target.ndim != 1 or training.target.is_floating_point():
        return None
    answers = training.prediction.argmax(dim=1)
    return ("",), (answers == answers.mode().values).float().mean().reshape(1)
