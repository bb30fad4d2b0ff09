"""Scores: how noisy they are, and one for all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, sqrt

import numpy as np
import torch
from torch import distributed as dist

from ..stats import median_abs_deviation

__all__ = ["agree", "noise"]

FEWEST = 8
"""Scores from which on their noise can be told: six second differences."""


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
    kept = finite(scores)
    return median_abs_deviation(np.diff(kept, 2)) / sqrt(6) if len(kept) >= FEWEST else float("nan")


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


def finite(scores: Sequence[float]) -> list[float]:
    return [s for s in scores if isfinite(s)]
