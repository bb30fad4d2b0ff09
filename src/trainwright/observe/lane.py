"""The quick way through the recorder for a stretch of plain steps: not read, each of one loss, one backward from it,
and one step of the one optimiser.

Nearly all steps of nearly all trainings are such. What a step may cost is some fifty microseconds where it takes
three milliseconds, and twenty Python calls with cold caches cost that. So on this way there are few calls, with
a loss and a few numbers kept by each; what else there is to do is done once for the stretch. Whatever happens
that is not part of a plain step ends the stretch, in the middle of a step too, and the recorder takes over what
was kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import isfinite
from operator import itemgetter
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from .uncompiled import skip

LONGEST = 64
"""Most steps of a stretch."""

LONGEST_S = 0.25
"""Most seconds of one: what is kept here is lost when the process is killed."""

clock = time.perf_counter_ns
_rates_of: Callable[[Any], Any] = itemgetter("lr")


class Lane:
    """What is kept of a stretch. Its methods say whether they have dealt with what they were told."""

    def __init__(self, optimizer: Optimizer | None = None, steps: int = 0):
        """The next `steps` steps are taken for plain ones of this optimiser."""
        self.open, self.steps_left = steps > 0, steps
        self.result: Tensor | None = None  # of the loss function, until backward starts
        self.value: float | None = None  # of the loss, until the optimiser has stepped
        self.in_backward = self.in_step = False
        self.losses: list[float] = []
        self.rates: list[tuple[float | Tensor, ...]] = []
        self.end_ns = 0  # of the last step
        self.own_ns = 0
        self._optimizer = optimizer
        self._groups = [] if optimizer is None else optimizer.param_groups
        self._known_groups = len(self._groups)

    def loss_called(self, result: object, kwargs: dict[str, Any]) -> bool:
        """A loss function has been called."""
        if self.result is not None or self.value is not None or type(result) is not Tensor:
            return False
        if result.ndim or not result.requires_grad or not result.is_cpu or kwargs.get("reduction") == "sum":
            return False
        self.result = result
        return True

    def before_backward(self, root: object) -> bool:
        """Backward is about to start."""
        if root is not self.result or root is None or self.in_step or self.value is not None:
            return False
        start = clock()
        try:
            value: float = root.item()
        except Exception:
            return False  # the guarded way says why
        if not isfinite(value):
            return False
        self.result, self.value, self.in_backward = None, value, True
        self.own_ns += clock() - start
        return True

    def after_step(self, optimizer: Optimizer) -> bool:
        """An optimiser has stepped."""
        value = self.value
        if value is None or optimizer is not self._optimizer or len(self._groups) != self._known_groups:
            return False
        end = clock()
        try:
            self.rates.append(tuple(map(_rates_of, self._groups)))
        except Exception:
            return False  # the guarded way says why
        self.losses.append(value)
        self.end_ns = end
        self.value, self.in_step = None, False
        self.steps_left -= 1
        self.own_ns += clock() - end
        return True


skip(*vars(Lane).values())
