"""The loss along a line and on a plane through weight space."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ._objective import Batch, Buffers, Loss, Objective, still

Floats = npt.NDArray[np.float64]


class Line(NamedTuple):
    """The loss on the straight way between two sets of weights."""

    positions: Floats
    """`(points,)`: 0 is the start, 1 the end."""
    losses: Floats
    """`(points,)`; infinite or NaN where the loss was."""

    @property
    def barrier(self) -> float:
        """How far the loss rises above the straight line between its two ends; 0 where it never does."""
        chord = self.losses[0] + self.positions * (self.losses[-1] - self.losses[0])
        return float(np.max(self.losses - chord))

    @property
    def barrier_at(self) -> float:
        """Position of the highest point above the straight line between the two ends."""
        chord = self.losses[0] + self.positions * (self.losses[-1] - self.losses[0])
        return float(self.positions[np.argmax(self.losses - chord)])


class Plane(NamedTuple):
    """The loss around the present weights in two directions."""

    steps: Floats
    """`(points,)`: how far along each direction; the middle one is 0, the present weights."""
    losses: Floats
    """`(points, points)`: `losses[i, j]` is at `steps[i]` of the first and `steps[j]` of the second direction."""


def line(
    model: nn.Module,
    loss: Loss[Batch],
    batches: Iterable[Batch],
    end: Mapping[str, Tensor],
    *,
    start: Mapping[str, Tensor] | None = None,
    points: int = 21,
    generator: torch.Generator | None = None,
) -> Line:
    """The loss along the straight line between two state dicts, and the barrier on it.

    Args:
        model: the architecture of both; left bitwise as it was.
        loss: `loss(model, batch)`, one number.
        batches: each of them counts the same; they are read once and kept.
        end: a state dict of `model`; one taken before training must have been copied
            (`copy.deepcopy(model.state_dict())`), or it follows the weights.
        start: another; without one, the model's present weights.
        points: how many evenly spaced positions, both ends among them, >= 3.
        generator: fixes dropout; without one, the default generator's present state does.

    Returns:
        `positions` and `losses`; `barrier` is how far they rise above the straight line between their ends.

    Raises:
        ValueError: names or shapes that are not the model's, too few points, no batches, or a loss that is not one
            number.

    Helps: from the start to the end of a training: a smooth fall says that the run was hard for another reason than
    the landscape. Between two trained nets: without a barrier their weights can be averaged.

    Harms: with batch normalisation in eval mode, whose statistics, interpolated like the weights, belong to neither
    net and raise a barrier of their own: measure in train mode. Units of two nets may be permuted against each other:
    a barrier between two starts says little.

    Costs: `points` forward passes a batch, 0.3 to 0.4 of a training step each, and the memory of three state
    dicts.

    Source: Goodfellow, Vinyals & Saxe, "Qualitatively characterizing neural network optimization problems", ICLR
    2015; the barrier as the error barrier of Frankle et al., "Linear mode connectivity and the lottery ticket
    hypothesis", ICML 2020, but against the chord, not the mean of the two ends.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> ends = [{"weight": torch.tensor([[w]])} for w in (-1.0, 1.0)]
    >>> found = line(net, lambda net, x: (net(x) ** 2 - 1).pow(2).sum(), [torch.ones(1, 1)], ends[1], start=ends[0])
    >>> round(found.barrier, 3), found.barrier_at
    (1.0, 0.5)
    """
    if points < 3:
        raise ValueError(f"line() got points={points}; it needs at least 3, both ends and one between them.")
    with still(model), _moving(model):
        objective = Objective("line", model, loss, batches, generator)
        own = {name: t for name, t in model.state_dict(keep_vars=True).items() if isinstance(t, Tensor)}
        # Copies: either may be the model's own weights, which are about to move.
        first = _copied("start", own if start is None else start, own)
        last = _copied("end", end, own)
        positions = np.linspace(0, 1, points)
        losses = []
        for t in positions:
            with torch.no_grad():
                for name, target in own.items():
                    between = target.is_floating_point() or target.is_complex()  # counters stay the start's
                    target.copy_(torch.lerp(first[name], last[name], float(t)) if between else first[name])
            losses.append(_value(objective))
        return Line(positions, np.array(losses))


def plane(
    model: nn.Module,
    loss: Loss[Batch],
    batches: Iterable[Batch],
    *,
    directions: tuple[Sequence[Tensor], Sequence[Tensor]] | None = None,
    reach: float = 1.0,
    points: int = 11,
    generator: torch.Generator | None = None,
) -> Plane:
    """The loss on a plane through the present weights.

    Args:
        model: left bitwise as it was.
        loss: `loss(model, batch)`, one number.
        batches: each of them counts the same; they are read once and kept.
        directions: two, each one tensor for each parameter that requires grad, in the order of
            `model.parameters()`; without them, two of `random_direction`.
        reach: how far to go each way, in lengths of the direction, > 0.
        points: positions along each direction, odd, >= 3.
        generator: of the directions and of dropout.

    Returns:
        `steps` and `losses`, ready for `matplotlib.pyplot.contour(found.steps, found.steps, found.losses.T)`.

    Raises:
        ValueError: directions of other shapes than the parameters, an even number of points, a reach that is not
            positive, no parameter that requires grad, no batches, or a loss that is not one number.

    Helps: to compare two architectures or two rates by eye: narrow or wide, smooth or chaotic.

    Harms: as proof: two directions of millions miss most of what there is, negative curvature above all.

    Costs: `points`² forward passes a batch: at 11 points some 40 training steps, and the memory of three copies of
    the weights.

    Source: Li, Xu, Taylor, Studer & Goldstein, "Visualizing the loss landscape of neural nets", NeurIPS 2018.

    >>> net = nn.Linear(4, 1)
    >>> found = plane(net, lambda net, x: net(x).pow(2).mean(), [torch.randn(8, 4)], points=5)
    >>> found.losses.shape
    (5, 5)
    """
    if points < 3 or points % 2 == 0 or not reach > 0:
        raise ValueError(
            f"plane() got points={points}, reach={reach}; it needs an odd number >= 3, and reach > 0."
        )
    with still(model), _moving(model):
        objective = Objective("plane", model, loss, batches, generator)
        own = objective.generator
        along = directions or (random_direction(model, own), random_direction(model, own))
        shapes = [tuple(p.shape) for p in objective.parameters]
        for direction in along:
            if [tuple(d.shape) for d in direction] != shapes:
                raise ValueError(
                    f"plane() got a direction of shapes {[tuple(d.shape) for d in direction]}; it needs one tensor "
                    f"for each parameter that requires grad: {shapes}."
                )
        here = [p.detach().clone() for p in objective.parameters]
        steps = np.linspace(-reach, reach, points)
        losses = np.empty((points, points))
        for i, j in np.ndindex(points, points):
            with torch.no_grad():
                for p, middle, first, second in zip(objective.parameters, here, *along, strict=True):
                    p.copy_(middle + float(steps[i]) * first.to(p) + float(steps[j]) * second.to(p))
            losses[i, j] = _value(objective)
        return Plane(steps, losses)


@torch.no_grad()
def random_direction(model: nn.Module, generator: torch.Generator | None = None) -> list[Tensor]:
    """A random direction in weight space, each filter as long as the model's own.

    Without that, a network with large weights looks flat and one with small weights sharp, although both
    compute the same.

    Args:
        model: its parameters that require grad give shapes and lengths; left as it is.
        generator: of the numbers.

    Returns:
        One tensor for each parameter that requires grad. A filter is a row of the first dimension; biases, norm
        scales and all else with fewer than two dimensions get zero.

    Raises:
        ValueError: no parameter requires grad.

    Helps: as a direction for `plane`, and to test how much noise in the weights a network bears.

    Harms: for transposed convolutions, whose first dimension is the input's, it keeps the length by input channel.

    Costs: two copies of the weights.

    Source: Li et al., "Visualizing the loss landscape of neural nets", NeurIPS 2018, section 4.

    >>> net = nn.Linear(4, 2)
    >>> weight, bias = random_direction(net)
    >>> torch.allclose(weight.norm(dim=1), net.weight.norm(dim=1)), bias.abs().sum().item()
    (True, 0.0)
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("random_direction() got a model without a parameter that requires grad.")
    direction: list[Tensor] = []
    for p in parameters:
        if p.dim() < 2:
            direction.append(torch.zeros_like(p))
            continue
        noise = torch.randn(p.shape, generator=generator).to(p)
        length, own = (t.flatten(1).norm(dim=1).view(-1, *[1] * (p.dim() - 1)) for t in (noise, p))
        direction.append(noise * (own / length))
    return direction


