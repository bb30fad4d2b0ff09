"""Who has to be told when a weight gets new values: a parameter itself, or the module that makes the weight."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class InPlace:
    """A parameter, or a view of one."""

    weight: Tensor

    def write(self, value: Tensor) -> Tensor:
        return self.weight.copy_(value)


@dataclass
class Parametrized:
    """A weight made by `torch.nn.utils.parametrize`, as weight norm is."""

    module: nn.Module
    name: str

    def write(self, value: Tensor) -> Tensor:
        with suppress(
            NotImplementedError, ValueError
        ):  # a parametrisation that has no such value keeps its own
            setattr(self.module, self.name, value)
        made: Tensor = getattr(self.module, self.name)
        return made.detach()


@dataclass
class WeightNormed:
    """A weight made by the older `torch.nn.utils.weight_norm`."""

    module: nn.Module
    name: str
    dim: int | None

    def write(self, value: Tensor) -> Tensor:
        size = value.norm() if self.dim is None else torch.norm_except_dim(value, 2, self.dim)
        getattr(self.module, f"{self.name}_v").copy_(value)
        getattr(self.module, f"{self.name}_g").copy_(size)
        return value


Owner = InPlace | Parametrized | WeightNormed


def owner_of(model: nn.Module, names: tuple[str, ...], weight: Tensor) -> Owner | None:
    """The owner of a weight; `None` where nobody can be told, as for one that a forward computes by itself.

    Args:
        model: the model.
        names: the parameters that the weight is made of.
        weight: the weight as the layer's call got it.
    """
    here = weight.untyped_storage().data_ptr()
    if any(model.get_parameter(n).untyped_storage().data_ptr() == here for n in names):
        return InPlace(weight.detach())
    path, parametrized, attribute = f".{names[0]}".partition(".parametrizations.")
    if parametrized:
        return Parametrized(model.get_submodule(path[1:]), attribute.split(".")[0])
    module = model.get_submodule(names[0].rpartition(".")[0])
    for hook in module._forward_pre_hooks.values():
        name = getattr(hook, "name", None)
        if type(hook).__name__ == "WeightNorm" and f".{names[0]}".endswith((f".{name}_g", f".{name}_v")):
            return WeightNormed(module, str(name), hook.dim)  # type: ignore[attr-defined]
    return None
