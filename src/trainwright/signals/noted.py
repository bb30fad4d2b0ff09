"""Numbers that the observer counts itself: handed on once."""

from __future__ import annotations

from ..core import Reading, Training


def noted(training: Training, name: str) -> Reading | None:
    """What the observer noted under a signal's name since the last reading."""
    return training.noted.pop(name, None)
