"""A learning rate from one short sweep: the rate grows at every step until the loss blows up.

    found = lr_range.range_test(net, optimizer, loader, lambda net, batch: loss_of(net(batch[0]), batch[1]))
    print(found)

The sweep runs on copies: model, optimiser, random numbers and the order of the data are as they were before, to the
bit. What it finds is where to begin, not where the optimum lies: bench/toolkit/lr_range.py holds it against grids of
trainings, with how often it is right. torch has no range test.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.utils.data import DataLoader

__all__ = ["RangeTest", "judge", "range_test"]

Batch = TypeVar("Batch")
Floats = npt.NDArray[np.float64]

WIDTH = 0.15
"""Standard deviation of the window that smooths the losses, in decades of the rate."""
FEWEST = 10
"""Finite losses without which nothing is said."""
SIGNIFICANT = 3.0
"""The loss must fall by this many standard errors of its smoothed value: the lowest of some fifty independent ones that
do not fall lies about 2.3 below their level."""


@dataclass(frozen=True, repr=False)
class RangeTest:
    """What a sweep saw, and the rate that it suggests; print it to see the curve.

    Helps: plotting `losses` and `smoothed` over `rates` (logarithmic) to judge for oneself.

    Harms: nothing.

    Costs: nothing.

    Source: `range_test` makes it.

    >>> judge([1e-3, 1e-2], [1.0, 1.0]).suggestion is None
    True
    """

    rates: Floats
    """`(steps,)`, rising; of the largest parameter group."""
    losses: Floats
    """`(steps,)`, each of the batch before its step; the last may be not finite."""
    smoothed: Floats
    """`(steps,)`, as the suggestion sees them."""
    suggestion: float | None
    """A rate to begin with; `None` where the sweep shows none."""
    reason: str
    """Why it is that, or why there is none."""

    def __repr__(self) -> str:
        head = f"suggestion {self.suggestion:.2g}" if self.suggestion is not None else "no suggestion"
        if not self.rates.size:
            return f"RangeTest: {head}. {self.reason}"
        return (
            f"RangeTest: {head}. {self.reason}\n"
            f"  {_bars(self.smoothed)}\n"
            f"  {self.rates[0]:<8.1g}{'rate':^{max(len(_bars(self.smoothed)) - 16, 4)}}{self.rates[-1]:>8.1g}"
        )


def range_test(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterable[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 200,
) -> RangeTest:
    """Train a copy for two hundred steps at a rate that grows from `low` to `high`, and suggest one to train with.

    The suggestion is the geometric mean of two rates: that at which half of the loss's fall lies behind, and a tenth of
    that at which the loss is lowest.

    Args:
        model: in the mode in which it trains. It is copied together with the optimiser.
        optimizer: any but L-BFGS, over parameters of `model`; its state comes along. Groups keep the ratios of their
            rates; the swept rate is that of the largest.
        batches: a `DataLoader` or list, gone through as often as needed; not an iterator, which would be used up.
        loss: gives the loss of a batch as a scalar, with the model that it is handed.
        low: first rate, so small that nothing moves yet.
        high: last rate; the sweep ends earlier when the loss blows up.
        steps: optimiser steps, at least 20.

    Returns:
        Rates, losses, the suggestion or `None`, and the reason. There is none where the loss did not fall by more than
        its noise, fell from the first rate on, was still falling at the last, or became NaN without having risen.

    Raises:
        ValueError: an argument outside its range; no batches; an optimiser with parameters that are not the model's; a
            loss that is no scalar or does not depend on the model handed to it.
        TypeError: an iterator, L-BFGS, or a model that cannot be copied (such as one under FSDP: ask before sharding).

    Helps: a new model or data set of which no good rate is known; again after a change of batch size or optimiser.

    Harms: problems that train for long at first slowly, where two hundred steps see the beginning only; rates under a
    warm-up and decay may be larger. Data sets with random generators inside objects of their own are not set back.

    Costs: two hundred training steps or fewer, and a copy of model and optimiser.

    Source: Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3, in the logarithm of
    the rate; the rule is ours, chosen by measurement.

    >>> _ = torch.manual_seed(0)
    >>> net, x = nn.Linear(8, 1), torch.randn(512, 8)
    >>> loader = DataLoader(torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True)), 32, shuffle=True)
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> found = range_test(net, sgd, loader, lambda net, b: nn.functional.mse_loss(net(b[0]), b[1]))
    >>> 0.01 < found.suggestion < 0.3
    True
    """
    if not (0 < low < high and isfinite(high)) or steps < 2 * FEWEST:
        raise ValueError(
            f"range_test() got low={low}, high={high}, steps={steps}; it needs 0 < low < high, and at least "
            f"{2 * FEWEST} steps."
        )
    if isinstance(batches, Iterator):
        raise TypeError(
            "range_test() got an iterator, which it would use up. Pass the loader itself, or a list."
        )
    if isinstance(optimizer, LBFGS):
        raise TypeError("range_test() got L-BFGS, which chooses the length of its steps itself.")
    own = set(model.parameters())
    if any(p not in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "range_test() got an optimiser with parameters that are not the model's, so no copy has them."
        )
    try:
        twin, stepper = copy.deepcopy((model, optimizer))
    except Exception as error:
        raise TypeError(f"range_test() cannot copy the model and its optimiser: {error}") from error
    rates = np.geomspace(low, high, steps)
    with _undisturbed(batches):
        losses = list(_sweep(twin, stepper, _endless(batches), loss, rates))
    return judge(rates[: len(losses)], losses)


def _sweep(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterator[Batch],
    loss: Callable[[nn.Module, Batch], Tensor],
    rates: Floats,
) -> Iterator[float]:
    """The loss before each step, until it is far above where it began, twice in a row, or not finite."""
    groups = optimizer.param_groups
    largest = max(float(group["lr"]) for group in groups)
    ratios = [float(group["lr"]) / largest if largest else 1.0 for group in groups]
    trained = [p for group in groups for p in group["params"] if p.requires_grad]
    seen: list[float] = []
    for rate in rates:
        for group, ratio in zip(groups, ratios, strict=True):
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate * ratio)
            else:
                group["lr"] = float(rate * ratio)
        value = loss(model, next(batches))
        if value.numel() != 1:
            raise ValueError(
                "range_test() needs a loss that gives a scalar tensor. Take its mean over the batch."
            )
        seen.append(value.item())
        yield seen[-1]
        begin = sorted(seen[:FEWEST])
        limit = begin[len(begin) // 2] + 3 * (begin[len(begin) // 2] - min(seen)) + 3 * (begin[-1] - begin[0])
        if not isfinite(seen[-1]) or (len(seen) > FEWEST and min(seen[-2:]) > limit):
            return
        # Not backward(): should `loss` use the original model by mistake, that would leave gradients there.
        gradients = torch.autograd.grad(value, trained, allow_unused=True) if value.requires_grad else ()
        if all(g is None for g in gradients):
            raise ValueError(
                "range_test() got a loss that does not depend on the model handed to it. Use the first argument: "
                "lambda net, batch: loss_of(net(batch[0]), batch[1])."
            )
        for p, g in zip(trained, gradients, strict=True):
            p.grad = g
        optimizer.step()


@np.errstate(over="ignore", invalid="ignore")  # of absurd losses no rate comes, and no warning
def judge(rates: npt.ArrayLike, losses: npt.ArrayLike) -> RangeTest:
    """The rate that a finished sweep suggests, or the reason why it suggests none.

    Args:
        rates: `(steps,)`, rising by equal factors.
        losses: `(steps,)`, the loss before each step; what follows the first that is not finite is left out.

    Returns:
        As `range_test`, which calls it.

    Raises:
        ValueError: rates that do not rise, or not as many losses.

    Helps: sweeps made by a loop of one's own.

    Harms: nothing.

    Costs: nothing.

    Source: ours; see `range_test`.

    >>> import numpy as np
    >>> rates = np.geomspace(1e-6, 10, 100)
    >>> print(judge(rates, 1 / (1 + 1000 * rates) + rates**2))
    RangeTest: suggestion 0.0029. Half of ...
    """
    r, y = np.asarray(rates, np.float64), np.asarray(losses, np.float64)
    if r.ndim != 1 or r.shape != y.shape or not (np.diff(r) > 0).all() or not (r > 0).all():
        raise ValueError(
            f"judge() got rates {r.shape} and losses {y.shape}; as many of both, and rates that rise."
        )
    finite = np.isfinite(y)
    n = int(finite.argmin()) if not finite.all() else y.size
    r, y = r[: n + 1], y[: n + 1]
    if n < FEWEST:
        at = (
            f"was {y[n]} at step {n}, before the rate could matter. Look for it in the data"
            if n < y.size
            else f"has {n} values"
        )
        return RangeTest(r, y, y, None, f"The loss {at}; a suggestion takes {FEWEST} at least.")
    x, kept = np.log10(r[:n]), y[:n]
    head = max(FEWEST, n // 5)  # where nothing moves yet
    level = float(np.median(kept[:head]))
    width = max(WIDTH / float(np.median(np.diff(x))), 1.0)
    clipped = np.minimum(kept, level + 2 * (level - kept.min()))  # else the blow-up would reach back
    smoothed = _gaussian(clipped, width)
    lowest = int(smoothed.argmin())
    fall = level - float(smoothed[lowest])
    scatter = max(_error(clipped[:head], width), _error(clipped[: lowest + 1], width))
    behind = np.flatnonzero(smoothed <= level - fall / 2)
    half = int(behind[0]) if behind.size else 0

    def none(why: str) -> RangeTest:
        return RangeTest(r, y, _padded(smoothed, y.size), None, why)

    if not fall > SIGNIFICANT * scatter:
        return none(
            f"The loss fell by {max(fall, 0):.2g} at most, with a noise of {scatter:.2g} after smoothing: no rate "
            f"trains. Look at data, loss and starting weights, or use a larger batch."
        )
    if half < FEWEST // 2 or smoothed[0] - smoothed[FEWEST - 1] > fall / 2:
        return none(f"The loss falls from the first rate on. Sweep from lower than {r[0]:.1g}.")
    risen = float(smoothed[-1]) > smoothed[lowest] + fall / 4
    if n < y.size and not risen:
        return none(
            f"The loss became {y[n]} at rate {r[n]:.1g} without having risen before, so it may not be the rate: look "
            f"for a batch with NaN, or for overflow in half precision."
        )
    if not risen and smoothed[-FEWEST] - smoothed[-1] > fall / 4:
        return none(f"The loss is still falling at rate {r[n - 1]:.1g}. Sweep to a higher one.")
    found = float(10 ** ((x[half] + x[lowest] - 1) / 2))
    ends = f"grows again up to {r[n - 1]:.1g}" if risen else f"has not blown up at {r[n - 1]:.1g}"
    why = f"Half of the loss's fall lies behind at rate {r[half]:.1g}, it is lowest at {r[lowest]:.1g}, and {ends}."
    return RangeTest(r, y, _padded(smoothed, y.size), found, why)


def _gaussian(values: Floats, width: float) -> Floats:
    """Means weighted by distance in steps; at the ends the window is cut."""
    i = np.arange(values.size)
    weights = np.exp(-0.5 * ((i[:, None] - i[None]) / width) ** 2)
    smoothed: Floats = (weights @ values) / weights.sum(1)
    return smoothed


def _error(values: Floats, width: float) -> float:
    """Standard error of the smoothed last value, from those before it only: behind it may lie the blow-up."""
    weights = np.exp(-0.5 * (np.arange(1 - values.size, 1) / width) ** 2)
    weights /= weights.sum()
    spread = sqrt(float(weights @ (values - weights @ values) ** 2))
    return spread * sqrt(float((weights**2).sum()))


def _padded(values: Floats, size: int) -> Floats:
    return np.concatenate([values, np.full(size - values.size, np.nan)])


def _bars(values: Floats, columns: int = 60) -> str:
    """A line of characters, low to high; `x` is not finite."""
    finite = values[np.isfinite(values)]
    low, span = (float(finite.min()), float(np.ptp(finite)) or 1.0) if finite.size else (0.0, 1.0)
    picked = values[np.linspace(0, values.size - 1, min(columns, values.size)).round().astype(int)]
    heights = (picked - low) / span * 7.99
    return "".join("▁▂▃▄▅▆▇█"[int(h)] if isfinite(h) else "x" for h in heights)


def _endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Through the batches again and again."""
    while True:
        empty = True
        for batch in _fresh(batches):
            empty = False
            yield batch
        if empty:
            raise ValueError("range_test() got no batches.")


