"""What each weight is to become, from what the first pass has seen.

**Runs.** Layers with nothing between them but functions of each feature alone. The shares of the signal that each
activation bends add up along a run: with too much of it, all inputs come out alike, or gradients grow from layer
to layer. A run is then *mirrored*: units come in pairs (w, -w), whose values the next layer subtracts. It sees
f(z) - f(-z), in which the even part of f is gone: for ReLU, GELU, SiLU and softplus that is z itself, for sigmoid
tanh(z/2), so that a plain net of any depth starts nearly linear, and training bends it. What is odd and bent (tanh)
gets smaller inputs.

**Streams.** Sums of which one operand is what the other was made from, one after the other. Each of L branches gets 1/L
of the stream's variance, so that all together double it, and gradients alike. A branch scaled at its end alone would
send hardly any gradient to its first layers, so those take a part.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

from .follow import Identity, Step
from .look import Edge, Look, between

BEND = 1.2
"""Share of the signal, summed over a run, that may be bent before the run is mirrored: a plain net of two sigmoid or
three ReLU layers lies below it. By experiment: below it nothing is won, far above it nets do not train."""
CARRIES = 0.95
"""Where more than this share is even, the even part is the signal: a mean over all places of a picture cancels
the rest."""
ODD_BEND = 0.15
"""The same for what mirroring cannot remove; beyond it, inputs get smaller."""
SMALLEST = 0.505
"""No smaller than this: the standard deviation of inputs of an activation."""
HEAD = 0.55
"""No smaller than this: the standard deviation of the model's outputs. Otherwise it is the mean square of what the
output layer receives, at which that layer and those below get gradients of one size: 1 after a norm, 1/2 after ReLU."""
ENDS = frozenset({"sum", "layer", "attention", "recurrent", "input"})
"""Steps at which a walk back along a signal stops."""


@dataclass
class Plan:
    """What a weight is to become."""

    std: float = 1.0
    """Standard deviation of the layer's output; for a norm, its weight."""
    of: int | None = None
    """Step whose root mean square `std` is a multiple of: the stream that a branch joins."""
    mirror_out: bool = False
    mirror_in: bool = False
    head: bool = False
    """Whether its output is the model's."""


def plan(look: Look, outputs: list[Step], *, draw: bool) -> dict[Identity, Plan]:
    """Weight -> what it is to become; with `draw` it also gets new directions, which may be mirrored."""
    plans = {key: Plan() for key in look.uses}
    heads = {found for step in outputs if (found := end_of(step)).kind == "layer"}
    for key, of_key in plans.items():
        of_key.head = look.uses[key][0] in heads
    if draw:
        straighten(look, plans)
    ends, inner = branches(look)
    for key, (factor, of) in ends.items():
        plans[key].std *= factor
        plans[key].of = of
    if draw:
        for key, branch in inner.items():
            plans[key].std *= max(SMALLEST, sqrt(branch.share))
    return plans


