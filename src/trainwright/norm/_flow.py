"""Which layers feed an activation, which are gates and which give the output: seen in one real forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from ..activation.curve import evaluating, is_activation
from ..activation.swap import CALLED

GATING = frozenset("sigmoid hardsigmoid tanh".split())
THROUGH = frozenset(
    "add __add__ __radd__ __iadd__ sub __sub__ __rsub__ div __truediv__ neg reshape view flatten unflatten permute "
    "transpose movedim contiguous unsqueeze squeeze cat concat stack chunk split unbind __getitem__ expand to float "
    "half bfloat16 clone detach dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout max_pool1d "
    "max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d max_pool1d_with_indices "
    "max_pool2d_with_indices mean sum amax interpolate pad "
    "softmax log_softmax pixel_shuffle".split()
)
"""What a signal passes through on its way from a layer to an activation or to the output."""

MULTIPLIED = frozenset("mul __mul__ __rmul__ __imul__".split())


class Ran(NamedTuple):
    """A layer that ran."""

    name: str
    shape: tuple[int, ...]  # of its output
    calls: int


class Flow(NamedTuple):
    """What one forward pass showed; layers in the order in which they ran."""

    layers: dict[nn.Module, Ran]
    activated: set[nn.Module]
    gates: set[nn.Module]
    output: set[nn.Module]


@torch.no_grad()
def follow(model: nn.Module, batch: tuple[object, ...]) -> Flow:
    """Run the model once, in testing mode, and see where what its linear and convolution layers put out goes."""
    names: dict[nn.Module, str] = {
        m: name for name, m in model.named_modules() if isinstance(m, nn.Linear | _ConvNd)
    }
    seen = _Seen()

    def ran(layer: nn.Module, arguments: object, output: object) -> None:
        if isinstance(output, Tensor):
            before = seen.flow.layers.get(layer)
            seen.flow.layers[layer] = Ran(
                names[layer], tuple(output.shape), before.calls + 1 if before else 1
            )
            seen.put(output, frozenset({layer}), frozenset())

    def enter(module: nn.Module, arguments: object) -> None:
        seen.inside += 1

    def leave(module: nn.Module, arguments: object, output: object) -> None:
        seen.inside -= 1
        seen.activate(type(module).__name__.lower(), arguments, output)

    hooks = [m.register_forward_hook(ran) for m in names]
    for m in model.modules():
        if is_activation(m):
            hooks += [m.register_forward_pre_hook(enter), m.register_forward_hook(leave)]
    bare = model._modules.get("_orig_mod") or model
    try:
        with evaluating(model), torch.random.fork_rng(devices=[]), seen:
            result = bare(*batch)
    finally:
        for hook in hooks:
            hook.remove()
    for tensor in _tensors(result):
        direct, after = seen.of(tensor)
        seen.flow.output.update(direct | after)
    if not seen.flow.output and seen.flow.layers:  # what follows the last layer was not understood
        seen.flow.output.add(next(reversed(seen.flow.layers)))
    return seen.flow


Layers = frozenset[nn.Module]


class _Seen(TorchFunctionMode):
    """Of each tensor: the layers whose output it is, and those whose output came through one activation since."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = Flow({}, set(), set(), set())
        self.inside = 0  # activation modules
        self.known: dict[
            int, tuple[Tensor, Layers, Layers]
        ] = {}  # the tensor is kept so that its id stays its own
        self.gating: dict[int, Layers] = {}

    def put(self, tensor: Tensor, direct: Layers, after: Layers) -> None:
        self.known[id(tensor)] = tensor, direct, after

    def of(self, *tensors: Tensor) -> tuple[Layers, Layers]:
        found = [self.known[id(t)] for t in tensors if id(t) in self.known]
        return frozenset().union(*(f[1] for f in found)), frozenset().union(*(f[2] for f in found))

    def activate(self, name: str, arguments: object, result: object) -> None:
        direct, _ = self.of(*_tensors(arguments))
        self.flow.activated.update(direct)
        for tensor in _tensors(result):
            self.put(tensor, frozenset(), direct)
            if name in GATING:
                self.gating[id(tensor)] = direct

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        name = getattr(func, "__name__", "")
        plain = name if name.startswith("__") else name.removesuffix("_")
        inputs = [] if self.inside else _tensors((args, kwargs or {}))
        direct, after = self.of(*inputs)
        result = func(*args, **(kwargs or {}))
        if self.inside or not inputs:
            return result
        if plain in CALLED:
            # In place, the tensor that came in is the one that goes out: what it was is in `direct` already.
            self.flow.activated.update(direct)
            for tensor in _tensors(result):
                self.put(tensor, frozenset(), direct)
                if plain in GATING:
                    self.gating[id(tensor)] = direct
            return result
        if plain in MULTIPLIED and len(inputs) > 1:
            self._multiplied(inputs)
        if plain in THROUGH or (plain in MULTIPLIED and len(inputs) == 1):
            for tensor in _tensors(result):
                self.put(tensor, direct, after)
        else:
            for tensor in _tensors(result):
                self.known.pop(id(tensor), None)  # in place
        return result

    def _multiplied(self, inputs: list[Tensor]) -> None:
        """x * sigmoid(layer(y)) makes a gate of the layer, layer(x) * sigmoid(layer(x)) an activation."""
        for one, other in (inputs[:2], inputs[1::-1]):
            gate = self.gating.get(id(one), frozenset())
            direct, after = self.of(other)
            self.flow.gates.update(gate - direct - (after if id(other) not in self.gating else frozenset()))


def _tensors(nested: object) -> list[Tensor]:
    if isinstance(nested, Tensor):
        return [nested]
    if isinstance(nested, Mapping):
        nested = list(nested.values())
    leaves = torch.utils._pytree.tree_leaves(nested)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor)]
