"""Dropout: where it goes in a model, and its classical form."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

__all__ = ["classical_dropout", "dropout_"]

Dense = nn.Linear
Conv = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Weighted = Dense | Conv | nn.Embedding | nn.RNNBase
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm


def dropout_(
    model: nn.Module,
    *batch: Tensor,
    inputs: float = 0.1,
    hidden: float = 0.3,
    last: float = 0.0,
    skip: Collection[nn.Module] = (),
) -> nn.Module:
    """Put dropout where it belongs in an existing model: on its inputs and between its dense layers.

    The model runs once on `batch`, in eval mode and without gradient, to see the order of its layers. A linear or
    convolution layer then drops from what it is given: the first layer at the rate `inputs`; a dense layer after a
    dense layer at the rate `hidden`, so in a CNN only its dense part; the last layer at the rate `last`. The dropout
    is a child `dropout` of that layer: it shows when the model is printed, follows `.train()` and `.eval()`, and
    leaves the names in `state_dict()` as they were. A second call sets new rates. Random numbers are torch's own, as
    in `nn.Dropout`.

    Args:
        model: anything callable as `model(*batch)` whose layers are modules.
        batch: what the model takes, e.g. images of shape `(batch, channels, height, width)`.
        inputs: share dropped from the model's inputs, in [0, 1); 0.1 to 0.2 is usual.
        hidden: share dropped between dense layers; 0.2 to 0.5 is usual.
        last: share dropped right before the output layer, the last one that runs. No layer is left there to even out
            what was dropped, so 0 by default.
        skip: layers that get none, such as the other outputs of a model with several.

    Returns:
        `model` itself.

    Raises:
        ValueError: a rate outside [0, 1); a rate above 0 for which there is no place, or only places before a batch
            norm, which would learn the variance of thinned inputs and meet full ones in testing; a model that has
            dropout already. The model is as it was.

    Helps: wide dense layers that fit the training data and not the rest.

    Harms: underfitting; before batch norm; small or convolutional layers; transformers and recurrent nets, which have
    dropout arguments of their own.

    Costs: one pass now; then a mask per layer and step, and about twice the steps to converge.

    Source: Srivastava et al., "Dropout", JMLR 2014, section A.4; Li et al., "Understanding the disharmony between
    dropout and batch normalization by variance shift", CVPR 2019.

    >>> net = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 2))
    >>> net = dropout_(net, torch.randn(8, 4), inputs=0.1, hidden=0.5)
    >>> net[0].dropout, net[2].dropout, hasattr(net[4], "dropout")
    (Dropout(p=0.1, inplace=False), Dropout(p=0.5, inplace=False), False)
    """
    rates = {"inputs": inputs, "hidden": hidden, "last": last}
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ValueError(f"dropout_() got {name}={rate}; the share that is dropped lies in [0, 1).")
    ours = {m.dropout for m in model.modules() if _drop in m._forward_pre_hooks.values()}
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 and module not in ours:
            raise ValueError(
                f"dropout_() found `{name}` ({module}); two dropouts in a row thin twice. Set its `p` by hand, "
                f"or to 0 before this call."
            )
    names = {m: name for name, m in model.named_modules()}
    places, norm = _places(model, batch)
    chosen = {layer: rates[kind] for layer, kind in places.items() if kind and layer not in skip}
    for kind, rate in rates.items():
        if rate > 0 and kind not in (kind for layer, kind in places.items() if layer in chosen):
            behind = f"; batch norm `{names[norm]}` runs after all such places" if norm is not None else ""
            raise ValueError(
                f"dropout_() got {kind}={rate} and found no place for it{behind}. Pass {kind}=0"
                + (", or last=... to drop right before the output layer." if kind == "hidden" else ".")
            )
    for layer in names:
        if _drop in layer._forward_pre_hooks.values():
            del layer.dropout
            for key in [k for k, hook in layer._forward_pre_hooks.items() if hook is _drop]:
                del layer._forward_pre_hooks[key]
    for layer, rate in chosen.items():
        if rate > 0:
            layer.dropout = nn.Dropout(rate).train(layer.training)
            layer.register_forward_pre_hook(_drop)
    return model


def _drop(layer: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    assert isinstance(layer.dropout, nn.Dropout)
    return (layer.dropout(args[0]), *args[1:])


def _places(model: nn.Module, batch: tuple[Tensor, ...]) -> tuple[dict[nn.Module, str], nn.Module | None]:
    """Layers in the order in which they run, with the kind of their place, and the last batch norm, if any."""
    order: list[tuple[nn.Module, bool]] = []

    def note(module: nn.Module, args: tuple[object, ...]) -> None:
        order.append((module, bool(args) and isinstance(args[0], Tensor) and args[0].is_floating_point()))

    hooks = [
        m.register_forward_pre_hook(note) for m in model.modules() if isinstance(m, Weighted | BatchNorm)
    ]
    modes = {m: m.training for m in model.modules()}
    try:
        with torch.no_grad():
            model.eval()(*batch)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    norms = [i for i, (m, _) in enumerate(order) if isinstance(m, BatchNorm)]
    layers = [(i, m, real) for i, (m, real) in enumerate(order) if isinstance(m, Weighted)]
    places: dict[nn.Module, str] = {}
    for at, (i, layer, real) in enumerate(layers):
        if layer in places or not real or not isinstance(layer, Dense | Conv) or any(n > i for n in norms):
            continue
        if at == 0:
            places[layer] = "inputs"
        elif isinstance(layer, Dense) and isinstance(layers[at - 1][1], Dense):
            places[layer] = "last" if at == len(layers) - 1 else "hidden"
    return places, order[norms[-1]][0] if norms else None


def classical_dropout(
    x: Tensor, p: float, *, training: bool, generator: torch.Generator | None = None
) -> Tensor:
    """Dropout that scales in testing: in training zero with probability p, in testing times 1 − p.

    `nn.Dropout` scales by 1/(1 − p) in training instead and leaves testing alone; that one is the inverted dropout.
    In expectation the two give the same, up to the constant 1 − p that this one leaves in the activations.

    Args:
        x: of any shape.
        p: share dropped, in [0, 1).
        training: drop, or scale.
        generator: where random numbers come from; `None` is torch's own.

    Returns:
        A tensor like `x`.

    Raises:
        ValueError: p outside [0, 1).

    Helps: understanding; reading old models, which were trained so.

    Harms: elsewhere: every test must know p, and the scale of activations depends on it. Take `nn.Dropout`.

    Costs: one mask.

    Source: Srivastava et al., "Dropout", JMLR 2014, section 4 and figure 2.

    >>> classical_dropout(torch.ones(3), 0.25, training=False)
    tensor([0.7500, 0.7500, 0.7500])
    """
    if not 0 <= p < 1:
        raise ValueError(f"classical_dropout() got p={p}; the share that is dropped lies in [0, 1).")
    if not training:
        return x * (1 - p)
    mask = torch.empty(x.shape, device=x.device).bernoulli_(1 - p, generator=generator)
    return x * mask.to(x.dtype)
