"""Decay toward where the weights began."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..shards import local
from ._given import at_least_0, share_of_1, sum_of_powers

__all__ = ["pull_", "pull_penalty"]


@torch.no_grad()
def pull_(model: nn.Module, start: Mapping[str, Tensor], strength: float, *, lr: float) -> nn.Module:
    """Decay toward where the weights began instead of toward zero: w ← w − lr·strength·(w − w₀).

    Args:
        model: its trainable parameters whose names are in `start` are pulled; frozen ones cannot move and are not.
        start: name to w₀ of the parameter's shape, a copy: `{n: p.detach().clone() for n, p in
            net.named_parameters()}`. Names that the model lacks, such as the old head's, do nothing; parameters that
            `start` lacks, such as the new head's, are free.
        strength: share of the way back that is gone a step at lr 1.
        lr: the learning rate of the step to come.

    Returns:
        `model` itself.

    Raises:
        ValueError: no trainable parameter is in `start`; shapes differ; `start` holds the live weights, not a copy;
            strength or rate negative or not finite; lr·strength above 1.

    Helps: fine-tuning on few data from weights that are already good.

    Harms: the new task lies far from the old one.

    Costs: one pass over the weights, and a copy of them kept.

    Source: Li et al., "Explicit inductive bias for transfer learning with convolutional networks", ICML 2018 (L2-SP,
    equation 3), decoupled so that it holds under Adam too; `pull_penalty` is the paper's own form.

    >>> net = nn.Linear(2, 1)
    >>> start = {n: p.detach().clone() for n, p in net.named_parameters()}
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> net(torch.ones(8, 2)).square().mean().backward()
    >>> _ = pull_(net, start, 0.5, lr=0.1)
    >>> sgd.step()
    """
    share = at_least_0("pull_", strength=strength, lr=lr)
    share_of_1("pull_", share)
    for parameter, origin in _pairs("pull_", model, start):
        local(parameter).lerp_(local(origin).to(parameter.device, parameter.dtype), share)
    return model


def pull_penalty(model: nn.Module, start: Mapping[str, Tensor], strength: float) -> Tensor:
    """The L2-SP penalty to add to a loss: strength/2·Σ‖w − w₀‖² over the trainable parameters in `start`.

    Args:
        model: as for `pull_`.
        start: as for `pull_`.
        strength: at least 0.

    Returns:
        A scalar with gradient, at least float32.

    Raises:
        ValueError: as `pull_`.

    Helps: with SGD, where it is the paper's method, and wherever the distance itself is to be logged.

    Harms: under Adam, which divides the pull by the gradient's size: take `pull_`.

    Costs: a difference, a norm and its gradient for every weight; a copy of the weights kept.

    Source: Li et al., ICML 2018, equation 3, without its term for the new head: give that its own weight decay.

    >>> net = nn.Linear(2, 1)
    >>> start = {n: p.detach() + 1 for n, p in net.named_parameters()}
    >>> round(pull_penalty(net, start, 2.0).item(), 4)
    3.0
    """
    at_least_0("pull_penalty", strength=strength)
    pairs = _pairs("pull_penalty", model, start)
    return strength / 2 * sum_of_powers([p - o.to(p.device, p.dtype) for p, o in pairs], 2)


def _pairs(who: str, model: nn.Module, start: Mapping[str, Tensor]) -> list[tuple[nn.Parameter, Tensor]]:
    """Each trainable parameter that has a start, with it."""
    pairs = []
    for name, p in model.named_parameters():
        if p.requires_grad and name in start:
            origin = start[name]
            if origin.shape != p.shape:
                raise ValueError(
                    f"{who}() got a start of shape {tuple(origin.shape)} for `{name}` {tuple(p.shape)}."
                )
            if (
                p.numel()
                and origin.device == p.device
                and local(origin).data_ptr() == local(p).data_ptr() != 0
            ):
                raise ValueError(
                    f"{who}() got the live weights of `{name}` as their own start, so they would be pulled to where "
                    f"they are. Copy them before training: {{n: p.detach().clone() for n, p in ...}}."
                )
            pairs.append((p, origin))
    if not pairs:
        raise ValueError(
            f"{who}() found none of the model's trainable parameters in `start`. Names begin with "
            f"{next(iter(start), 'nothing')!r} there and {next((n for n, _ in model.named_parameters()), 'nothing')!r} "
            f"here; a wrapper puts `module.` before them."
        )
    return pairs