def straighten(look: Look, plans: dict[Identity, Plan]) -> None:
    """Mirror the runs of layers that bend too much, and keep the inputs of bending activations small."""
    after: dict[Step, list[Edge]] = defaultdict(list)
    for edge in look.edges:
        if edge.source not in look.mixed:
            after[edge.source].append(edge)
    before = {edge.target: edge for edges in after.values() for edge in edges}
    behind: dict[Step, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    ahead: dict[Step, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for step in look.layers:
        if step in before:
            edge = before[step]
            bend, odd = behind[edge.source]
            behind[step] = bend + edge.bend, odd + edge.odd_bend
    for step in reversed(look.layers):
        for edge in after.get(step, ()):
            bend, odd = ahead[edge.target]
            ahead[step] = max(ahead[step], (bend + edge.bend, odd + edge.odd_bend))
    for step, edges in after.items():
        bend, odd = (b + a for b, a in zip(behind[step], ahead[step], strict=True))
        steps = (step, *(e.target for e in edges))
        mine, *theirs = (plans[s.key] for s in steps if s.key is not None)
        if odd > ODD_BEND and any(e.odd_bend > 1e-3 for e in edges):
            mine.std = max(
                SMALLEST, (ODD_BEND / odd) ** 0.25
            )  # a cubic f bends by its input to the fourth power
            for next_ in theirs:
                next_.std = mine.std if next_.head else next_.std
        once = all(len(look.uses[s.key]) == 1 for s in steps if s.key is not None)
        dense = all(look.shapes[s][0] == 1 for s in steps)
        if (
            bend > BEND
            and once
            and dense
            and look.shapes[step][1] > 2
            and any(1e-3 < e.even < CARRIES for e in edges)
        ):
            mine.mirror_out = True
            for next_ in theirs:
                next_.mirror_in = True


class Branch(NamedTuple):
    """What a layer inside a branch needs to know of it."""

    share: float
    """Of the stream: 1/sqrt(L)."""
    layers: int


def branches(look: Look) -> tuple[dict[Identity, tuple[float, int | None]], dict[Identity, Branch]]:
    """Weights that end a branch -> by what to scale their output, and the step whose size it is a multiple of; and
    weights before them -> their branch.
    """
    streams: dict[Step, Step] = {}
    members: dict[Step, list[Step]] = defaultdict(list)
    for s, skip in look.sums.items():
        if skip is not None:
            streams[s] = streams.get(end_of(skip), skip)
            members[streams[s]].append(s)
    ends: dict[Identity, tuple[float, int | None]] = {}
    inner: dict[Identity, Branch] = {}

    def scale(start: Step, factor: float, fork: int, of: int | None) -> None:
        todo = [(start, factor)]
        while todo:
            step, factor = todo.pop()
            layered = [i for i in step.inputs if i.layered]
            if step.index <= fork or not step.layered:
                continue
            if step.key is not None and step.kind in {"layer", "attention", "norm"}:
                ends.setdefault(step.key, (factor, of))
            elif step in streams:
                part = 1 / sqrt(len(members[streams[step]]))
                todo += [(i, factor * (1 if i is look.sums[step] else part)) for i in step.inputs]
            elif step.kind == "sum":
                todo += [(i, factor / sqrt(2)) for i in step.inputs]
            elif step.kind in {"cat", "concat", "stack"}:
                todo += [(i, factor) for i in layered]
            elif step.kind != "recurrent":
                # Of a product with a gate the first is the signal; of one with attention weights the last.
                todo.append((layered[0 if is_product(step) else -1], factor))

    for s, skip in reversed(look.sums.items()):  # outer sums before those inside their branches
        if skip is not None:
            share = 1 / sqrt(len(members[streams[s]]))
            for operand in s.inputs:
                if operand is not skip:
                    scale(operand, share, skip.index, streams[s].index)
                    layers = [i for i in between(skip, operand) if i is not skip and i.kind == "layer"]
                    for layer in layers:
                        if layer.key is not None:
                            inner.setdefault(layer.key, Branch(share, len(layers)))
        elif not any(gated(i) for i in s.inputs):
            for operand in s.inputs:
                scale(operand, 1 / sqrt(2), -1, None)
    return ends, {key: branch for key, branch in inner.items() if key not in ends}


def end_of(step: Step) -> Step:
    """The layer or sum that a signal comes from, through whatever is neither."""
    while step.kind not in ENDS and step.inputs:
        step = step.inputs[0]
    return step


def gated(step: Step) -> bool:
    """Whether a term of a sum is a product of two signals, as in the state of a hand-written recurrent cell."""
    while step.kind not in ENDS and step.inputs:
        if is_product(step) and sum(i.layered for i in step.inputs) > 1:
            return True
        step = step.inputs[0]
    return False


def is_product(step: Step) -> bool:
    return step.kind.rstrip("_") in {"mul", "imul", "rmul"}
