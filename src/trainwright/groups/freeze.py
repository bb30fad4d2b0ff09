"""Parts of a model that do not train, and parameters that were forgotten."""

from __future__ import annotations

from torch import nn
from torch.optim import Optimizer

from ..norm.freeze import pin_, unpin_

__all__ = ["freeze_", "missing", "thaw_"]


def freeze_(module: nn.Module) -> nn.Module:
    """Freeze a module wholly: no gradient, no decay, no moving statistics, no dropout, whatever `.train()` says.

    Its parameters get `requires_grad=False` and lose their gradient, so that an optimiser which holds them leaves them
    alone (a gradient of zero would still decay them). The module is pinned to testing mode: `.train()` does not undo
    it.

    Args:
        module: the part to be frozen, e.g. a backbone.

    Returns:
        `module` itself.

    Helps: to train a new head on a pre-trained backbone.

    Harms: where the data differ much from those of the pre-training, pinned statistics do not fit them.

    Costs: nothing; saves the backward pass and the optimiser's memory.

    Source: none. Pinning as in `norm.freeze_`.

    >>> import torch
    >>> backbone = freeze_(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))).train()
    >>> features = backbone(torch.ones(4, 2))
    >>> features.requires_grad, backbone[1].running_mean
    (False, tensor([0., 0., 0.]))
    """
    for p in module.parameters():
        p.requires_grad_(False)
        p.grad = None
    for m in module.modules():
        pin_(m)
    return module


def thaw_(module: nn.Module) -> nn.Module:
    """Undo `freeze_`: all floating-point parameters of a module train again, and `.train()` reaches it.

    Parameters that were frozen before `freeze_` are thawed, too. Those in no optimiser still do not move: `missing`
    lists them. The module stays in testing mode until the next `.train()`.

    Args:
        module: the part to be thawed.

    Returns:
        `module` itself.

    Helps: to fine-tune the rest of a model once its head is warm.

    Harms: at the head's rate it can destroy what was learnt: use a rate 10 to 100 times smaller, or `layer_rates`.

    Costs: nothing.

    Source: none.

    >>> all(p.requires_grad for p in thaw_(freeze_(nn.Linear(2, 2))).parameters())
    True
    """
    for p in module.parameters():
        if p.is_floating_point() or p.is_complex():
            p.requires_grad_(True)
    for m in module.modules():
        unpin_(m)
    return module


def missing(model: nn.Module, *optimizers: Optimizer) -> list[str]:
    """Names of the trainable parameters that no optimiser has, and that so never move.

    Args:
        model: the model as it is trained: `fully_shard`, `.to` with another dtype, and swapped layers make new
            parameters.
        optimizers: all that step.

    Returns:
        Names; empty where all is well.

    Helps: after changing a model (new norms, new activations, a new head, thawed layers).

    Harms: nowhere.

    Costs: a walk over the parameters.

    Source: none.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    >>> missing(net, torch.optim.SGD(net[1].parameters(), lr=0.1))
    ['0.weight', '0.bias']
    """
    held = {p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]}
    return [name for name, p in model.named_parameters() if p.requires_grad and p not in held]
