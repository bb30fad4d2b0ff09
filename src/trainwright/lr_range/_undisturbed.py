"""Going through data as if nobody had."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

Batch = TypeVar("Batch")
Generator = torch.Generator | np.random.Generator | random.Random

EVERY, AMONG = 5, 50
"""Kept out of confirming runs is every fifth batch among the first fifty of a pass."""


def endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Through the batches again and again."""
    while True:
        empty = True
        for batch in _fresh(batches):
            empty = False
            yield batch
        if empty:
            raise ValueError("range_test() got no batches.")


def kept_out(batches: Iterable[Batch]) -> list[Batch]:
    """The batches on which confirming runs are judged; none where a pass has fewer than five."""
    return [b for i, b in enumerate(islice(_fresh(batches), AMONG)) if _kept(i)]


def without_kept(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Endless passes that leave out the batches of `kept_out()`: data come in the same order each time.

    Only the data's random numbers begin anew with a pass; those of dropout go on.
    """
    begin = remembered(batches)
    while True:
        now = remembered(None)
        begin()
        running = iter(_fresh(batches))
        first = next(running)  # samplers draw their order here
        now()
        yield first
        for i, batch in enumerate(running, 1):
            if not _kept(i):
                yield batch


def _kept(index: int) -> bool:
    return index < AMONG and index % EVERY == EVERY - 1


def _fresh(batches: Iterable[Batch]) -> Iterable[Batch]:
    """A loader that shares all with the user's but the iterator that persistent workers make it keep."""
    if isinstance(batches, DataLoader):
        twin: DataLoader[Batch] = copy.copy(batches)
        twin._iterator = None
        return twin
    return batches


@contextmanager
def undisturbed(batches: object) -> Iterator[None]:
    """Random numbers are as before afterwards: torch's, Python's, numpy's, and those that the loader holds."""
    restore = remembered(batches)
    try:
        yield
    finally:
        restore()


def remembered(batches: object) -> Callable[[], None]:
    """What sets random numbers back to where they are now: the global ones, and those that the loader holds."""
    own, python, numpy = torch.get_rng_state(), random.getstate(), np.random.get_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    held = _generators(batches)
    states = [_state(g) for g in held]

    def restore() -> None:
        torch.set_rng_state(own)
        if devices:
            torch.cuda.set_rng_state_all(devices)
        random.setstate(python)
        np.random.set_state(numpy)
        for generator, state in zip(held, states, strict=True):
            _set_state(generator, state)

    return restore


def _generators(holder: object, depth: int = 4) -> list[Generator]:
    """Random generators among the attributes of a loader, its samplers and data sets."""
    found: dict[int, Generator] = {}
    for value in vars(holder).values() if hasattr(holder, "__dict__") else ():
        if isinstance(value, torch.Generator | np.random.Generator | random.Random):
            found[id(value)] = value
        elif depth and isinstance(value, torch.utils.data.Sampler | torch.utils.data.Dataset):
            found |= {id(g): g for g in _generators(value, depth - 1)}
    return list(found.values())


def _state(generator: Generator) -> object:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    return (
        generator.getstate()
        if isinstance(generator, random.Random)
        else copy.deepcopy(generator.bit_generator.state)
    )


def _set_state(generator: Generator, state: object) -> None:
    if isinstance(generator, torch.Generator):
        assert isinstance(state, Tensor)
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        assert isinstance(state, tuple)
        generator.setstate(state)
    else:
        assert isinstance(state, dict)
        generator.bit_generator.state = state
