"""Which layers feed an activation, which are gates and which give the output: seen in one real forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import is_dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from ..activation.curve import ELEMENTWISE, evaluating, is_activation
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

Plain = (int, float, str, bool, type(None))
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

    outputs: dict[nn.Module, list[Tensor]] = {}

    def ran(layer: nn.Module, arguments: object, output: object) -> None:
        if isinstance(
            output, Tensor
        ):  # its shape is read afterwards: here reading it is a call that is followed
            outputs.setdefault(layer, []).append(output)
            seen.known[id(output)] = output, _From(frozenset({layer}))

    def enter(module: nn.Module, arguments: object) -> None:
        seen.inside += 1

    def leave(module: nn.Module, arguments: object, output: object) -> None:
        seen.inside -= 1
        seen.activate(type(module).__name__.lower(), seen.of(*_tensors(arguments)), output)

    hooks = [m.register_forward_hook(ran) for m in names]
    for m in model.modules():  # of torch's own activations the functions are seen
        if not isinstance(m, ELEMENTWISE) and is_activation(m):
            hooks += [m.register_forward_pre_hook(enter), m.register_forward_hook(leave)]
    bare = model._modules.get("_orig_mod") or model
    try:
        with evaluating(model), torch.random.fork_rng(devices=[]), seen:
            result = bare(*batch)
    finally:
        for hook in hooks:
            hook.remove()
    for layer, held in outputs.items():
        seen.flow.layers[layer] = Ran(names[layer], tuple(held[-1].shape), len(held))
    comes = seen.of(*_tensors(result))
    seen.flow.output.update(comes.direct | comes.after)
    if not seen.flow.output and seen.flow.layers:  # what follows the last layer was not understood
        seen.flow.output.add(next(reversed(seen.flow.layers)))
    return seen.flow


class _From(NamedTuple):
    """Where a tensor comes from."""

    direct: frozenset[nn.Module] = frozenset()  # layers whose output it holds
    after: frozenset[nn.Module] = frozenset()  # layers whose output came through one activation since
    gating: frozenset[nn.Module] = frozenset()  # those of `after` whose activation was sigmoid or tanh

    def activated(self, by: str) -> _From:
        return _From(after=self.direct, gating=self.direct if by in GATING else frozenset())


class _Seen(TorchFunctionMode):
    """Follows tensors through the functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = Flow({}, set(), set(), set())
        self.inside = 0  # activation modules
        self.known: dict[int, tuple[Tensor, _From]] = {}  # the tensor is kept so that its id stays its own

    def of(self, *tensors: Tensor) -> _From:
        found = [self.known[id(t)][1] for t in tensors if id(t) in self.known]
        if len(found) == 1:
            return found[0]
        return _From(*(frozenset().union(*sets) for sets in zip(*found, strict=True))) if found else _From()

    def put(self, result: object, comes: _From) -> None:
        for tensor in _tensors(result):
            self.known[id(tensor)] = tensor, comes

    def activate(self, name: str, comes: _From, result: object) -> None:
        self.flow.activated.update(comes.direct)
        self.put(result, comes.activated(name))

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        if self.inside:
            return func(*args, **(kwargs or {}))
        inputs = _tensors(args) + _tensors(kwargs) if kwargs else _tensors(args)
        comes = self.of(*inputs)  # before the call: in place, what goes in comes out
        result = func(*args, **(kwargs or {}))
        if not inputs:
            return result
        name = getattr(func, "__name__", "")
        name = name if name.startswith("__") else name.strip("_")
        if name in CALLED:
            self.activate(name, comes, result)
        elif name in MULTIPLIED:
            for one, other in (inputs, inputs[::-1]) if len(inputs) == 2 else ():
                self._gate(self.of(one), other)
            self.put(result, comes._replace(gating=frozenset()))
        else:
            self.put(result, comes if name in THROUGH else _From())
        return result

    def _gate(self, one: _From, other: Tensor) -> None:
        """x * sigmoid(layer(y)) makes a gate of the layer; layer(x) * sigmoid(layer(x)) is an activation, and
        scale * tanh(layer(x)) is a scaled one."""
        if not isinstance(other, nn.Parameter):
            there = self.of(other)
            self.flow.gates.update(one.gating - there.direct - (there.after - there.gating))


def _tensors(nested: object) -> list[Tensor]:
    if isinstance(nested, Tensor):
        return [nested]
    if isinstance(nested, dict):
        return _tensors([*nested.values()])
    if isinstance(nested, list | tuple):
        found = []
        for part in nested:
            if isinstance(part, Tensor):
                found.append(part)
            elif not isinstance(part, Plain):
                found += _tensors(part)
        return found
    return _tensors(vars(nested)) if is_dataclass(nested) else []
