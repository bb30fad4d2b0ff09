"""Kinds of loss, and what bounds on their input do to them."""

from __future__ import annotations

from math import exp, log

REGRESSION = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
"""Losses whose input is compared with the target number by number."""

BY_HAND = ("squared difference", "absolute difference")
"""Such losses written out by the script, known by their shapes alone."""

LOGISTIC = "binary_cross_entropy_with_logits"

RANGES = {
    "relu": (0.0, float("inf")),
    "softplus": (0.0, float("inf")),
    "sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
}
"""What an activation function can put out, lowest and highest."""


def floor_of_cross_entropy(classes: int, width: float = 1.0) -> float:
    """The least cross-entropy that logits can reach which lie in an interval of this width.

    Source: the right class at the top of the interval, all others at its bottom: ln(1 + (classes - 1)
    e^-width), which is ln(e + classes - 1) - 1 for probabilities.

    >>> round(floor_of_cross_entropy(10), 2)
    1.46
    """
    return log(1 + (classes - 1) * exp(-width))
