"""The second pass: each weight is drawn and scaled as its layer runs, so the next layer already sees what it will see.

Nothing is repeated: a layer's output is linear in its weight, so one look at its standard deviation gives the factor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite, sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from .follow import ATTENTION_ARGUMENTS, Call, Follow, Identity, Step, layer_name, named, rms
from .owners import InPlace, Owner, owner_of
from .plan import HEAD, Plan
from .recurrent import Layers
from .weights import Use, directions, orthogonal

SAME = frozenset("dropout view reshape flatten getitem contiguous to transpose permute".split())
"""Functions that scale with their input."""


@dataclass(eq=False)
class Settle:
    """Visitor of the second pass."""

    model: nn.Module
    plans: dict[Identity, Plan]
    generator: torch.Generator | None
    draw: bool
    """Whether weights get new directions; else they are only scaled."""
    by_fans: bool = False
    """Whether scales come from the fans and He's gain, and `Plan.std` is a factor on those (Fixup)."""
    follow: Follow = field(init=False)
    done: set[Identity] = field(default_factory=set)
    levels: dict[int, float] = field(default_factory=dict)
    """Root mean square of the streams that branches join, by step."""
    norm_before: dict[Step, Tensor] = field(default_factory=dict)
    """Weights of the norms, by step: what scales the input of a layer whose own weight is taken."""
    tables: set[Identity] = field(default_factory=set)
    """Weights that were set as embeddings."""
    head: tuple[Use, Tensor] | None = None
    """The layer that the model's output comes from, and that output."""

    def __post_init__(self) -> None:
        self.watched = {p.of for p in self.plans.values() if p.of is not None}
        self.trainable = {name for name, p in self.model.named_parameters() if p.requires_grad}
        self.follow = Follow(self.model, self)

    def free(self, weight: Tensor | None) -> bool:
        """Whether a weight may be written: it can be, and all that it is made of is trained."""
        if weight is None or not self.follow.is_weight(weight):
            return False
        return self.trainable.issuperset(self.follow.parameters_of(weight)) and self.owner(weight) is not None

    def owner(self, weight: Tensor) -> Owner | None:
        return owner_of(self.model, self.follow.parameters_of(weight), weight)

    def write(self, weight: Tensor, value: Tensor) -> Tensor:
        """Give a weight new values; answers with what the layer makes of them."""
        owner = self.owner(weight)
        assert owner is not None
        return owner.write(value)

    def level(self, plan: Plan) -> float:
        return plan.std * (self.levels.get(plan.of, 1.0) if plan.of is not None else 1.0)

    def layer(self, step: Step, use: Use, call: Call) -> object:
        key = step.key
        plan = self.plans.get(key) if key is not None else None
        if key is None or plan is None or not self.free(use.weight):
            if key is not None and self.trainable.issuperset(key[0]):
                self.follow.unread |= dict.fromkeys(key[0], "the forward pass itself")
            return call()
        if key in self.done:
            return self.again(step, plan, call)
        self.done.add(key)
        if use.layout == "table":
            self.tables.add(key)
        bias_is_zero = use.bias is None
        if use.bias is not None and self.free(use.bias):
            self.write(use.bias, torch.zeros_like(use.bias))
            bias_is_zero = isinstance(self.owner(use.bias), InPlace)
        weight = use.weight.detach()
        if self.draw:
            drawn = directions(use, self.generator, mirror_out=plan.mirror_out, mirror_in=plan.mirror_in)
            weight = self.write(use.weight, drawn)
        result = with_weight(call, use.weight, weight)()
        assert isinstance(result, Tensor)
        # Rows have length 1 after a draw, and He's gain asks for a length of sqrt(2).
        he = 1.0 if use.layout == "table" else sqrt(2)
        target = (
            min(self.level(plan), max(HEAD, rms(use.input) ** 2))
            if plan.head and self.draw
            else self.level(plan)
        )
        factor = he * plan.std if self.by_fans else target / spread(result, key)
        weight = self.write(use.weight, weight * factor)
        if bias_is_zero and isinstance(self.owner(use.weight), InPlace):
            result = result * factor
        else:
            result = with_weight(call, use.weight, weight)()
            assert isinstance(result, Tensor)
        if plan.head:
            self.head = use, result
        return result

    def again(self, step: Step, plan: Plan, call: Call) -> object:
        """A weight that another layer has already set: a norm right before it can take the factor."""
        result = call()
        scale = self.norm_before.get(step.inputs[0]) if step.inputs else None
        if not (self.draw and scale is not None and isinstance(result, Tensor) and step.key is not None):
            return result
        if step.key not in self.tables:
            return result
        factor = 1 / spread(result, step.key)
        scale.mul_(factor)
        return result * factor

    def norm(self, step: Step, weight: Tensor, bias: Tensor | None, call: Call) -> object:
        plan = self.plans.get(step.key) if step.key is not None else None
        if self.draw and plan is not None and step.key not in self.done and step.key is not None:
            self.done.add(step.key)
            if self.free(weight):
                self.write(weight, torch.full_like(weight, self.level(plan)))
                self.norm_before[step] = weight
            if bias is not None and self.free(bias):
                self.write(bias, torch.zeros_like(bias))
        return call()

    def attention(self, step: Step, call: Call) -> object:
        got = named(call, ATTENTION_ARGUMENTS)
        packed = got.get("in_proj_weight")
        if isinstance(packed, Tensor):
            parts = list(packed.detach().chunk(3))
        else:
            parts = [p.detach() for n in "qkv" if isinstance(p := got.get(f"{n}_proj_weight"), Tensor)]
        owners = [packed] * 3 if isinstance(packed, Tensor) else [got.get(f"{n}_proj_weight") for n in "qkv"]
        key, out = step.key, got["out_proj_weight"]
        assert isinstance(out, Tensor)
        if key is None or key in self.done:
            return call()
        self.done.add(key)
        for bias in (got.get("in_proj_bias"), got.get("out_proj_bias")):
            if isinstance(bias, Tensor) and self.free(bias):
                bias.zero_()
        for part, owner, x in zip(parts, owners, (got["query"], got["key"], got["value"]), strict=True):
            assert isinstance(x, Tensor)
            if isinstance(owner, Tensor) and self.free(owner):
                if self.draw:
                    part.copy_(orthogonal(1, part.shape[0], part.shape[1], self.generator)[0])
                part.div_(spread(linear(x, part), key))
        if self.free(out) and self.draw:
            out.copy_(orthogonal(1, out.shape[0], out.shape[1], self.generator)[0])
        result = call()
        assert isinstance(result, tuple)
        if not self.free(out):
            return result
        factor = self.level(self.plans[key]) / spread(result[0], key)
        out.mul_(factor)
        return (result[0] * factor, *result[1:])

    def recurrent(self, step: Step, call: Call) -> object:
        layers = Layers.of(call) if self.draw else None
        if layers is None or not self.first(layers.weights):
            return call()
        for i in range(layers.count):  # a layer above sees what those below give
            layers.set(i, rms(layers.input(i)), self.generator)
        return call()

    def first(self, weights: list[Tensor]) -> bool:
        """Whether these weights may be written and have not been yet."""
        if not all(self.free(w) for w in weights):
            return False
        keys = {self.follow.identity(w) for w in weights}
        new = self.done.isdisjoint(keys)
        self.done |= keys
        return new

    def other(self, step: Step, tensors: list[Tensor], call: Call) -> object:
        result = call()
        if len(step.inputs) == 1 and step.inputs[0] in self.norm_before and step.kind in SAME:
            self.norm_before[step] = self.norm_before[step.inputs[0]]
        return result

    def seen(self, step: Step, tensor: Tensor) -> None:
        if step.index in self.watched:
            self.levels[step.index] = rms(tensor)


def spread(output: Tensor, key: Identity) -> float:
    """Standard deviation of a layer's output; refuses what no factor can scale."""
    values = output.detach().to(torch.float64 if output.dtype == torch.float64 else torch.float32)
    std = float(values.std(correction=0))
    name = layer_name(key)
    if not isfinite(std):
        raise ValueError(
            f"Layer `{name}` gives values that are not finite, so nothing can be said of their spread. Is there a NaN "
            f"or an infinity in the batch, or in a buffer of the model?"
        )
    if std <= 1e-6 * sqrt(float(values.square().mean())):
        raise ValueError(
            f"Layer `{name}` gives one constant output for the whole batch (std 0), so no scale can give it "
            f"variance. Are its weights all zero, or is its input constant?"
        )
    return std


def with_weight(call: Call, old: Tensor, new: Tensor) -> Callable[[], object]:
    """The call with another weight where the old one stood."""
    args = tuple(new if a is old else a for a in call.args)
    return Call(call.name, call.function, args, {k: new if v is old else v for k, v in call.kwargs.items()})
