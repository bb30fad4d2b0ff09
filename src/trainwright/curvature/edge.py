"""The edge of stability: the curvature that an optimiser meets against the most that its rate can bear."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from ._objective import Batch, Loss, Objective, still
from .hessian import ends


class Stability(NamedTuple):
    """The largest eigenvalue that the optimiser meets, and the one above which it cannot settle."""

    sharpness: float
    """Largest eigenvalue of the Hessian, divided by the optimiser's own scale of each weight."""
    limit: float
    """Above it a step makes a quadratic loss of that curvature larger."""
    error: float
    """The sharpness is no further than this from a true eigenvalue."""
    products: int
    """Hessian-vector products made."""

    @property
    def ratio(self) -> float:
        """Sharpness over limit: below 1 the rate is safe, at 1 is the edge of stability."""
        return self.sharpness / self.limit


def stability(
    model: nn.Module,
    loss: Loss[Batch],
    batches: Iterable[Batch],
    optimizer: Optimizer,
    *,
    tolerance: float = 1e-2,
    max_products: int = 200,
    generator: torch.Generator | None = None,
) -> Stability:
    """The sharpness that an optimiser meets, against the sharpness at which its rate stops being stable.

    An optimiser that divides the gradient of each weight by its own scale P meets the Hessian P⁻¹H, and moves
    weights with a lower rate as if they curved less. Momentum moves the limit:

    | optimiser | P | limit on the largest eigenvalue of P⁻¹H |
    | --- | --- | --- |
    | SGD | 1 | 2 / rate |
    | SGD, momentum m, dampening d | 1 | 2 (1 + m) / ((1 − d) rate) |
    | SGD, Nesterov momentum m | 1 | 2 (1 + m) / ((1 + 2m) rate) |
    | Adagrad | √sum + ε | 2 / rate |
    | RMSprop, momentum m | √v + ε | 2 (1 + m) / rate |
    | Adam, AdamW | (1 − β₁ᵗ)(√(v / (1 − β₂ᵗ)) + ε) | 2 (1 + β₁) / ((1 − β₁) rate): 38 / rate at β₁ = 0.9 |

    Weight decay that the optimiser adds to the gradient is added to the Hessian; AdamW's own is left out.

    Args:
        model: left bitwise as it was, as is the optimiser.
        loss: `loss(model, batch)`, one number.
        batches: each of them counts the same; they are read once and kept. Large ones: the edge of stability
            is a property of the full-batch loss.
        optimizer: as it stands between two steps, its present rates included.
        tolerance: relative error wanted of the sharpness, > 0.
        max_products: most Hessian-vector products to spend, >= 1.
        generator: of the starting vector and of dropout.

    Returns:
        `sharpness`, `limit` and their `ratio`. With several rates, both are stated for the largest of them.

    Raises:
        TypeError: an optimiser that is not in the table.
        ValueError: as `hessian_vector` does; the optimiser holds none of the model's weights, has not made a
            step where its scale comes from its past, maximises, has only rates of zero, or has groups with
            different momentum.
        RuntimeError: an operation of the model has no second derivative.

    Helps: when the loss spikes or stops falling: a ratio above 1 says that the rate is too high for here, far
    below 1 that it could be raised.

    Harms: as an alarm of its own: full-batch training goes up to a ratio of 1 by itself, stays there and goes on
    learning. And with small batches noise bounds the rate before curvature does: see `noise_scale`.

    Costs: 30 to 50 training steps with one batch, as it looks at one end of the spectrum only; the memory of a copy
    of the weights for each product.

    Source: Cohen, Kaur, Li, Kolter & Talwalkar, "Gradient descent on neural networks typically occurs at the
    edge of stability", ICLR 2021 (SGD, momentum, Nesterov), and Cohen et al., "Adaptive gradient methods at the
    edge of stability", 2022 (P⁻¹H, 38 / rate); dampening and RMSprop's momentum by the same argument, all
    checked in the tests against the optimisers of torch.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> round(stability(net, lambda net, x: 11 * net(x).pow(2).sum(), [torch.ones(1, 1)], sgd).ratio, 3)
    1.1
    """
    with still(model):
        objective = Objective("stability", model, loss, batches, generator)
        rate, limit, scales, decays = _scales(objective.parameters, optimizer)
        scale, decay = objective.flat(scales).sqrt(), objective.flat(decays)

        def product(vector: Tensor) -> Tensor:
            # P^-1/2 (H + decay) P^-1/2 is symmetric and has the eigenvalues of P^-1 (H + decay).
            inner = scale * vector
            return scale * (objective.product(inner) + decay * inner)

        found = ends("stability", objective, product, 1, tolerance, max_products, bottom=False)
        return Stability(found.top[0], limit / rate, found.error, found.products)


