"""Following a forward pass: every call that makes a tensor becomes a step that knows the steps before it.

A mode of `torch.overrides` sees the calls of `torch`, `torch.nn.functional` and of tensors, whatever the model is built
of and whatever its forward does; nothing of the model is hooked or rewritten. A layer is a call that uses a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from .weights import CALLS, Use, use_of

Function = Callable[..., object]
Arguments = tuple[object, ...]
Named = Mapping[str, object]

NORMS = frozenset({"layer_norm", "batch_norm", "group_norm", "instance_norm", "rms_norm"})
RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
CELLS = frozenset({"lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"})
ATTENTION = "multi_head_attention_forward"
UNREAD = frozenset({"einsum", "tensordot", "bilinear", "baddbmm", "inner"})
"""Functions that may use a weight in ways that are not looked into."""
SUMS = frozenset({"add", "iadd", "radd"})


Identity = tuple[tuple[str, ...], int, tuple[int, ...]]
"""A weight: the names of the parameters it is made of, and which part of them it is (offset, shape)."""


@dataclass(eq=False)
class Step:
    """One call that made a tensor, or a tensor that came from outside."""

    index: int
    kind: str
    """"layer", "attention", "recurrent", "norm", "sum", "input", or the function's name."""
    inputs: tuple[Step, ...] = ()
    key: Identity | None = None
    """Its weight, if it is a layer, an attention (the last weight) or a norm."""
    layered: bool = False
    """Whether a layer stands before it."""
    source: Step | None = None
    """The one layer whose features these still are, each for itself; `None` once features of several were mixed."""
    dim: int = 0
    """Where those features lie."""
    sample: Tensor | None = field(default=None, repr=False)
    """Some of the noise that stood for the output of this layer."""


class Visitor(Protocol):
    """What is done at a call. Each answers with the call's result."""

    def layer(self, step: Step, use: Use, call: Call) -> object: ...

    def norm(self, step: Step, weight: Tensor, bias: Tensor | None, call: Call) -> object: ...

    def attention(self, step: Step, call: Call) -> object: ...

    def recurrent(self, step: Step, call: Call) -> object: ...

    def other(self, step: Step, tensors: list[Tensor], call: Call) -> object: ...

    def seen(self, step: Step, tensor: Tensor) -> None: ...


@dataclass
class Call:
    """A function with what it is called with."""

    name: str
    function: Function
    args: Arguments
    kwargs: Named

    def __call__(self) -> object:
        return self.function(*self.args, **self.kwargs)


class Follow(TorchFunctionMode):
    """Gives each call of a forward pass to a visitor, with its step.

    The order of steps is that of the calls, so two passes number them alike unless the model's path depends on values.
    """

    def __init__(self, model: nn.Module, visitor: Visitor) -> None:
        super().__init__()
        self.names = {id(p): name for name, p in model.named_parameters()}
        self.visitor = visitor
        self.steps = WeakIdKeyDictionary()
        self.made_of = WeakIdKeyDictionary()
        """Tensor -> names of the parameters that it is made of, and of nothing else."""
        self.unread: dict[str, str] = {}
        """Parameters that are used by a function that is not looked into -> that function."""
        self.count = 0

    def __torch_function__(
        self, func: Function, types: object, args: Arguments = (), kwargs: Named | None = None
    ) -> object:
        call = Call(str(getattr(func, "__name__", func)).strip("_"), func, args, kwargs or {})
        tensors = list(tensors_in((*args, *call.kwargs.values())))
        if not tensors:
            return call()
        if call.name not in CALLS and all(self.is_weight(t) for t in tensors):
            result = call()
            names = tuple(dict.fromkeys(n for t in tensors for n in self.parameters_of(t)))
            for made in tensors_in((result,)):
                if id(made) not in self.names:
                    self.made_of[made] = names
            return result
        inputs = tuple(self.step(t) for t in tensors if not self.is_weight(t))
        step = Step(self.count, call.name, inputs, layered=any(i.layered for i in inputs))
        self.count += 1
        result = self.visit(step, tensors, call)
        for made in tensors_in((result,)):
            if made.is_floating_point() and not self.is_weight(made):
                self.steps[made] = step
                self.visitor.seen(step, made)
        return result

    def visit(self, step: Step, tensors: list[Tensor], call: Call) -> object:
        use = use_of(call.name, call.args, call.kwargs, self.is_weight)
        if use is not None:
            step.kind, step.layered, step.key = "layer", True, self.identity(use.weight)
            return self.visitor.layer(step, use, call)
        weights = [t for t in tensors if self.is_weight(t)]
        if call.name in NORMS and weights:
            step.kind, step.key = "norm", self.identity(weights[0])
            return self.visitor.norm(step, weights[0], weights[1] if len(weights) > 1 else None, call)
        if call.name == ATTENTION:
            step.kind, step.layered = "attention", True
            step.key = self.identity(named(call, ATTENTION_ARGUMENTS)["out_proj_weight"])
            return self.visitor.attention(step, call)
        if call.name in RECURRENT | CELLS:
            step.kind, step.layered = "recurrent", True
            return self.visitor.recurrent(step, call)
        if call.name in UNREAD:
            self.unread |= {n: call.name for w in weights if w.ndim > 1 for n in self.parameters_of(w)}
        return self.visitor.other(step, tensors, call)

    def step(self, tensor: Tensor) -> Step:
        """The step that made a tensor; one of its own if it came from outside."""
        known: Step | None = self.steps.get(tensor)
        if known is None:
            known = self.steps[tensor] = Step(self.count, "input")
            self.count += 1
            self.visitor.seen(known, tensor)
        return known

    def is_weight(self, what: object) -> bool:
        """Whether it is a parameter of the model, or made of parameters alone."""
        return isinstance(what, Tensor) and (id(what) in self.names or what in self.made_of)

    def parameters_of(self, weight: Tensor) -> tuple[str, ...]:
        own = self.names.get(id(weight))
        names: tuple[str, ...] = (own,) if own is not None else self.made_of[weight]
        return names

    def identity(self, weight: object) -> Identity:
        """The same for each use of the same part of the same parameters."""
        assert isinstance(weight, Tensor)
        return self.parameters_of(weight), int(weight.storage_offset()), tuple(weight.shape)


ATTENTION_ARGUMENTS = (
    "query key value embed_dim_to_check num_heads in_proj_weight in_proj_bias bias_k bias_v add_zero_attn dropout_p "
    "out_proj_weight out_proj_bias"
)


def named(call: Call, names: str) -> dict[str, object]:
    """The arguments of a call by name."""
    return {**dict(zip(names.split(), call.args, strict=False)), **call.kwargs}


def tensors_in(what: object) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dictionaries, in order."""
    if isinstance(what, Tensor):
        yield what
    elif isinstance(what, Mapping):
        for value in what.values():
            yield from tensors_in(value)
    elif isinstance(what, (list, tuple)):
        for value in what:
            yield from tensors_in(value)


def layer_name(key: Identity) -> str:
    """What the user calls the layer that owns a weight."""
    name = key[0][0].split(".parametrizations.")[0]
    return name if name != key[0][0] else name.rpartition(".")[0] or name


def rms(x: Tensor) -> float:
    """Root of the mean square."""
    return float(x.detach().to(torch.float32).square().mean().sqrt())
