"""Steepest descent under a norm."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..shards import is_sharded, local
from ._norms import NORMS

__all__ = ["Norm", "SteepestDescent"]

Norm: TypeAlias = Literal["l1", "l2", "linf", "spectral"]
"""How the length of a step is measured."""


class SteepestDescent(Optimizer):
    """The step of a given length that lowers the loss most, to first order, under a norm of one's choice.

    Args:
        params: parameters or groups; a group may have arguments of its own. The norm is that of a whole group: for ℓ1
            one coordinate of all its parameters moves (ties share the step); for "spectral" each matrix has norm 1, and
            what has more than two dimensions counts as a matrix of rows `weight.flatten(1)`.
        lr: length of a step, above 0.
        norm: "l1", "l2", "linf" or "spectral".
        momentum: share of the last direction that is kept, in [0, 1); the direction is normed afterwards.
        nesterov: look ahead along the velocity.
        length: "unit", every step has length `lr`; "dual", that times the dual norm of the gradient, so that steps
            shrink as it does: with "l2" that is plain gradient descent.
        exact: orthogonalise by a singular value decomposition instead of five Newton-Schulz iterations.

    Raises:
        ValueError: an argument outside its range; a parameter of one dimension under "spectral"; nesterov without
            momentum.
        TypeError: a sparse gradient; a sharded matrix under "spectral", which would need the whole of it.

    Helps: seeing what the choice of norm does; sign descent where gradients differ widely in size; orthogonal steps for
    matrices inside a net.

    Harms: with "unit" and a constant rate, steps never shrink: let a schedule bring `lr` down. "spectral" is not for
    embeddings, biases, scales or the output layer: give them a group with "linf".

    Costs: "l1", "l2", "linf" a few passes over the gradients; "spectral" some fifteen products of each matrix with
    itself; momentum one copy of the weights.

    Source: Boyd & Vandenberghe, "Convex optimization", section 9.4 ("unit" is its normalised, "dual" its unnormalised
    step); Bernstein & Newhouse, "Old optimizer, new norm", 2024; Jordan et al., "Muon", 2024, without its factor for
    matrices that are not square.

    >>> w = torch.nn.Parameter(torch.tensor([3.0, -4.0]))
    >>> for norm in ("l1", "l2", "linf"):
    ...     descent = SteepestDescent([w], lr=1.0, norm=norm)
    ...     before, w.grad = w.detach().clone(), torch.tensor([3.0, -4.0])
    ...     descent.step()
    ...     print(norm, (w.detach() - before).tolist())
    l1 [0.0, 1.0]
    l2 [-0.59..., 0.79...]
    linf [-1.0, 1.0]
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, object]],
        lr: float,
        norm: Norm = "l2",
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        length: Literal["unit", "dual"] = "unit",
        exact: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "norm": norm,
            "momentum": momentum,
            "nesterov": nesterov,
            "length": length,
            "exact": exact,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, object]) -> None:
        """Add a group, after its arguments are checked."""
        super().add_param_group(param_group)
        try:
            _check(self.param_groups[-1])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient; returns what `closure` gives, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if any(p.grad.is_sparse for p in parameters):
                raise TypeError(
                    "SteepestDescent got a sparse gradient. Make the embedding with sparse=False."
                )
            if parameters:
                direction = self._remembered(parameters, group["momentum"], group["nesterov"])
                steps, dual = NORMS[group["norm"]](direction, group["exact"])
                if group["length"] == "dual":
                    torch._foreach_mul_(steps, dual)
                torch._foreach_add_([local(p) for p in parameters], steps, alpha=-float(group["lr"]))
        return loss

    def _remembered(self, parameters: list[Tensor], momentum: float, nesterov: bool) -> list[Tensor]:
        """The gradients, or with momentum their velocities."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if momentum == 0:
            return gradients
        for p in parameters:
            if "velocity" not in self.state[p]:
                self.state[p]["velocity"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        velocities: list[Tensor] = [self.state[p]["velocity"] for p in parameters]
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(velocities, gradients)
        return list(torch._foreach_add(gradients, velocities, alpha=momentum)) if nesterov else velocities


def _check(group: dict[str, Any]) -> None:
    for name, low, high in (("lr", 0.0, inf), ("momentum", 0.0, 1.0)):
        if not (low <= float(group[name]) < high) or (name == "lr" and float(group[name]) == 0):
            raise ValueError(
                f"SteepestDescent() got {name}={group[name]}; it takes a finite lr above 0 and a momentum in [0, 1)."
            )
    if group["norm"] not in NORMS or group["length"] not in ("unit", "dual"):
        raise ValueError(
            f"SteepestDescent() got norm={group['norm']!r} and length={group['length']!r}; it takes one of {[*NORMS]} "
            f"and 'unit' or 'dual'."
        )
    if group["nesterov"] and group["momentum"] == 0:
        raise ValueError(
            "SteepestDescent() got nesterov=True and momentum=0; there is no velocity to look along."
        )
    for p in group["params"]:
        if group["norm"] == "spectral" and p.ndim < 2:
            raise ValueError(
                f"SteepestDescent() got a parameter of shape {tuple(p.shape)} under 'spectral', which is for matrices. "
                f"Put biases and scales into a group of their own: {{'params': [...], 'norm': 'linf'}}."
            )
        if group["norm"] in ("l1", "spectral") and is_sharded(p):
            raise TypeError(
                f"SteepestDescent() got a sharded parameter under {group['norm']!r}, which needs it whole."
            )
