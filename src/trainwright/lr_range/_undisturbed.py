"""Going through data as if nobody had."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

Batch = TypeVar("Batch")
Generator = torch.Generator | np.random.Generator | random.Random


def endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Through the batches again and again."""
    while True:
        empty = True
        for batch in _fresh(batches):
            empty = False
            yield batch
        if empty:
            raise ValueError("range_test() got no batches.")


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
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    held = _generators(batches)
    saved = [_state(g) for g in held]
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        for generator, state in zip(held, saved, strict=True):
            _set_state(generator, state)


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
