"""Carries readings from the device to the record: one copy a sampled step, and never a wait for the
device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

WAITING = 64
"""Readings of single numbers that may wait on the device before they are fetched together."""

TOGETHER = 256
"""Steps whose numbers are handed over together at the most."""


class Record(Protocol):
    """Where readings end."""

    def add(
        self, signal: str, steps: Sequence[int], places: tuple[str, ...], values: npt.ArrayLike
    ) -> None: ...


class Outbox:
    """Readings on their way: `put` as they are made, `send` once a sampled step, `collect` what has
    arrived."""

    def __init__(self, record: Record):
        self._record = record
        self._steps: dict[str, tuple[tuple[str, ...], list[int], list[list[float]]]] = {}
        self._waiting: list[tuple[str, int, tuple[str, ...], Tensor]] = []
        self._flying: list[
            tuple[list[tuple[str, int, tuple[str, ...]]], Tensor, torch.cuda.Event | None]
        ] = []

    def put(
        self, signal: str, step: int, places: tuple[str, ...], values: Tensor | Sequence[float | Tensor]
    ) -> None:
        """One reading."""
        if not isinstance(values, Tensor):
            numbers = [v for v in values if not isinstance(v, Tensor)]
            if len(numbers) == len(values):
                self._put_numbers(signal, step, places, numbers)
                return
            values = torch.stack([torch.as_tensor(v).detach().float().reshape(()) for v in values])
        self._waiting.append((signal, step, places, values.detach().reshape(-1)))

    def _put_numbers(self, signal: str, step: int, places: tuple[str, ...], numbers: list[float]) -> None:
        """Numbers of every step are handed to the record by the hundred: one step must cost next to
        nothing."""
        known = self._steps.get(signal)
        if known is not None and (known[0] != places or len(known[1]) >= TOGETHER):
            self._record.add(signal, known[1], known[0], _readings(known[2]))
            known = None
        if known is None:
            known = self._steps[signal] = (places, [], [])
        known[1].append(step)
        known[2].append(numbers)

    def put_plain(
        self, first: int, losses: list[float], rates: list[tuple[float | Tensor, ...]], passes: int
    ) -> None:
        """Steps of which no more is known than the loss, and the rate of each group."""
        self.hand_over()  # the record is in the order of the steps
        steps = range(first, first + len(losses))
        self._record.add("loss", steps, ("",), [[v] for v in losses])
        places = tuple(map(str, range(len(rates[0]))))
        self._record.add("learning_rate", steps, places, _readings([list(map(float, row)) for row in rates]))
        if passes:
            self._record.add("epoch", steps, ("",), [[float(passes)]] * len(losses))

    def hand_over(self) -> None:
        """Give the record what it has not been given yet."""
        for signal, (places, steps, rows) in self._steps.items():
            self._record.add(signal, steps, places, _readings(rows))
        self._steps.clear()

    def send(self, *, soon: bool = True) -> None:
        """Start the copy of what waits; without `soon`, only when much does."""
        if not self._waiting or (not soon and len(self._waiting) < WAITING):
            return
        by_device: dict[torch.device, list[tuple[str, int, tuple[str, ...], Tensor]]] = defaultdict(list)
        for item in self._waiting:
            by_device[item[3].device].append(item)
        self._waiting = []
        for device, items in by_device.items():
            packed = torch.cat([values.float() for *_, values in items])
            arrived = None
            if device.type == "cuda":
                packed = torch.empty(packed.shape, pin_memory=True).copy_(packed, non_blocking=True)
                arrived = torch.cuda.Event()
                arrived.record(torch.cuda.current_stream(device))
            self._flying.append(
                ([(s, n, p) for s, n, p, _ in items], packed.cpu() if arrived is None else packed, arrived)
            )

    def collect(self, *, wait: bool = False) -> None:
        """Write what has arrived into the record."""
        while self._flying and (wait or self._flying[0][2] is None or self._flying[0][2].query()):
            items, packed, arrived = self._flying.pop(0)
            if arrived is not None:
                arrived.synchronize()
            numbers = packed.tolist()
            at = 0
            for signal, step, places in items:
                self._record.add(signal, [step], places, _readings([numbers[at : at + len(places)]]))
                at += len(places)


def _readings(rows: list[list[float]]) -> npt.NDArray[np.float64]:
    """A record uses NaN for "no reading": a reading that is not a number becomes infinity."""
    table = np.array(rows)
    table[np.isnan(table)] = np.inf
    return table
