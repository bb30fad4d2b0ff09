"""A copy of the best weights, in memory or in a file."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from ..shards import is_sharded, local

Weights: TypeAlias = dict[str, object]


class Kept:
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


def copied(state: Mapping[str, object]) -> Weights:
    """A copy in CPU memory; of a sharded tensor, this rank's shard."""
    return {
        name: local(v.detach()).to("cpu", copy=True) if isinstance(v, Tensor) else copy.deepcopy(v)
        for name, v in state.items()
    }


def whole(weights: Mapping[str, object], live: Mapping[str, object]) -> dict[str, object]:
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
            if kept.shape != local(now).shape:
                raise ValueError(
                    f"EarlyStopping kept `{name}` in shape {tuple(kept.shape)} and the model has "
                    f"{tuple(local(now).shape)}."
                )
            if is_sharded(now):
                from torch.distributed.tensor import DTensor

                shard = kept.to(local(now).device)
                found[name] = DTensor.from_local(
                    shard, now.device_mesh, now.placements, shape=now.shape, stride=now.stride()
                )
    return found
