"""Signals of where the training stands: filled by the observer at every step."""

from __future__ import annotations

from ..core import Moment, Reading, Training, signal


@signal(at=Moment.GRAD, unit="learning rate")
def learning_rate(training: Training) -> Reading | None:
    """Learning rate of each parameter group that is about to be used: places `0`, `1`, ... over all optimisers."""
    import torch

    if training.optimizer is None:
        return None
    rates = [float(group.get("lr", float("nan"))) for group in training.optimizer.param_groups]
    return tuple(str(i) for i in range(len(rates))), torch.tensor(rates)


@signal(at=Moment.GRAD, unit="passes")
def epoch(training: Training) -> Reading | None:
    """Passes of the training data loader begun so far."""
    import torch

    begun = training.memory.get("epoch")
    return (("",), torch.tensor([float(begun)])) if isinstance(begun, int) else None
