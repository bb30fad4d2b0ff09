"""Keeps the books on losses: which value belongs to which step, and what was evaluated for validation."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..core import Reading, Training
from . import graph, losses, sites
from .loaders import Loaders
from .losses import Losses
from .uncompiled import skip

WHOLE: tuple[str, ...] = ("",)
"""The place of what belongs to the whole run."""

MANY = 64
"""Calls of loss functions that are remembered until backward starts."""


class LossBook:
    """Losses of the step under way, and of the validation pass under way."""

    def __init__(self, known: Losses, loaders: Loaders):
        self.losses, self._loaders = known, loaders
        self.calls: list[losses.Call] = []
        self.scale = 1.0  # by what the loss was multiplied before backward, at the step that is read
        self._sums: dict[tuple[str, int], list[float | Tensor]] = {}
        self.places: dict[tuple[str, int], str] = {}  # of lines that call backward, the name of each
        self._valid: dict[str, list[float]] = {}
        # The loss is one call of one known function, so that its constant reference is comparable.
        self.comparable = True

    def begin_anew(self) -> None:
        """Another model is trained from now on."""
        self.losses.known.clear()
        self.places.clear()
        self._sums.clear()
        self.comparable = True

    def drop(self) -> None:
        """The step under way is none: a scaler has left it out."""
        self._sums.clear()

    def remember(self, result: Tensor) -> None:
        """A loss function was called in a step that is not read: only its value is wanted."""
        if len(self.calls) < MANY:
            self.calls.append(losses.Call(None, result))

    def called(
        self,
        kind: str,
        original: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Tensor,
        training: Training | None,
    ) -> tuple[losses.Known, int | None] | None:
        """A loss function was called with gradient; `training` is given where the step is read.

        Returns:
            where it was looked at, what is known of the loss, and the number of the graph node that made its
            input.
        """
        pair = losses.arguments(args, kwargs)
        added = losses.terms(kind, *pair, kwargs) if pair is not None else 1.0
        if training is None and self.losses.known:
            if len(self.calls) < MANY:
                self.calls.append(losses.Call(None, result, added))
            return None
        key = (kind, *sites.line_of_call(5))
        known = self.losses.known.get(key) or self.losses.seen(key, sites.site(depth=5), args, kwargs)
        known.facts["extra"]["calls"] = int(known.facts["extra"]["calls"]) + 1  # type: ignore[call-overload]
        seen_already = any(c.key == key for c in self.calls)
        if len(self.calls) < MANY:
            self.calls.append(losses.Call(key, result, added))
        if training is None or seen_already:
            return None
        node = self.losses.read(known, args, kwargs, training)
        reference = losses.constant_loss(known, original, training) if len(self.losses.known) == 1 else None
        if reference is not None:
            training.noted["constant_loss"] = WHOLE, [reference]
        right = losses.accuracy(kind, *pair, kwargs) if pair is not None else None
        if right is not None:
            training.noted["accuracy"] = WHOLE, [right]
        return known, node

    def unscaled(self, root: Tensor, training: Training, *, read: bool) -> tuple[Tensor, float | Tensor]:
        """The loss without the factor of a scaler or of accumulation, and by what to divide it: a sum that
        the script divides by a count of its own is shown as the mean."""
        if len(self.calls) == 1:
            call = self.calls[0]
            inner = call.result
            if inner is root:
                if call.key is not None and (known := self.losses.known.get(call.key)) is not None:
                    known.sum_of = call.terms
                if "constant_loss" in training.noted:
                    places, (reference,) = training.noted["constant_loss"]
                    training.noted["constant_loss"] = places, [reference * call.terms]
                return root, 1.0
            if inner.numel() == 1 and graph.is_scaled(root, inner):
                if read:
                    value = float(here(inner) / call.terms)
                    self.scale = float(here(root)) / value if value else 1.0
                return inner, call.terms
        self.comparable = False
        return root, 1.0

    def line(self, *, read: bool) -> tuple[str, int]:
        """The line that called backward: looked up where a step is read, and where it tells losses apart."""
        if not read and len(self.places) == 1:
            return next(iter(self.places))
        return sites.line_of_call(5)

    def note(self, line: tuple[str, int], inner: Tensor, terms: float | Tensor, *, closure: bool) -> float:
        """Add a backward's loss to its step; returns its value, 0 where that is still on a device.

        Args:
            line: that called backward.
            inner: the loss.
            terms: by what to divide it.
            closure: an optimiser is evaluating; of a search along a line the first loss is the step's.
        """
        if closure and line in self._sums:
            return 0.0
        value: float | Tensor
        if not inner.is_cpu:
            value = here(inner).reshape(()) / terms
        else:
            plain = inner if type(inner) is Tensor else here(inner)
            value = plain.item() / float(terms)
        self._sums.setdefault(line, []).append(value)
        if line not in self.places:
            self.places[line] = f"{os.path.basename(line[0])}:{line[1]}" if self.places else ""
            self.comparable = self.comparable and len(self.places) == 1
        return value if isinstance(value, float) else 0.0

    def add(self, value: float) -> None:
        """Add a backward's loss to its step, by the one line that calls backward."""
        (line,) = self.places
        self._sums.setdefault(line, []).append(value)

    def close(self) -> dict[str, Reading]:
        """What was noted, by signal; the books begin anew."""
        noted: dict[str, Reading] = {}
        if self._sums:
            places = WHOLE if len(self.places) == 1 else tuple(self.places[line] for line in self._sums)
            noted["loss"] = (
                places,
                [seen[0] if len(seen) == 1 else _mean(seen) for seen in self._sums.values()],
            )
        self._sums.clear()
        noted |= {name: (WHOLE, [total / n]) for name, (total, n) in self._valid.items()}
        self._valid = {}
        return noted

    def validated(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        """A loss was evaluated without gradient: part of a validation pass, unless on the training's data."""
        trained = {key[0] for key in self.losses.known}
        pair = losses.arguments(args, kwargs)
        if pair is None or (trained and kind not in trained) or self._loaders.on_training_data():
            return
        rows = max(1, len(pair[0]) if pair[0].ndim else 1)
        of_training = next((known.sum_of for key, known in self.losses.known.items() if key[0] == kind), 1.0)
        value = float(result.detach().float().mean() / losses.terms(kind, *pair, kwargs) * of_training)
        right = losses.accuracy(kind, *pair, kwargs)
        for name, number in (("valid_loss", value), ("valid_accuracy", right)):
            if number is not None:
                entry = self._valid.setdefault(name, [0.0, 0.0])
                entry[0] += number * rows
                entry[1] += rows

    def drop_validation(self) -> None:
        """What was evaluated before the first step is no validation of a training."""
        self._valid = {}


skip(*vars(LossBook).values())


def here(x: Tensor) -> Tensor:
    """A tensor without its graph; of a DTensor the part that is on this rank."""
    x = x.detach()
    return getattr(x, "_local_tensor", x)


def _mean(seen: list[float | Tensor]) -> float | Tensor:
    """Mean of a step's losses: of numbers, or on the device."""
    numbers = [v for v in seen if not isinstance(v, Tensor)]
    if len(numbers) < len(seen):
        return torch.stack([torch.as_tensor(v) for v in seen]).mean()
    return sum(numbers) / len(numbers)
