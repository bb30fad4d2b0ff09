"""What the autograd graph tells, read from the loss back, before backward frees it: nothing is computed,
nothing changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd.graph import Node

NODES = 4_000
"""Nodes that are visited at the most: some 1 us each."""

SATURATING_OR_ZERO = {
    "ReluBackward0": "relu",
    "SigmoidBackward0": "sigmoid",
    "TanhBackward0": "tanh",
}
"""Functions whose result the graph keeps, so that it can be sampled without a hook."""

FUNCTIONS = {
    **SATURATING_OR_ZERO,
    "SoftmaxBackward0": "softmax",
    "LogSoftmaxBackward0": "log_softmax",
    "HardtanhBackward0": "hardtanh",
    "LeakyReluBackward0": "leaky_relu",
    "EluBackward0": "elu",
    "GeluBackward0": "gelu",
    "SiluBackward0": "silu",
    "MishBackward0": "mish",
    "SoftplusBackward0": "softplus",
    "LogSigmoidBackward0": "logsigmoid",
    "ThresholdBackward0": "threshold",
    "AddmmBackward0": "linear",
    "MmBackward0": "linear",
    "BmmBackward0": "linear",
    "LinearBackward0": "linear",
    "ConvolutionBackward0": "conv",
    "EmbeddingBackward0": "embedding",
    "NativeBatchNormBackward0": "batch_norm",
    "NativeLayerNormBackward0": "layer_norm",
    "LogBackward0": "log",
    "ExpBackward0": "exp",
    "ClampBackward1": "clamp",
}

REDUCTIONS = frozenset(
    "MeanBackward0 MeanBackward1 SumBackward0 SumBackward1 DivBackward0 MulBackward0 SqrtBackward0".split()
)
"""Nodes that may lie between a difference and the loss that is made of it."""

HAZARDS = frozenset(
    "LogBackward0 SqrtBackward0 RsqrtBackward0 DivBackward0 PowBackward0 ReciprocalBackward0".split()
)
"""Functions that have values or slopes that are not finite."""

LAYERS = frozenset({"linear", "conv", "embedding", "batch_norm", "layer_norm"})

RESHAPES = frozenset(
    """ViewBackward0 UnsafeViewBackward0 ReshapeAliasBackward0 SqueezeBackward0 SqueezeBackward1
    SqueezeBackward2 UnsqueezeBackward0 TransposeBackward0 TBackward0 PermuteBackward0 SelectBackward0
    SliceBackward0 ToCopyBackward0 ExpandBackward0 CloneBackward0 IndexBackward0 AliasBackward0
    ContiguousBackward""".split()
)
"""Nodes that only move values about."""


@dataclass
class Activation:
    """An activation function in the graph."""

    function: str
    result: Tensor
    feeder: Tensor  # the parameter of the layer that feeds it


@dataclass
class Graph:
    """What one walk found."""

    activations: list[Activation] = field(default_factory=list)
    leaves: list[Tensor] = field(default_factory=list)
    """Tensors that will receive a gradient."""
    hazards: list[tuple[str, str]] = field(default_factory=list)
    """(function, why) where a value or a slope cannot be finite."""
    compiled: bool = False
    whole: bool = True


def walk(root: Tensor, *, read_saved: bool) -> Graph:
    """Visit the graph from `root` back, breadth first.

    Args:
        root: the loss.
        read_saved: whether saved results may be looked at; not where saved-tensor hooks are in use
        (activation
            checkpointing, offloading), since looking would run them.
    """
    found = Graph()
    start = root.grad_fn
    if start is None:
        return found
    # (node, whether its result is a gate, whether a layer lies between it and the loss)
    queue: deque[tuple[Node, bool, bool]] = deque([(start, False, False)])
    seen = {start}
    while queue:
        node, gate, behind_layer = queue.popleft()
        name = node.name()
        if name.startswith("CompiledFunction"):
            found.compiled = True
        if name == "torch::autograd::AccumulateGrad":
            found.leaves.append(node.variable)  # type: ignore[attr-defined]
            continue
        function = FUNCTIONS.get(name)
        if read_saved and name in HAZARDS and (why := _culprit(node)) is not None:
            found.hazards.append((_function(node), why))
        # Not the output's own activation (nothing lies behind it), and not a gate.
        if name in SATURATING_OR_ZERO and behind_layer and read_saved and not gate:
            feeder = _feeder(node)
            result = _saved(node, "_saved_result")
            if feeder is not None and result is not None:
                found.activations.append(Activation(SATURATING_OR_ZERO[name], result, feeder))
        behind_layer = behind_layer or function in LAYERS
        # Multiplied with what is learned, too; times a mask (dropout) or a number it is still an activation.
        multiplies = name == "MulBackward0" and sum(n is not None for n, _ in node.next_functions) > 1
        for child, _ in node.next_functions:
            if child is not None and child not in seen:
                if len(seen) >= NODES:
                    found.whole = False
                    return found
                seen.add(child)
                queue.append((child, multiplies, behind_layer))
    return found


def made_by(x: Tensor) -> tuple[str | None, int | None]:
    """Name of the function that made `x` (reshaping passed over), and the number of its node in the order of
    making."""
    node = x.grad_fn
    for _ in range(16):
        if node is None:
            return None, None
        name = node.name()
        if name not in RESHAPES:
            function = FUNCTIONS.get(name, name.removesuffix("Backward0").lower())
            return function, node._sequence_nr()
        node = node.next_functions[0][0] if node.next_functions else None
    return None, None


def is_scaled(root: Tensor, inner: Tensor) -> bool:
    """Whether `root` is `inner` times or over something (a scaler's factor, a number of accumulated
    batches)."""
    node = root.grad_fn
    if node is None or inner.grad_fn is None:
        return False
    target = inner.grad_fn._sequence_nr()
    for _ in range(5):
        if node is None:
            return False
        if node._sequence_nr() == target:
            return True
        if node.name() not in ("MulBackward0", "DivBackward0", "ToCopyBackward0", "MeanBackward0"):
            return False
        node = next((n for n, _ in node.next_functions if n is not None), None)
    return False


def difference(root: Tensor) -> tuple[str, list[int], list[int]] | None:
    """A squared or absolute difference written by hand: which, the prediction's shape, and the difference's.

    `None` where the loss is none, or where both sides are computed by the network.
    """
    node, found = root.grad_fn, ""
    for _ in range(12):
        if node is None:
            return None
        name, inputs = node.name(), [n for n, _ in node.next_functions]
        if name == "SubBackward0" and found:
            sides = [n for n in inputs if n is not None]
            if len(sides) != 1:
                return None
            return found, list(sides[0]._input_metadata[0].shape), list(node._input_metadata[0].shape)
        if name == "PowBackward0" and getattr(node, "_saved_exponent", None) == 2:
            found = "squared"
        elif name == "AbsBackward0":
            found = "absolute"
        elif name == "MulBackward0" and len(inputs) == 2 and inputs[0] is inputs[1]:
            found = "squared"
        elif name not in REDUCTIONS and name not in RESHAPES:
            return None
        node = (
            inputs[0]
            if inputs and inputs[0] is not None
            else next((n for n in inputs if n is not None), None)
        )
    return None


def first_non_finite(root: Tensor) -> tuple[str, str, Node] | None:
    """The deepest function whose saved input shows why its result is not finite: (name, why, node)."""
    start = root.grad_fn
    if start is None:
        return None
    queue: deque[Node] = deque([start])
    seen = {start}
    found: tuple[str, str, Node] | None = None
    while queue:
        node = queue.popleft()
        why = _culprit(node)
        if why is not None:
            found = (_function(node), why, node)
        for child, _ in node.next_functions:
            if child is not None and child not in seen and len(seen) < NODES:
                seen.add(child)
                queue.append(child)
    return found


def _function(node: Node) -> str:
    return FUNCTIONS.get(node.name(), node.name().split("Backward")[0].lower())


def _culprit(node: Node) -> str | None:
    """Why this function of finite numbers is not finite, or has no finite gradient; `None` where it has."""
    name = node.name()
    if name in ("LogBackward0", "Log2Backward0", "Log10Backward0", "RsqrtBackward0", "ReciprocalBackward0"):
        x = _saved(node, "_saved_self")
        if x is None:
            x = _saved(node, "_saved_result")
            return "its input holds 0" if x is not None and bool(torch.isinf(x).any()) else None
        return _holds(x, negative=name.startswith("Log"))
    if name == "SqrtBackward0":
        x = _saved(node, "_saved_result")
        if x is not None and bool((x == 0).any()):
            return "its input holds 0, where its slope is infinite"
        return "its input is negative" if x is not None and bool(x.isnan().any()) else None
    if name == "DivBackward0":
        x = _saved(node, "_saved_other")
        return "it divides by 0" if x is not None and bool((x == 0).any()) else None
    if name in ("ExpBackward0", "Expm1Backward0"):
        x = _saved(node, "_saved_result")
        return "it overflows" if x is not None and bool(x.isinf().any()) else None
    if name == "PowBackward0":
        x, exponent = _saved(node, "_saved_self"), getattr(node, "_saved_exponent", None)
        if x is not None and isinstance(exponent, int | float) and exponent < 1 and bool((x <= 0).any()):
            return f"it raises {float(x.min()):.3g} to the power {exponent:g}"
    return None


def _holds(x: Tensor, *, negative: bool) -> str | None:
    if not bool(torch.isfinite(x).all()):
        return None  # not the first: what it was given is not finite either
    low = float(x.min())
    if low == 0 or (bool((x == 0).any()) and not (negative and low < 0)):
        return "its input holds 0"
    return f"its input holds {low:.3g}" if negative and low < 0 else None


def _feeder(node: Node) -> Tensor | None:
    """The parameter of the nearest layer that feeds a node; `None` where that layer is frozen or there is
    none."""
    queue = deque([node])
    for _ in range(16):
        if not queue:
            return None
        here = queue.popleft()
        if FUNCTIONS.get(here.name()) in LAYERS:
            return next(_parameters(here), None)
        queue.extend(n for n, _ in here.next_functions if n is not None)
    return None


def _parameters(node: Node) -> Iterator[Tensor]:
    for child, _ in node.next_functions:
        if child is not None and child.name() in ("TBackward0", "TransposeBackward0"):
            child = child.next_functions[0][0]
        if child is not None and child.name() == "torch::autograd::AccumulateGrad":
            yield child.variable  # type: ignore[attr-defined]


def _saved(node: Node, name: str) -> Tensor | None:
    """A saved tensor; `None` where it is freed, was changed in place, or the node has none."""
    try:
        value = getattr(node, name, None)
    except RuntimeError:
        return None
    # Of a DTensor the part that is here: asking for the whole would start a collective.
    return getattr(value.detach(), "_local_tensor", value.detach()) if isinstance(value, Tensor) else None
