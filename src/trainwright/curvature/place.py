"""What the curvature says about where training stands: along the gradient, and where it does not move."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

import torch
from torch import nn

from ._objective import Batch, Loss, Objective, still
from .hessian import ends


class AlongGradient(NamedTuple):
    """The loss along its gradient, to second order."""

    gradient_norm: float
    curvature: float
    """gᵀHg / gᵀg: second derivative of the loss along the unit gradient."""

    @property
    def best_rate(self) -> float | None:
        """The rate of the gradient step that lowers the loss most, to second order; `None` where it curves down."""
        return 1 / self.curvature if self.curvature > 0 else None

    def change(self, rate: float) -> float:
        """What a gradient step of this rate adds to the loss, to second order."""
        return self.gradient_norm**2 * (self.curvature * rate**2 / 2 - rate)


class Standstill(NamedTuple):
    """A place in weight space by its gradient and the ends of its curvature."""

    kind: Literal["slope", "minimum", "saddle", "maximum", "flat"]
    gradient_norm: float
    lowest: float
    highest: float
    error: float
    """Neither is further than this from a true eigenvalue."""


def along_gradient(
    model: nn.Module,
    loss: Loss[Batch],
    batches: Iterable[Batch],
    *,
    generator: torch.Generator | None = None,
) -> AlongGradient:
    """The norm of the gradient and the curvature of the loss along it, gᵀHg / gᵀg.

    Args:
        model: left bitwise as it was.
        loss: `loss(model, batch)`, one number.
        batches: each of them counts the same; they are read once and kept.
        generator: fixes dropout; without one, the default generator's present state does.

    Returns:
        `gradient_norm` and `curvature`; from them `best_rate` and `change(rate)`, what a gradient step does to
        the loss. A change above zero at your rate is ill-conditioning: the step overshoots across the valley.

    Raises:
        ValueError: as `hessian_vector` does, or the gradient is zero.
        RuntimeError: an operation of the model has no second derivative.

    Helps: to see, every few hundred steps, whether gᵀHg grows while the gradient's norm does not shrink.

    Harms: where the optimiser does not step along the gradient: for Adam ask `stability`.

    Costs: one gradient and one Hessian-vector product: three to four training steps, seven for an LSTM.

    Source: Goodfellow, Bengio & Courville, *Deep Learning*, 2016, equation 8.10.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> here = along_gradient(net, lambda net, x: 3 * net(x).pow(2).sum(), [torch.ones(1, 1)])
    >>> round(here.curvature, 3), round(here.best_rate, 3)
    (6.0, 0.167)
    """
    with still(model):
        objective = Objective("along_gradient", model, loss, batches, generator)
        gradient = objective.gradient()
        norm = float(gradient.norm())
        if norm == 0:
            raise ValueError(
                "along_gradient() got a loss whose gradient is zero, so there is no direction to look along. "
                "standstill() tells what kind of place that is."
            )
        unit = gradient / norm
        return AlongGradient(norm, float(unit @ objective.product(unit)))


def standstill(
    model: nn.Module,
    loss: Loss[Batch],
    batches: Iterable[Batch],
    *,
    gradient_below: float = 1e-3,
    tolerance: float = 1e-2,
    max_products: int = 200,
    generator: torch.Generator | None = None,
) -> Standstill:
    """What kind of place training has come to a standstill at: a minimum, a saddle, a flat.

    Args:
        model: left bitwise as it was.
        loss: `loss(model, batch)`, one number.
        batches: each of them counts the same; they are read once and kept. All the data, if it can be: the
            gradient on a few batches is not zero at a minimum of the whole loss.
        gradient_below: norm of the gradient, in loss per unit of weight, from which on the place is a "slope".
        tolerance: relative error of the two curvatures, and how small against the other one counts as none.
        max_products: most Hessian-vector products to spend, >= 1.
        generator: of the starting vector and of dropout.

    Returns:
        `kind`: "slope" where the gradient is not small; else "saddle" where the loss curves down one way and
        up another, "minimum" where it curves up and nowhere down, "maximum" the other way round, "flat" where it
        does not curve. With it the gradient's norm and the lowest and highest curvature.

    Raises:
        ValueError: as `hessian_vector` does, or an argument out of its range.
        RuntimeError: an operation of the model has no second derivative.

    Helps: when the loss stands still well above what it should reach: out of a saddle leads momentum or noise,
    out of a flat (all units dead or saturated) only a new start.

    Harms: by its name: trained networks nearly always keep a few slightly negative eigenvalues, so "saddle" with
    `lowest` a thousandth of `highest` is as good as a minimum. Raise `tolerance` to call it one.

    Costs: as `eigenvalues`: some 100 to 200 training steps with one batch.

    Source: Dauphin et al., "Identifying and attacking the saddle point problem in high-dimensional non-convex
    optimization", NeurIPS 2014, for which sign of the curvature to look at; the two thresholds are ours.

    >>> net = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    >>> for p in net.parameters():
    ...     _ = nn.init.zeros_(p)
    >>> standstill(net, lambda net, x: (net(x) - 1).pow(2).sum(), [torch.ones(1, 1)]).kind
    'saddle'
    """
    if not gradient_below > 0:
        raise ValueError(f"standstill() got gradient_below={gradient_below}; it must be positive.")
    with still(model):
        objective = Objective("standstill", model, loss, batches, generator)
        norm = float(objective.gradient().norm())
        found = ends("standstill", objective, objective.product, 1, tolerance, max_products)
    lowest, highest = found.bottom[0], found.top[0]
    none = max(tolerance * max(-lowest, highest), found.error)
    up, down = highest > none, lowest < -none
    kind: Literal["slope", "minimum", "saddle", "maximum", "flat"] = "flat"
    if norm >= gradient_below:
        kind = "slope"
    elif up or down:
        kind = "saddle" if up and down else "minimum" if up else "maximum"
    return Standstill(kind, norm, lowest, highest, found.error)