@contextmanager
def _moving(model: nn.Module) -> Iterator[None]:
    """Put the weights back, bit by bit."""
    kept = [(p, p.detach().clone()) for p in model.parameters()]
    try:
        yield
    finally:
        with torch.no_grad():
            for p, value in kept:
                p.copy_(value)


@torch.no_grad()
def _value(objective: Objective[Batch]) -> float:
    """The mean loss at the weights and buffers that the model has now."""
    objective.buffers = Buffers(objective.model)
    return float(np.mean([float(value) for value in objective.losses()]))


@torch.no_grad()
def _copied(what: str, given: Mapping[str, object], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state's tensors as the model holds them, if they fit it."""
    tensors = {name: t for name, t in given.items() if isinstance(t, Tensor)}
    wrong = sorted(tensors.keys() ^ own.keys())
    if wrong:
        raise ValueError(f"line() got a `{what}` whose names differ from the model's, first at `{wrong[0]}`.")
    for name, tensor in own.items():
        if tensors[name].shape != tensor.shape:
            raise ValueError(
                f"line() got a `{what}` with `{name}` of shape {tuple(tensors[name].shape)}; the model's is "
                f"{tuple(tensor.shape)}."
            )
    return {name: t.detach().to(own[name], copy=True) for name, t in tensors.items()}
