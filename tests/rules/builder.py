"""Runs made by hand, for the tests of rules."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainwright.core import Run, Series, Signal


def series(places: Mapping[str, Any] | Any, steps: Any = None) -> Series:
    """A series from `{place: values}`, or from values that belong to the whole run; steps 0, 1, 2, ... by default."""
    by_place = places if isinstance(places, Mapping) else {"": places}
    values = np.stack([np.asarray(v, np.float32) for v in by_place.values()], axis=1)
    at = np.arange(len(values)) if steps is None else np.asarray(steps)
    return Series(at.astype(np.int64), tuple(by_place), values)


def made(signals: Mapping[Signal, Series] | None = None, **facts: Any) -> Run:
    """A run with these series and these facts."""
    return Run({s.name: v for s, v in (signals or {}).items()}, facts)  # type: ignore[arg-type]
