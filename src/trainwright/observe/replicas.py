"""Whether the ranks of a distributed training hold the same weights.

Each notes check sums of its own, which are compared when their records are read. No rank ever asks another.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping

import torch
import torch.distributed as dist
from torch import nn

from .model import is_sharded

KEPT = 50
"""Most check sums that are kept."""

ELEMENTS = 64
"""Most elements of a parameter that go into a check sum: an update changes nearly all of them."""


class Replicas:
    """Check sums of the weights by step."""

    def __init__(self) -> None:
        self.team: tuple[int, int] | None = None
        """(rank, ranks) of `torch.distributed`, once it was seen at work."""
        self.sums: dict[str, str] = {}
        self._every = 1

    def note(self, step: int, roots: Iterable[nn.Module], parameters: Mapping[str, nn.Parameter]) -> None:
        """Take the check sum of the weights as `step` has left them, if there are replicas of them."""
        if not (dist.is_available() and dist.is_initialized()):
            return
        self.team = dist.get_rank(), dist.get_world_size()
        if self.team[1] < 2 or step % self._every or are_shards(roots, parameters):
            return
        self.sums[str(step)] = check_sum(parameters)
        while len(self.sums) > KEPT:  # the same ones on all ranks, though they may have read other steps
            self._every *= 2
            self.sums = {s: check for s, check in self.sums.items() if int(s) % self._every == 0}


def are_shards(roots: Iterable[nn.Module], parameters: Mapping[str, nn.Parameter]) -> bool:
    """Whether each rank holds a part of the weights: DTensors, or the older FullyShardedDataParallel."""
    if any(is_sharded(p) for p in parameters.values()):
        return True
    return any(type(m).__name__ == "FullyShardedDataParallel" for root in roots for m in root.modules())


def check_sum(parameters: Mapping[str, nn.Parameter]) -> str:
    """CRC-32 of some elements of each parameter, as eight hexadecimal digits."""
    parts = []
    for _, p in sorted(parameters.items()):
        if isinstance(p, nn.UninitializedParameter):
            continue
        flat = p.detach().reshape(-1)
        parts.append(flat[:: max(1, -(-len(flat) // ELEMENTS))].contiguous().view(torch.uint8))
    by_device: dict[torch.device, list[torch.Tensor]] = {}
    for part in parts:
        by_device.setdefault(part.device, []).append(part)
    crc = 0
    for group in by_device.values():  # one copy from each device
        crc = zlib.crc32(torch.cat(group).cpu().numpy().tobytes(), crc)
    return f"{crc:08x}"
