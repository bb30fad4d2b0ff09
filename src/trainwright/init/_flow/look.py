"""The first pass: the model runs on noise, so that what stands between its layers shows.

Each layer's output is replaced by standard normal noise in two halves, z and -z. What the next layer receives then
tells of the function f between the two, whatever it is made of: half the difference of the halves is its odd part, half
their sum its even part. Sums are read off the steps. `plan` says what follows from it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .follow import SUMS, Call, Identity, Step, tensors_in
from .weights import Use

MIXES = frozenset(
    "softmax log_softmax softmin transpose permute swapaxes swapdims movedim t flip roll sort cumsum cumprod gather "
    "index_select unfold chunk split".split()
)
"""Functions that may keep a shape and still mix features or move them."""
SAMPLE = 16384


@dataclass(eq=False)
class Edge:
    """Two layers with nothing between but functions of each feature alone."""

    source: Step
    target: Step
    even: float
    """Share of the mean square that is the same for z and -z."""
    odd_bend: float
    """Share of the rest that is not proportional to z."""

    @property
    def bend(self) -> float:
        return self.even + (1 - self.even) * self.odd_bend


@dataclass(eq=False)
class Look:
    """Visitor of the first pass."""

    edges: list[Edge] = field(default_factory=list)
    mixed: set[Step] = field(default_factory=set)
    """Layers whose features were mixed with those of others, added to a stream, or read by something unknown."""
    layers: list[Step] = field(default_factory=list)
    sums: dict[Step, Step | None] = field(default_factory=dict)
    """Sum -> the operand that the other was made from, if one was."""
    uses: dict[Identity, list[Step]] = field(default_factory=lambda: defaultdict(list))
    biased: set[Identity] = field(default_factory=set)
    shapes: dict[Step, tuple[int, int, int, int]] = field(default_factory=dict)
    noise: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    def layer(self, step: Step, use: Use, call: Call) -> object:
        result = call()
        if not isinstance(result, Tensor) or step.key is None:
            return result
        self.layers.append(step)
        self.uses[step.key].append(step)
        if use.bias is not None:
            self.biased.add(step.key)
        self.shapes[step] = use.shape if use.layout != "table" else (0, use.weight.shape[1], 0, 1)
        if step.inputs:
            self.join(step.inputs[0], step, use.input, use.input.ndim + use.dim)
        step.source, step.dim = step, result.ndim + use.dim
        half = torch.randn(result.shape, generator=self.noise).to(result)
        pairs = result.shape[step.dim] // 2
        first = half.narrow(step.dim, 0, pairs)
        rest = half.narrow(step.dim, 2 * pairs, result.shape[step.dim] - 2 * pairs)
        made = torch.cat([first, -first, rest], step.dim)
        step.sample = some(made)
        return made

    def join(self, before: Step, step: Step, x: Tensor, dim: int) -> None:
        """Keep what a layer receives from the one layer before it, if it is one."""
        source = before.source
        if source is None or before.dim != dim or source.sample is None:
            self.mix(before)
            return
        z, seen = source.sample, some(x.detach())
        halves = seen.shape[dim] // 2
        if seen.shape[dim] % 2 or not halves or not bool(seen.isfinite().all()):
            self.mix(before)
            return
        up, down = seen.to(torch.float32).split(halves, dim)
        odd, even = (up - down) / 2, (up + down) / 2
        power = odd.square().mean() + even.square().mean()
        bent = torch.zeros(())
        if seen.shape == z.shape and float(odd.square().sum()) > 0:
            linear = z.to(torch.float32).split(halves, dim)[0]
            bent = 1 - (linear * odd).sum().square() / (linear.square().sum() * odd.square().sum())
        share = float(even.square().mean() / power) if float(power) > 0 else 1.0
        self.edges.append(Edge(source, step, share, float(bent)))

    def norm(self, step: Step, weight: Tensor, bias: Tensor | None, call: Call) -> object:
        if step.key is not None:
            self.uses[step.key].append(step)
        return self.other(step, list(tensors_in(call.args)), call)

    def attention(self, step: Step, call: Call) -> object:
        if step.key is not None:
            self.uses[step.key].append(step)
        return self.recurrent(step, call)

    def recurrent(self, step: Step, call: Call) -> object:
        self.layers.append(step)
        for before in step.inputs:
            self.mix(before)
        return call()

    def other(self, step: Step, tensors: list[Tensor], call: Call) -> object:
        before = next((t for t in tensors if t.is_floating_point()), None)
        shape = tuple(before.shape) if before is not None else ()
        result = call()
        if call.name.rstrip("_") in SUMS and len(step.inputs) == 2 and step.layered:
            skip = skip_of(step)
            if skip is not None or all(i.layered for i in step.inputs):  # else a mask or a constant is added
                step.kind = "sum"
                self.sums[step] = skip
        sources = {i.source for i in step.inputs if i.layered}
        dim = next((i.dim for i in step.inputs if i.layered), 0)
        if len(sources) == 1 and isinstance(result, Tensor) and call.name.rstrip("_") not in MIXES:
            kept = where(shape, tuple(result.shape), dim)
            if kept is not None:
                step.source, step.dim = sources.pop(), kept
                return result
        for i in step.inputs:
            self.mix(i)
        return result

    def seen(self, step: Step, tensor: Tensor) -> None:
        """Nothing: noise has no level."""

    def mix(self, before: Step) -> None:
        if before.source is not None:
            self.mixed.add(before.source)


def some(x: Tensor) -> Tensor:
    """As many samples of a batch as a few thousand numbers need."""
    each = max(1, x[:1].numel())
    return x[: max(1, SAMPLE // each)].clone()


def where(before: tuple[int, ...], after: tuple[int, ...], dim: int) -> int | None:
    """Where the features lie after a function, if each still stands in its place.

    >>> where((8, 32, 7, 7), (8, 32 * 49), 1), where((8, 20, 64), (160, 64), 2), where((8, 20, 64), (8, 64, 20), 2)
    (1, 1, None)
    """
    if len(after) == len(before) and after[dim] == before[dim]:
        return dim
    if dim < len(after) < len(before) and after[:dim] == before[:dim] and after[dim] % before[dim] == 0:
        return dim
    if dim == len(before) - 1 and after and after[-1] == before[-1]:
        return len(after) - 1
    return None


def skip_of(s: Step) -> Step | None:
    """The operand of a sum that the other operand was made from."""
    old, new = sorted(s.inputs, key=lambda i: i.index)
    return old if old is not new and old in between(old, new) else None


def between(old: Step, new: Step) -> dict[Step, None]:
    """The steps that led to `new`, from `old` on; `old` itself is among them if `new` was made from it."""
    todo, seen = [new], {new: None}
    while todo:
        for i in todo.pop().inputs:
            if i.index >= old.index and i not in seen:
                seen[i] = None
                todo.append(i)
    return seen
