"""Signals of what the layers put out, on a sample of at most 16,384 elements a layer."""

from __future__ import annotations

from ..core import Moment, Reading, Training, signal

WINDOW = 5
"""Readings for which a unit must have been silent to count as dead, and none before the first five."""

FLAT = 0.05
"""An element is in the flat part where the slope is below this share of the function's steepest slope."""


@signal(at=Moment.FORWARD, unit="activation")
def activation_mean(training: Training) -> Reading | None:
    """Mean of each layer's output."""
    import torch

    if not training.outputs:
        return None
    return tuple(training.outputs), torch.stack([x.mean() for x in training.outputs.values()])


@signal(at=Moment.FORWARD, unit="activation")
def activation_std(training: Training) -> Reading | None:
    """Standard deviation of each layer's output over samples, units and positions."""
    import torch

    if not training.outputs:
        return None
    return tuple(training.outputs), torch.stack(
        [(x - x.reshape(-1)[0]).std(correction=0) for x in training.outputs.values()]
    )


@signal(at=Moment.GRAD, unit="loss per unit of activation")
def activation_grad(training: Training) -> Reading | None:
    """Root mean square of the gradient of the loss with respect to each layer's output."""
    import torch

    if not training.output_grads:
        return None
    return tuple(training.output_grads), torch.stack(
        [g.norm() / g.numel() ** 0.5 for g in training.output_grads.values()]
    )


@signal(at=Moment.LOSS, unit="share of units")
def dead_units(training: Training) -> Reading | None:
    """Share of units that were zero for every sample of each of the last five readings, by the layer that
    feeds them.

    Only after functions that can be exactly zero (ReLU and its kin).
    """
    import torch

    silent = training.memory.setdefault("dead_units", {})
    assert isinstance(silent, dict)
    names, shares = [], []
    for place, (function, x) in training.activations.items():
        if function not in ("relu", "relu6", "hardtanh", "threshold"):
            continue
        zero = (x == 0).all(dim=2).all(dim=0)
        past = silent.get(place)
        count = (
            torch.where(zero, past + 1, 0) if past is not None and past.shape == zero.shape else zero.int()
        )
        silent[place] = count
        names.append(place)
        shares.append((count >= WINDOW).float().mean())
    return (tuple(names), torch.stack(shares)) if names else None


@signal(at=Moment.LOSS, unit="share of outputs")
def saturated_units(training: Training) -> Reading | None:
    """Share of a saturating activation's outputs that lie in its flat part (slope below 5 % of the
    steepest)."""
    import torch

    names, shares = [], []
    for place, (function, y) in training.activations.items():
        if function == "sigmoid":
            slope = 4 * y * (1 - y)
        elif function == "tanh":
            slope = 1 - y * y
        else:
            continue
        names.append(place)
        shares.append((slope < FLAT).float().mean())
    return (tuple(names), torch.stack(shares)) if names else None