@torch.no_grad()
def _scales(
    parameters: list[nn.Parameter], optimizer: Optimizer
) -> tuple[float, float, list[Tensor], list[Tensor]]:
    """The largest rate, the limit times a rate, and for each parameter (its rate / largest) / P and its decay."""
    if not isinstance(optimizer, SGD | Adam | AdamW | RMSprop | Adagrad):
        raise TypeError(
            f"stability() got {type(optimizer).__name__}; it knows the limits of SGD, Adam, AdamW, RMSprop and "
            f"Adagrad. For another one hold eigenvalues() against its own limit."
        )
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    mine = [groups[id(p)] for p in parameters if id(p) in groups]
    if not mine:
        raise ValueError(
            "stability() got an optimiser that holds none of the model's weights. Is it another model's?"
        )
    if any(group.get("maximize") for group in mine):
        raise ValueError(
            "stability() got an optimiser that maximises; pass the negative loss and minimise it."
        )
    limits = {_limit(optimizer, group) for group in mine}
    if len(limits) > 1:
        raise ValueError(
            f"stability() got groups with different momentum, whose limits are {sorted(limits)} over their rates; "
            f"it needs one momentum. Measure each group by itself, with the others' requires_grad off."
        )
    rate = max(float(group["lr"]) for group in mine)
    if not rate > 0:
        raise ValueError("stability() got rates of zero only; it needs one that moves weights.")
    scales: list[Tensor] = []
    decays: list[Tensor] = []
    moved = False
    for p in parameters:
        group, state = groups.get(id(p)), optimizer.state.get(p, {})
        own = torch.ones_like(p) if isinstance(optimizer, SGD) else None
        if group is not None and own is None and state:
            own = _preconditioner(optimizer, group, state)
        if group is None or own is None:  # no optimiser moves it
            scales.append(torch.zeros_like(p))
            decays.append(torch.zeros_like(p))
            continue
        moved = True
        scales.append(float(group["lr"]) / rate / own)
        decoupled = isinstance(optimizer, AdamW) or group.get("decoupled_weight_decay", False)
        decays.append(torch.full_like(p, 0.0 if decoupled else float(group["weight_decay"])))
    if not moved:
        raise ValueError(
            f"stability() got {type(optimizer).__name__} before its first step, when it has no scale of its own yet. "
            f"Make a few steps first."
        )
    return rate, limits.pop(), scales, decays


def _limit(optimizer: Optimizer, group: dict[str, Any]) -> float:
    """Rate times the curvature at which a root of the update's characteristic polynomial passes -1."""
    if isinstance(optimizer, Adam | AdamW):
        beta = float(group["betas"][0])
        return 2 * (1 + beta) / (1 - beta)
    momentum = float(group.get("momentum", 0.0))
    if group.get("nesterov"):
        return 2 * (1 + momentum) / (1 + 2 * momentum)
    return 2 * (1 + momentum) / (1 - (float(group.get("dampening", 0.0)) if momentum else 0.0))


def _preconditioner(optimizer: Optimizer, group: dict[str, Any], state: dict[str, Tensor]) -> Tensor:
    """By what the optimiser divides each weight's gradient."""
    eps = float(group["eps"])
    if isinstance(optimizer, Adagrad):
        fallen = 1 + (float(state["step"]) - 1) * float(group["lr_decay"])
        return torch.mul(state["sum"].sqrt() + eps, fallen)
    if isinstance(optimizer, RMSprop):
        square = state["square_avg"]
        if group["centered"]:
            square = square - state["grad_avg"] ** 2
        return square.sqrt() + eps
    step, (first, second) = float(state["step"]), (float(beta) for beta in group["betas"])
    square = state["max_exp_avg_sq"] if group["amsgrad"] else state["exp_avg_sq"]
    return torch.mul((square / (1 - second**step)).sqrt() + eps, 1 - first**step)
