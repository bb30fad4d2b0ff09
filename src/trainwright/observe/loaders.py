"""Passes over the data: which loader feeds the training, how often it began, how large its batches are."""

from __future__ import annotations

from dataclasses import dataclass

from torch.utils.data import (
    DataLoader,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)


@dataclass
class Loader:
    """One data loader, by its passes and by the training steps made on its batches."""

    passes: int = 0
    batches: int = 0
    steps: int = 0
    batch_size: int | None = None
    dataset_size: int | None = None
    shuffled: bool | None = None


class Loaders:
    """Data loaders by `id`; the training loader is the one whose batches are followed by optimiser steps."""

    def __init__(self) -> None:
        self._loaders: dict[int, Loader] = {}
        self._of_iterator: dict[int, Loader] = {}
        self._current: Loader | None = None
        self.passes = 0
        """Passes of the loader that the training stepped on last."""

    def started(self, loader: DataLoader[object], iterator: object) -> None:
        """A pass begins."""
        known = self._loaders.get(id(loader))
        if known is None:
            known = self._loaders[id(loader)] = Loader(
                batch_size=_batch_size(loader), dataset_size=_size(loader.dataset), shuffled=_shuffled(loader)
            )
        known.passes += 1
        self._of_iterator[id(iterator)] = known

    def loaded(self, iterator: object, ended: bool) -> None:
        """A batch was handed out, or the pass is over."""
        known = self._of_iterator.get(id(iterator))
        self._current = None if ended else known
        if known is not None and not ended:
            known.batches += 1

    def another(self, iterator: object) -> bool:
        """Whether the batch handed out is another of the pass under way, which is then all there is to note."""
        known = self._of_iterator.get(id(iterator))
        if known is None or known is not self._current:
            return False
        known.batches += 1
        return True

    def stepped(self, steps: int = 1) -> None:
        """The optimiser has stepped: on the batch handed out last, so many times on those of its pass."""
        if self._current is not None:
            self._current.steps += steps
            self.passes = self._current.passes

    def on_training_data(self) -> bool:
        """Whether the batch handed out last came from the loader that feeds the training."""
        return self._current is not None and self._current is self.training

    @property
    def training(self) -> Loader | None:
        """The loader that feeds the training, once a step was made."""
        used = [x for x in self._loaders.values() if x.steps]
        return max(used, key=lambda x: x.steps, default=None)


def _size(dataset: object) -> int | None:
    try:
        return len(dataset)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):
        return None  # a stream


def _batch_size(loader: DataLoader[object]) -> int | None:
    size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None)
    return size if isinstance(size, int) else None


def _shuffled(loader: DataLoader[object]) -> bool | None:
    # A loader that is given batches of indices has a sequential sampler of its own, which it does not use.
    sampler: object = loader.batch_sampler if loader.batch_size is None else loader.sampler
    for _ in range(4):
        if isinstance(sampler, RandomSampler | SubsetRandomSampler | WeightedRandomSampler):
            return True
        if isinstance(sampler, SequentialSampler):
            return False
        shuffle = getattr(sampler, "shuffle", None)  # DistributedSampler
        if isinstance(shuffle, bool):
            return shuffle
        sampler = getattr(sampler, "batch_sampler", None) or getattr(sampler, "sampler", None)
    return None
