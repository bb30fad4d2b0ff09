"""Stop when the validation score no longer improves, and get the best weights back.

    stop = EarlyStopping(net, patience=10)
    for epoch in range(1000):
        train_one_epoch()
        if stop(validation_loss()):
            break
    stop.restore_()

torch has no early stopping. Stopping by a score makes it part of training: report a test score of data that neither
trained nor stopped.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from math import inf, isfinite, sqrt
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.tensor import DTensor

from .stats import level, median_abs_deviation

__all__ = ["EarlyStopping", "advice", "agree", "noise"]

Weights: TypeAlias = dict[str, object]
STATE = ("scores", "best", "best_at", "bad")
FEWEST = 8
"""Scores from which on their noise can be told: six second differences."""


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
        self._sign, self._weights = (1 if mode == "min" else -1), _Kept(path)
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
        recent = _finite(self.scores)[-self.smooth :]
        if isfinite(score) and len(recent) < self.smooth:
            return False
        value = level(recent)
        if isfinite(score) and (self.best is None or self._sign * (self.best - value) > self.min_change):
            self._weights.keep(_copied(self.model.state_dict()))
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
        self.model.load_state_dict(_whole(self._weights.get(), self.model.state_dict()))
        return self.model

    @property
    def not_finite(self) -> int:
        """Scores that were NaN or infinite."""
        return len(self.scores) - len(_finite(self.scores))

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


def noise(scores: Sequence[float]) -> float:
    """Standard deviation of validation scores about their own course; NaN for fewer than 8 finite ones.

    Args:
        scores: `(checks,)`, in order of time, e.g. `stop.scores`.

    Returns:
        In the scores' unit.

    Helps: choosing `min_change`, and the size of a validation part.

    Harms: a course that bends sharply from check to check counts as noise.

    Costs: nothing.

    Source: second differences of independent noise have six times its variance; robustly by their median deviation.

    >>> noise([9, 8, 7, 6, 5, 4, 3, 2, 1])
    0.0
    """
    finite = _finite(scores)
    return median_abs_deviation(np.diff(finite, 2)) / sqrt(6) if len(finite) >= FEWEST else float("nan")


def advice(stop: EarlyStopping) -> str | None:
    """What to do about scores so noisy that chance chose the best of them; `None` where they are not.

    Chance chose where the best leads the best before it by less than the noise, and the noise is more than
    `min_change`.

    Args:
        stop: as far as it has come; ask when it has stopped.

    Returns:
        A sentence with the figures, or `None`.

    Helps: deciding whether a stop is to be trusted, and how to smooth.

    Harms: nothing.

    Costs: nothing.

    Source: ours.

    >>> stop = EarlyStopping(nn.Linear(1, 1), patience=5)
    >>> for score in (0.50, 0.41, 0.52, 0.43, 0.55, 0.40, 0.51, 0.44, 0.49): _ = stop(score)
    >>> print(advice(stop))
    The scores scatter by 0.0..., and the best is only 0.01 better than the one before it, so chance chose it. ...
    """
    if stop.best is None or stop.best_at is None:
        return None
    lead = min((abs(s - stop.best) for s in _finite(stop.scores[: stop.best_at])), default=inf)
    spread = noise(stop.scores)
    if not spread > max(lead, stop.min_change):
        return None
    return (
        f"The scores scatter by {spread:.3g} about their course, and the best is only {lead:.3g} better than the one "
        f"before it, so chance chose it. Judge by the median of several, EarlyStopping(..., "
        f"smooth={2 * stop.smooth + 1}), validate on more data, or average the weights; or let no less than "
        f"min_change={spread:.1g} count."
    )


class _Kept:
    """The best weights, in memory or in a file."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        self.path, self.weights = (Path(path) if path else None), Weights()

    def keep(self, weights: Weights) -> None:
        """Instead of those before."""
        if self.path is None:
            self.weights = weights
        else:
            part = self.path.with_name(self.path.name + ".part")
            torch.save(weights, part)
            os.replace(part, self.path)  # a run that dies meanwhile leaves the old ones whole

    def get(self) -> Weights:
        """Those kept last."""
        return self.weights if self.path is None else torch.load(self.path, weights_only=True)


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


def _finite(scores: Sequence[float]) -> list[float]:
    return [s for s in scores if isfinite(s)]


def _copied(state: Mapping[str, object]) -> Weights:
    """A copy in CPU memory; of a sharded tensor, this rank's shard."""
    return {
        name: _own(v).to("cpu", copy=True) if isinstance(v, Tensor) else copy.deepcopy(v)
        for name, v in state.items()
    }


def _own(tensor: Tensor) -> Tensor:
    """What of it this rank holds."""
    local: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return local.detach()


def _whole(weights: Mapping[str, object], live: Mapping[str, object]) -> dict[str, object]:
    """Kept weights in the form in which the model has its own: shards become sharded tensors again."""
    if weights.keys() != live.keys():
        odd = sorted(weights.keys() ^ live.keys())
        raise ValueError(
            f"EarlyStopping kept other weights than the model has now: they differ in {odd[:3]}."
        )
    found = dict(weights)
    for name, kept in weights.items():
        now = live[name]
        if isinstance(kept, Tensor) and isinstance(now, Tensor):
            if kept.shape != _own(now).shape:
                raise ValueError(
                    f"EarlyStopping kept `{name}` in shape {tuple(kept.shape)} and the model has "
                    f"{tuple(_own(now).shape)}."
                )
            if isinstance(now, DTensor):
                shard = kept.to(_own(now).device)
                found[name] = DTensor.from_local(
                    shard, now.device_mesh, now.placements, shape=now.shape, stride=now.stride()
                )
    return found


def agree(score: float, samples: float = 1.0, group: dist.ProcessGroup | None = None) -> float:
    """The mean of all ranks' scores, the same to the bit on each, so that all stop at the same step.

    Args:
        score: this rank's.
        samples: how many samples it is the mean of; ranks count by their samples.
        group: the ranks that take part; `None`: all. Without `torch.distributed` the score comes back.

    Returns:
        The mean; NaN on all ranks if it is on one.

    Raises:
        ValueError: `samples` negative or not finite, or 0 on all ranks.

    Helps: `stop(agree(loss, len(part)))` where each rank validates on a part of the data.

    Harms: called on some ranks only: they wait for the others for ever.

    Costs: one gather of two numbers.

    Source: arithmetic. A gather, summed in the same order on each rank: a reduction may round differently.

    >>> agree(0.25)
    0.25
    """
    if not (isfinite(samples) and samples >= 0):
        raise ValueError(
            f"agree() got samples={samples}; it takes how many samples the score is the mean of."
        )
    if not (dist.is_available() and dist.is_initialized()):
        return float(score)
    device = "cuda" if "nccl" in dist.get_backend(group) else "cpu"
    mine = torch.tensor([float(score) if samples else 0.0, samples], dtype=torch.float64, device=device)
    all_of_them = [torch.empty_like(mine) for _ in range(dist.get_world_size(group))]
    dist.all_gather(all_of_them, mine, group)
    pairs = [(float(s), float(n)) for s, n in torch.stack(all_of_them).tolist()]
    total = sum(n for _, n in pairs)
    if total == 0:
        raise ValueError("agree() got samples=0 on every rank, so there is no mean.")
    return sum(s * n for s, n in pairs) / total
