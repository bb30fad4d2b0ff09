"""Our frames on the script's stack, and how they stay out of its tracebacks and warnings."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from types import FunctionType, TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep

# `warnings.warn(..., stacklevel=2)` does not count frames of files so named: it names the caller's line.
_UNCOUNTED = OURS + "importlib._bootstrap"


def strip_(error: BaseException) -> None:
    """Take our frames out of the tracebacks of `error`, of its causes, its contexts and its group."""
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        link = todo.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        link.__traceback__ = _without_ours(link.__traceback__)
        todo += [link.__cause__, link.__context__]
        if isinstance(link, BaseExceptionGroup):
            todo += link.exceptions


def unseen(function: Callable[P, R]) -> Callable[P, R]:
    """Make a wrapper of ours that is called in place of a function of torch leave no trace.

    An exception that passes through loses our frames on the way, so that a traceback which the script prints
    by itself is as it would be, too; and a warning from below names the line that it would name.
    """

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            hide_(error)
            raise  # a bare `raise` adds no entry for this frame

    uncounted(function)
    return functools.update_wrapper(uncounted(call), function)


def uncounted(function: Callable[P, R]) -> Callable[P, R]:
    """Keep warnings from naming a wrapper of ours, one that itself calls `hide_` on what passes through it."""
    assert isinstance(function, FunctionType)
    function.__code__ = function.__code__.replace(co_filename=_UNCOUNTED)
    return function


def hide_(error: BaseException) -> None:
    """Take our frames off the top of a traceback; then a bare `raise` adds no entry for the frame it stands in."""
    tb = error.__traceback__
    while tb is not None and _is_ours(tb):
        tb = tb.tb_next
    error.__traceback__ = tb


def _is_ours(tb: TracebackType) -> bool:
    return tb.tb_frame.f_code.co_filename.startswith(OURS)


def _without_ours(tb: TracebackType | None) -> TracebackType | None:
    kept = []
    while tb is not None:
        if not _is_ours(tb):
            kept.append(tb)
        tb = tb.tb_next
    for entry, following in zip(kept, [*kept[1:], None], strict=False):
        entry.tb_next = following
    return kept[0] if kept else None
