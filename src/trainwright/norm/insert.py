"""Norms in a model that has none."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

from ..activation.curve import evaluating
from ._flow import Flow, Ran, follow
from .replace import parted

__all__ = ["insert_"]

Kind = Literal["batch", "layer", "group", "instance"]
KINDS: tuple[str, ...] = get_args(Kind)
NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def insert_(model: nn.Module, kind: Kind, *batch: object, groups: int = 32) -> nn.Module:
    """Put a norm after each linear or convolution layer whose output goes to an activation, before that activation.

    Where that is, is seen in a real forward pass (testing mode, no gradient): the order of the modules in the source
    does not matter, functions (`F.relu(x)`) count as modules do, and additions, pooling, dropout and reshapes may lie
    between. Left out are layers that give the output, gates (`x * sigmoid(layer(x))`) and projections that
    meet no activation (attention). Each layer becomes `nn.Sequential(layer, norm)` in its place.

    Args:
        model: a model without norms; load trained weights before, since names change from `conv.weight` to
            `conv.0.weight`; make the optimiser afterwards, and compile or wrap the model afterwards.
        kind: "batch"; "layer" (over the features of a linear layer; over all of a convolution's output, as group norm
            with one group); "group"; "instance" (each channel of each sample, convolutions only).
        batch: what the model takes, as `model(*batch)`; one sample does, on any device, `meta` too.
        groups: of group norm, at most; each norm takes the largest number that divides both `groups` and its channels
            and leaves at least two channels a group.

    Returns:
        `model` itself. Norms have the layer's device and dtype, and start as scale 1 and shift 0.

    Raises:
        ValueError: the model has norms already; no layer qualifies; a layer's output does not fit the kind (batch norm
            after a linear layer on sequences, instance norm on single pixels, batch norm on a layer that runs several
            times in a pass); or the model cannot run with the norms, as when it reads `layer.weight` itself.
            The model is then as it was.

    Helps: to train deep plain models, and at larger rates.

    Harms: the model's function changes at once, so trained weights need training again. Batch norm harms with small
    batches, in recurrent nets and in most reinforcement learning; biases before it are of no use.

    Costs: two forward passes once, holding one pass's outputs in memory; in training a pass over each layer's output.

    Source: Ioffe & Szegedy, "Batch normalization", ICML 2015, section 3.2 (before the non-linearity); Ba, Kiros &
    Hinton, "Layer normalization", 2016; Wu & He, "Group normalization", ECCV 2018; Ulyanov et al., "Instance
    normalization", 2016.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    >>> insert_(net, "batch", torch.zeros(2, 3, 3, 3))[0][1]
    BatchNorm2d(8, ...)
    """
    if kind not in KINDS:
        raise ValueError(f"insert_() got kind={kind!r}; it knows {', '.join(KINDS)}.")
    if groups < 1:
        raise ValueError(f"insert_() got groups={groups}; it needs at least 1.")
    present = [f"`{name}` ({type(m).__name__})" for name, m in model.named_modules() if isinstance(m, NORMS)]
    if present:
        raise ValueError(
            f"{type(model).__name__} has norms already: {', '.join(present[:3])}{', ...' if len(present) > 3 else ''}. "
            f"Pass a part of it that has none, or remove them first."
        )
    if not batch:
        raise ValueError(
            "insert_() got no batch; it needs what the model takes, to see which layers feed an activation."
        )
    flow = follow(model, batch)
    chosen = [
        m
        for m in flow.layers
        if m in flow.activated and m not in flow.gates and m not in flow.output and m is not model
    ]
    if not chosen:
        raise ValueError(_nothing(model, flow))
    norms = {layer: _fitting(kind, layer, flow.layers[layer], groups) for layer in chosen}
    places = [(m, key, child) for m in model.modules() for key, child in m._modules.items() if child in norms]
    wrapped = {layer: nn.Sequential(layer, norm) for layer, norm in norms.items()}
    for layer, norm in norms.items():
        wrapped[layer].training = norm.training = layer.training
    for holder, key, layer in places:
        holder._modules[key] = wrapped[layer]
    try:
        with evaluating(model), torch.random.fork_rng(devices=[]), torch.no_grad():
            model(*batch)
    except Exception as error:
        for holder, key, layer in places:
            holder._modules[key] = layer
        raise ValueError(
            f"{type(model).__name__} cannot run with norms behind its layers ({type(error).__name__}: {error}), so it "
            f"was left as it was. Does it read `layer.weight` itself, or test for the layer's type? Insert by "
            f"hand there."
        ) from error
    return model


def _fitting(kind: Kind, layer: nn.Module, ran: Ran, groups: int) -> nn.Module:
    """The norm for what a layer puts out, or a refusal."""
    weight = next(layer.parameters())
    device, dtype = weight.device, weight.dtype
    if isinstance(layer, nn.Linear):
        return _after_linear(kind, layer, ran, groups)
    channels, sides = layer.out_channels, ran.shape[2:]
    assert isinstance(channels, int)
    dimensions = weight.ndim - 2
    if len(ran.shape) != dimensions + 2:
        raise ValueError(
            f"`{ran.name}` puts out {ran.shape}, one sample without a batch; give insert_() a batch of samples."
        )
    if kind == "batch":
        _once(ran)
        batch_norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dimensions - 1]
        return batch_norm(channels, device=device, dtype=dtype)
    if kind == "instance":
        if all(side == 1 for side in sides):
            raise ValueError(
                f"`{ran.name}` puts out {ran.shape}: one value a channel and sample, which instance norm would "
                f'make 0. Take "batch" or "group".'
            )
        instance_norm = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[dimensions - 1]
        return instance_norm(channels, affine=True, device=device, dtype=dtype)
    return nn.GroupNorm(
        1 if kind == "layer" else parted(channels, groups), channels, device=device, dtype=dtype
    )


def _after_linear(kind: Kind, layer: nn.Linear, ran: Ran, groups: int) -> nn.Module:
    features, device, dtype = layer.out_features, layer.weight.device, layer.weight.dtype
    if kind == "layer":
        return nn.LayerNorm(features, device=device, dtype=dtype)
    if kind == "instance":
        raise ValueError(
            f"`{ran.name}` is a linear layer: it has one value a channel and sample, which instance norm would "
            f'make 0. Take "layer" or "batch".'
        )
    if len(ran.shape) != 2:
        raise ValueError(
            f"`{ran.name}` puts out {ran.shape}: its features are the last axis, and {kind} norm takes the second for "
            f'channels. Take "layer".'
        )
    if kind == "batch":
        _once(ran)
        return nn.BatchNorm1d(features, device=device, dtype=dtype)
    return nn.GroupNorm(parted(features, groups), features, device=device, dtype=dtype)


def _once(ran: Ran) -> None:
    if ran.calls > 1:
        raise ValueError(
            f"`{ran.name}` runs {ran.calls} times in a pass, and one batch norm would mix the statistics of all. Take "
            f'"layer" or "group".'
        )


def _nothing(model: nn.Module, flow: Flow) -> str:
    if not flow.layers:
        return (
            f"No linear or convolution layer ran in {type(model).__name__}, so there is nothing to normalise."
        )
    said = []
    for m, ran in list(flow.layers.items())[:5]:
        why = (
            "gives the output"
            if m in flow.output
            else "is a gate"
            if m in flow.gates
            else "meets no activation"
        )
        said.append(f"`{ran.name}` {why}")
    return (
        f"No layer of {type(model).__name__} feeds a hidden activation, so there is no place for a norm: "
        f"{', '.join(said)}."
    )
