"""When to stop."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from math import isfinite
from typing import Literal

from torch import nn

from ..stats import level
from ._weights import Kept, copied, whole
from .scores import finite

__all__ = ["EarlyStopping"]

STATE = ("scores", "best", "best_at", "bad")


class EarlyStopping:
    """Says when to stop, keeps a copy of the best weights and puts them back: call it with each validation score.

    The weights are copied when the score is the best so far, buffers included, to CPU memory or a file; of sharded
    parameters (FSDP2) each rank keeps its shard. The call returns True when `patience` scores in a row brought no
    improvement. A score that is NaN or infinite is none, and counted in `not_finite`.

    Args:
        model: whose weights are kept; for an average of weights, the averaged model.
        patience: scores in a row without improvement, at least 1.
        mode: "min" for losses, "max" for accuracies.
        min_change: what counts as improvement, in the score's unit; anything above 0 by default.
        smooth: judge by the median of the last so many scores; 1 is the score itself. The first `smooth - 1` scores are
            only collected.
        path: a file for the weights instead of memory, written whole or not at all; each rank needs its own.

    Raises:
        ValueError: an argument outside its range; from `restore_()`: no score was finite, or the model has other
            weights now. The model is as it was.

    Helps: models that fit the training data and then more and more its noise; when no length is known.

    Harms: noisy scores: the best of many is partly luck, and patience runs out by chance. `advice(stop)` says so,
    with the figures. Also with a schedule of fixed length, whose last part is where the score improves most.

    Costs: a copy of the weights, and the time of a copy at each improvement.

    Source: Prechelt, "Early stopping - but when?", 1998 (criterion UP).

    >>> import torch
    >>> net = nn.Linear(1, 1, bias=False)
    >>> stop = EarlyStopping(net, patience=2)
    >>> for score in (0.5, 0.2, 0.3, float("nan"), 0.1):
    ...     with torch.no_grad(): _ = net.weight.fill_(score)
    ...     if stop(score): break
    >>> round(stop.restore_().weight.item(), 3), stop.best_at, stop.not_finite
    (0.2, 1, 1)
    """

    def __init__(
        self,
        model: nn.Module,
        patience: int = 10,
        *,
        mode: Literal["min", "max"] = "min",
        min_change: float = 0.0,
        smooth: int = 1,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        _check(patience, mode, min_change, smooth)
        self.model, self.patience, self.min_change, self.smooth = model, patience, min_change, smooth
        self._sign, self._weights = (1 if mode == "min" else -1), Kept(path)
        self.scores: list[float] = []
        """Every score it was called with."""
        self.best: float | None = None
        """Best (smoothed) score; `None` before the first finite one."""
        self.best_at: int | None = None
        """Which call brought it, from 0."""
        self.bad = 0
        """Scores in a row without improvement."""

    def __call__(self, score: float) -> bool:
        """Take note of a validation score; True when it is time to stop."""
        self.scores.append(float(score))
        recent = finite(self.scores)[-self.smooth :]
        if isfinite(score) and len(recent) < self.smooth:
            return False
        value = level(recent)
        if isfinite(score) and (self.best is None or self._sign * (self.best - value) > self.min_change):
            self._weights.keep(copied(self.model.state_dict()))
            self.best, self.best_at, self.bad = value, len(self.scores) - 1, 0
        else:
            self.bad += 1
        return self.bad >= self.patience

    def restore_(self) -> nn.Module:
        """Put the best weights back, in place, and return the model."""
        if self.best is None:
            raise ValueError(
                f"EarlyStopping has nothing to restore: of {len(self.scores)} scores {self.not_finite} were not "
                f"finite, and none was judged. The model has its last weights."
            )
        self.model.load_state_dict(whole(self._weights.get(), self.model.state_dict()))
        return self.model

    @property
    def not_finite(self) -> int:
        """Scores that were NaN or infinite."""
        return len(self.scores) - len(finite(self.scores))

    def state_dict(self) -> dict[str, object]:
        """All that changes, the best weights included, for a checkpoint."""
        weights = None if self.best is None else self._weights.get()
        return {name: copy.copy(getattr(self, name)) for name in STATE} | {"weights": weights}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a checkpoint; the arguments are those of this object."""
        if state.keys() != {*STATE, "weights"}:
            raise ValueError(
                f"EarlyStopping got a state with {sorted(state)}; pass what its state_dict() gave."
            )
        for name in STATE:
            setattr(self, name, copy.copy(state[name]))
        if isinstance(weights := state["weights"], dict):
            self._weights.keep(weights)


def _check(patience: int, mode: str, min_change: float, smooth: int) -> None:
    if patience < 1 or smooth < 1 or not (isfinite(min_change) and min_change >= 0):
        raise ValueError(
            f"EarlyStopping() got patience={patience}, smooth={smooth}, min_change={min_change}; it needs at least "
            f"1, at least 1, and a finite number that is not negative."
        )
    if mode not in ("min", "max"):
        raise ValueError(
            f"EarlyStopping() got mode={mode!r}; it takes 'min' for losses or 'max' for accuracies."
        )
