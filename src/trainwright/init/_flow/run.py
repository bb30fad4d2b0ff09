"""A model borrowed for a few forward passes, and given back as it was but for its weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import UninitializedParameter


@contextmanager
def borrowed(model: nn.Module) -> Iterator[None]:
    """Dropout off, batch norm on the batch's own statistics, gradients off; afterwards all is as it was.

    Afterwards buffers, modes and the random state are as before; parameters, too, if an error goes through.
    """
    modes = {m: m.training for m in model.modules()}
    buffers = [(m, n, b, b.detach().clone()) for m in modes for n, b in m._buffers.items() if b is not None]
    weights = {p: p.detach().clone() for p in model.parameters()}
    cards = sorted({t.get_device() for t in (*weights, *model.buffers()) if t.is_cuda})
    fast = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(cards))
        stack.enter_context(torch.no_grad())
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and importing it takes seconds
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            torch.backends.mha.set_fastpath_enabled(False)  # it hides the layers of a transformer in one call
            for m in modes:
                m.training = isinstance(m, _BatchNorm)
            yield
        except BaseException:
            for weight, kept in weights.items():
                weight.detach().copy_(kept)
            raise
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for m, name, buffer, kept in buffers:
                m._buffers[name] = buffer.copy_(kept)
            for m, mode in modes.items():
                m.training = mode


def check(model: nn.Module, who: str) -> None:
    """Refuse what cannot be initialised."""
    parameters = dict(model.named_parameters())
    if not parameters:
        raise ValueError(
            f"{who} got a {type(model).__name__} without parameters, so there is nothing to initialise."
        )
    if not any(p.requires_grad for p in parameters.values()):
        raise ValueError(
            f"{who} leaves frozen parameters alone, and all {len(parameters)} of {type(model).__name__} are. Set "
            f"`requires_grad=True` on those that are to be trained first."
        )
    for name, p in parameters.items():
        if isinstance(p, UninitializedParameter):
            raise ValueError(
                f"{who} got `{name}`, which has no shape yet. Call the model once on a batch first."
            )
        if p.is_meta:
            raise ValueError(
                f"{who} got `{name}` on the `meta` device, which holds no values. Call `model.to_empty(device=...)` "
                f"first; buffers need their values, too."
            )
        if hasattr(p, "device_mesh"):
            raise ValueError(
                f"{who} got `{name}`, which is sharded over ranks. Initialise the model before sharding it."
            )
