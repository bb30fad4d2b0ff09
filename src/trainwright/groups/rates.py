"""Rates that differ from layer to layer, and what the layers are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..activation.curve import evaluating
from .decay import check_decay, roles, split, trainable

__all__ = ["layer_rates", "parts"]

LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def layer_rates(
    model: nn.Module,
    lr: float,
    factor: float,
    weight_decay: float = 0.0,
    *,
    order: Sequence[nn.Module] | None = None,
) -> list[dict[str, object]]:
    """Parameter groups whose rate falls from the output to the input: `lr * factor**k`, k parts before the last.

    Args:
        model: the model.
        lr: rate of the last part, > 0.
        factor: from one part to the one before it, in (0, 1]; 0.65 to 0.95 is usual.
        weight_decay: as in `decay_groups`; each part gives up to two groups.
        order: the parts of the model from input to output, e.g. `[model.stem, *model.blocks, model.head]`; `None` =
            `parts(model)`, which takes the order of registration: pass `parts(model, *batch)` where that is not the
            order of the forward pass. What is in none of them (a class token, positions) counts to the first; a shared
            parameter to the first part that has it.

    Returns:
        Groups for any optimiser with `params`, `lr` and `weight_decay`, from input to output.

    Raises:
        ValueError: a number is out of range, nothing is trainable, or `order` is empty.

    Helps: to fine-tune a pre-trained model: early layers, which are general, move less.

    Harms: training from scratch, where all layers have as far to go.

    Costs: a walk over the model, once; many groups make an optimiser without `foreach` or `fused` slower.

    Source: Howard & Ruder, "Universal language model fine-tuning for text classification", ACL 2018, section 3.2
    (factor 1/2.6); Clark et al., "ELECTRA", ICLR 2020, appendix (0.8).

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> [group["lr"] for group in layer_rates(net, 0.1, 0.5)]
    [0.05, 0.05, 0.1, 0.1]
    """
    if not (0 < factor <= 1):
        raise ValueError(
            f"layer_rates() got factor={factor}; it lies in (0, 1], so that early layers learn slower."
        )
    if not (0 < lr < math.inf):
        raise ValueError(f"layer_rates() got lr={lr}; it needs a rate above 0, that of the last part.")
    check_decay("layer_rates", weight_decay)
    named = trainable("layer_rates", model)
    pieces = parts(model) if order is None else list(order)
    if not pieces:
        raise ValueError(
            "layer_rates() got an empty `order`; it needs the model's parts from input to output."
        )
    depth: dict[Tensor, int] = {}
    for k, piece in enumerate(pieces):
        for p in piece.parameters():
            depth.setdefault(p, k)
    role = roles(model)
    groups = []
    for k in range(len(pieces)):
        here = [(name, p) for name, p in named.items() if depth.get(p, 0) == k]
        rate = lr * factor ** (len(pieces) - 1 - k)
        groups += [{**group, "lr": rate} for group in split(here, role, weight_decay)]
    return groups


def parts(model: nn.Module, *batch: object) -> list[nn.Module]:
    """The parts of a model with parameters, from input to output: layers and blocks, as a reader would list them.

    Opened are wrappers, lists (`Sequential`, `ModuleList`), and any module that holds more than half of the model's
    parameters and such a list, as `bert` in a classifier. An entry of a list that is no list itself is one part; blocks
    that are written as `Sequential` fall into their layers, so name them yourself (`layer_rates(order=...)`).

    Args:
        model: the model.
        batch: what the model takes; with it the order is that in which the forward pass (in testing mode, without
            gradient) first enters them, and parts that do not run come first. Without it, the order of registration.

    Returns:
        Modules; a model without such lists gives its children.

    Raises:
        Exception: what the model raises on this batch.

    Helps: to see what `layer_rates` counts as a layer, and to thaw a model from its end.

    Harms: nowhere, but look at the result: no rule fits all models.

    Costs: a walk over the model, or one forward pass.

    Source: none.

    >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)))
    >>> len(parts(net))
    3
    """
    whole = sum(p.numel() for p in model.parameters())
    found = list(dict.fromkeys(_opened(model, whole, root=True)))
    if not batch:
        return found
    entered: list[nn.Module] = []
    handles = [m.register_forward_pre_hook(lambda m, _: entered.append(m)) for m in found]
    try:
        with evaluating(model), torch.random.fork_rng(devices=[]), torch.no_grad():
            (model._modules.get("_orig_mod") or model)(*batch)  # compiled code need not learn of the hooks
    finally:
        for handle in handles:
            handle.remove()
    first = {m: k for k, m in reversed(list(enumerate(entered)))}
    return sorted(found, key=lambda m: first.get(m, -1))


def _opened(module: nn.Module, whole: int, *, root: bool = False) -> list[nn.Module]:
    own = sum(p.numel() for p in module.parameters())
    if own == 0:
        return []
    lists = [
        m
        for m in module.modules()
        if isinstance(m, LISTS) and len(m) > 1 and next(m.parameters(), None) is not None
    ]
    if module._modules and (root or isinstance(module, LISTS) or (lists and 2 * own > whole)):
        return [part for child in module.children() for part in _opened(child, whole)]
    return [module]
