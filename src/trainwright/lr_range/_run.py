"""Training steps at given rates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import isfinite

from torch import Tensor, nn
from torch.autograd import grad
from torch.optim import Optimizer

from ._undisturbed import Batch
from .verdict import FEWEST

Loss = Callable[[nn.Module, Batch], Tensor]


def run(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Iterator[Batch],
    loss: Loss[Batch],
    rates: Iterable[float],
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
        if blown_up(seen):
            return
        # Not backward(): should `loss` use the original model by mistake, that would leave gradients there.
        gradients = grad(value, trained, allow_unused=True) if value.requires_grad else ()
        if all(g is None for g in gradients):
            raise ValueError(
                "range_test() got a loss that does not depend on the model handed to it. Use the first argument: "
                "lambda net, batch: loss_of(net(batch[0]), batch[1])."
            )
        for p, g in zip(trained, gradients, strict=True):
            p.grad = g
        optimizer.step()


def blown_up(seen: list[float]) -> bool:
    """Whether the last loss is not finite, or the last two lie far above the first ten."""
    if not isfinite(seen[-1]):
        return True
    begin = sorted(seen[:FEWEST])
    middle = begin[len(begin) // 2]
    limit = middle + 3 * (middle - min(seen)) + 3 * (begin[-1] - begin[0])
    return len(seen) > FEWEST and min(seen[-2:]) > limit
