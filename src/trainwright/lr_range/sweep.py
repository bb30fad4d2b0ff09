"""The sweep."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from math import isfinite

import numpy as np
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from ._confirm import confirmed
from ._run import run
from ._undisturbed import Batch, endless, undisturbed
from .verdict import FEWEST, RangeTest, judge

__all__ = ["range_test"]


def range_test(
    model: nn.Module,
    loss: Callable[[nn.Module, Batch], Tensor],
    batches: Iterable[Batch],
    optimizer: Optimizer,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 200,
    confirm: int = 150,
) -> RangeTest:
    """A rate to train with: from a sweep of rates on a copy, and from short trainings at rates around what it shows.

    The sweep shows the geometric mean of two rates: that at which half of the loss's fall lies behind, and a tenth of
    that at which the loss is lowest. From there copies train anew, each at one rate: upwards by factors of 3.16 until
    one blows up or two in turn end higher, then downwards while that is lower. Suggested is the lowest rate whose loss
    at the end is the lowest but for noise. That loss is of batches that do not train: every fifth of the first fifty of
    a pass, in evaluation mode. Where a pass has fewer than five batches, it is that of the last quarter of the steps.

    Args:
        model: in the mode in which it trains. It is copied together with the optimiser.
        loss: gives the loss of a batch as a scalar, with the model that it is handed.
        batches: a `DataLoader` or list, gone through as often as needed; not an iterator, which would be used up.
        optimizer: any but L-BFGS, over parameters of `model`; its state comes along. Groups keep the ratios of their
            rates; the swept rate is that of the largest.
        low: first rate, so small that nothing moves yet.
        high: last rate; the sweep ends earlier when the loss blows up.
        steps: optimiser steps of the sweep, at least 20.
        confirm: optimiser steps of each of the trainings that follow, at least 20; 0 for the sweep alone.

    Returns:
        Rates, losses, how each training ended, the suggestion or `None`, and the reason. There is none where the loss
        of the sweep did not fall by more than its noise, fell from the first rate on, was still falling at the last, or
        became NaN without having risen; nor where all trainings blew up. A rate whose training did is not suggested.

    Raises:
        ValueError: an argument outside its range; no batches; an optimiser with parameters that are not the model's; a
            loss that is no scalar or does not depend on the model handed to it.
        TypeError: an iterator, L-BFGS, or a model that cannot be copied (such as one under FSDP: ask before sharding).

    Helps: a new model or data set of which no good rate is known; again after a change of batch size or optimiser.

    Harms: learning that begins after a plateau, of which two hundred steps see nothing: there it says so and suggests
    none, and wants more `steps`. The longer the trainings, the better they judge: in the bench they are from a quarter
    to all as long as the training to come, and with 50 steps no better than the sweep on the problems chosen on. Make
    `confirm` as long as you can afford. Where batches draw the same samples twice in a pass, or a data set hides a
    random generator inside objects of its own, samples that train also judge; such a generator is not set back either.

    Costs: at most `steps` and eight times `confirm` training steps: 1,400. In the bench, 690 to 790 on average. A copy
    of model and optimiser, one at a time, and up to ten batches in memory.

    Source: Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3, for the sweep, in the
    logarithm of the rate; how its curve is read, and the trainings that follow, are ours, chosen by measurement.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> net, x = nn.Linear(8, 1), torch.randn(512, 8)
    >>> data = torch.utils.data.TensorDataset(x, x.sum(1, keepdim=True))
    >>> loader = torch.utils.data.DataLoader(data, 32, shuffle=True)
    >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> found = range_test(net, lambda net, b: nn.functional.mse_loss(net(b[0]), b[1]), loader, sgd)
    >>> 0.01 < found.suggestion < 0.3
    True
    """
    if not (0 < low < high and isfinite(high)) or steps < 2 * FEWEST:
        raise ValueError(
            f"range_test() got low={low}, high={high}, steps={steps}; it needs 0 < low < high, and at least "
            f"{2 * FEWEST} steps."
        )
    if confirm and confirm < 2 * FEWEST:
        raise ValueError(
            f"range_test() got confirm={confirm}; it needs 0, for the sweep alone, or at least {2 * FEWEST} steps."
        )
    given: tuple[object, ...] = (model, loss, batches, optimizer)
    if not isinstance(given[3], Optimizer) or not callable(given[1]):
        got = ", ".join(type(a).__name__ for a in given)
        raise TypeError(
            f"range_test() got {got}; it takes the model, the loss, the batches and the optimiser."
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
    with undisturbed(batches):
        losses = list(run(twin, stepper, endless(batches), loss, rates))
    found = judge(rates[: len(losses)], losses)
    return confirmed(found, model, optimizer, batches, loss, confirm) if confirm else found
