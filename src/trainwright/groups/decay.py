"""Which parameters decay: by the type and role of what owns them."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

__all__ = ["decay_groups", "roles"]

NORMS = (
    nn.modules.batchnorm._NormBase,  # batch, synchronised and instance norm
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
WEIGHTED = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,
    nn.RNNBase,
    nn.RNNCellBase,
    nn.MultiheadAttention,
)
SCALES = frozenset("alpha beta gamma gain scale logit_scale layer_scale temperature".split())


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two parameter groups: weights that decay, and all others, with decay 0.

    Only what `roles` calls a weight decays: weights of linear, convolution, recurrent and attention layers. Biases,
    norm scales and shifts, embeddings and single scales (layer scale, Fixup's, PReLU's) do not. A frozen parameter is
    left out; a shared one comes once, and decays only if it is a weight wherever it is used.

    Args:
        model: the model; wrapped in DDP, compiled, or sharded by `fully_shard`, too.
        weight_decay: of the weights, >= 0, as the optimiser takes it.

    Returns:
        Groups for any optimiser, `{"params": [...], "weight_decay": ...}`; a group without parameters is left out.

    Raises:
        ValueError: `weight_decay` is negative or not finite; nothing is trainable; the model was flattened by the first
            FSDP; or a lazy layer has no shape yet.

    Helps: wherever weights decay; most with small models and long trainings, where decayed norm scales cost accuracy.

    Harms: nowhere known. Some decay embeddings on purpose: add those to the first group.

    Costs: a walk over the model, once.

    Source: Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019, for the decay; the exceptions as in
    He et al., "Bag of tricks for image classification", CVPR 2019, section 3.1, by type and role instead of by
    name. Zhang et al., "Fixup initialization", ICLR 2019, for its scalars.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    >>> optimizer = torch.optim.AdamW(decay_groups(net, 0.01), lr=1e-3)
    >>> [(group["weight_decay"], len(group["params"])) for group in optimizer.param_groups]
    [(0.01, 2), (0.0, 4)]
    """
    check_decay("decay_groups", weight_decay)
    named = trainable("decay_groups", model)
    return split(list(named.items()), roles(model), weight_decay)


def roles(model: nn.Module) -> dict[str, str]:
    """What each parameter is: "weight", "bias", "norm", "embedding" or "scale", by its name.

    By the type of the module that owns it first: torch's norms, embeddings and layers and all their subclasses. In
    other modules the shape decides: what has only one side longer than 1 (a vector, or `(channels, 1, 1)`) is a scale,
    as are norms of other libraries; a name with "bias" is a bias, one with "embed" or "token" an embedding. Of a
    weight-normed layer the length is the weight, since decay of the length is decay of the weight, and the direction,
    of which only the direction counts, is a scale.

    Args:
        model: the model.

    Returns:
        name -> role, for every parameter, trainable or not. A shared one has the first of its roles that is no weight.

    Raises:
        ValueError: the model was flattened by the first FSDP, or a lazy layer has no shape yet.

    Helps: to see what `decay_groups` will do, and to build groups of your own.

    Harms: nowhere.

    Costs: a walk over the model.

    Source: none.

    >>> roles(nn.Sequential(nn.Embedding(9, 4), nn.LayerNorm(4), nn.Linear(4, 2, bias=False)))
    {'0.weight': 'embedding', '1.weight': 'norm', '1.bias': 'norm', '2.weight': 'weight'}
    """
    names = {p: name for name, p in model.named_parameters()}
    found: dict[str, str] = dict.fromkeys(names.values(), "weight")
    for prefix, module in model.named_modules():
        for key, p in module._parameters.items():
            if p is None:
                continue
            if isinstance(p, nn.UninitializedParameter):
                raise ValueError(
                    f"`{prefix}` is lazy and has no shape yet. Send one batch through the model first."
                )
            if key.endswith("_flat_param"):
                raise ValueError(
                    "This model's parameters were flattened by FullyShardedDataParallel, so their roles are lost. Pass "
                    "use_orig_params=True to it, make the groups before wrapping, or shard with fully_shard."
                )
            role = _role(model, prefix, module, key, p)
            if found[names[p]] == "weight":
                found[names[p]] = role
    return found


def _role(model: nn.Module, prefix: str, module: nn.Module, key: str, p: Tensor) -> str:
    if isinstance(module, ParametrizationList):  # `layer.parametrizations.weight`, holding `original...`
        owner, _, tensor = prefix.rpartition(".parametrizations.")
        if not _:
            owner, tensor = "", prefix.removeprefix("parametrizations.")
        if any(type(m).__name__ == "_WeightNorm" for m in module) and key == "original1":
            return "scale"
        return _role(model, owner, model.get_submodule(owner), tensor, p)
    if isinstance(module, NORMS):
        return "norm"
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return "embedding"
    if "bias" in key:
        return "bias"
    if isinstance(module, WEIGHTED):
        return "scale" if key.endswith("_v") and f"{key[:-2]}_g" in module._parameters else "weight"
    if "embed" in key or "token" in key:
        return "embedding"
    long_sides = sum(side > 1 for side in p.shape)
    if key in SCALES or p.ndim < 2 or (p.ndim > 2 and long_sides < 2):
        return "scale"
    return "weight"


def check_decay(who: str, weight_decay: float) -> None:
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"{who}() got weight_decay={weight_decay}; it needs a finite number, 0 or more.")


def trainable(who: str, model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters to be trained, shared ones once."""
    named = dict(model.named_parameters())
    trainable = {name: p for name, p in named.items() if p.requires_grad}
    if not trainable:
        state = f"all {len(named)} parameters are frozen" if named else "it has no parameters"
        raise ValueError(f"{who}() got a {type(model).__name__} in which nothing can be trained: {state}.")
    return trainable


def split(
    named: list[tuple[str, nn.Parameter]], role: dict[str, str], weight_decay: float
) -> list[dict[str, object]]:
    decayed = [p for name, p in named if role[name] == "weight"]
    others = [p for name, p in named if role[name] != "weight"]
    groups: list[dict[str, object]] = []
    if decayed:
        groups.append({"params": decayed, "weight_decay": weight_decay})
    if others:
        groups.append({"params": others, "weight_decay": 0.0})
    return groups