def _fresh(batches: Iterable[Batch]) -> Iterable[Batch]:
    """A loader that shares all with the user's but the iterator that persistent workers make it keep."""
    if isinstance(batches, DataLoader):
        twin: DataLoader[Batch] = copy.copy(batches)
        twin._iterator = None
        return twin
    return batches


@contextmanager
def _undisturbed(batches: object) -> Iterator[None]:
    """Random numbers are as before afterwards: torch's, Python's, numpy's, and those that the loader holds."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    held = _generators(batches)
    saved = [_state(g) for g in held]
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        for generator, state in zip(held, saved, strict=True):
            _set_state(generator, state)


Generator = torch.Generator | np.random.Generator | random.Random


def _generators(holder: object, depth: int = 4) -> list[Generator]:
    """Random generators among the attributes of a loader, its samplers and data sets."""
    found: dict[int, Generator] = {}
    for value in vars(holder).values() if hasattr(holder, "__dict__") else ():
        if isinstance(value, torch.Generator | np.random.Generator | random.Random):
            found[id(value)] = value
        elif depth and isinstance(value, torch.utils.data.Sampler | torch.utils.data.Dataset):
            found |= {id(g): g for g in _generators(value, depth - 1)}
    return list(found.values())


def _state(generator: Generator) -> object:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    return (
        generator.getstate()
        if isinstance(generator, random.Random)
        else copy.deepcopy(generator.bit_generator.state)
    )


def _set_state(generator: Generator, state: object) -> None:
    if isinstance(generator, torch.Generator):
        assert isinstance(state, Tensor)
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        assert isinstance(state, tuple)
        generator.setstate(state)
    else:
        assert isinstance(state, dict)
        generator.bit_generator.state = state
