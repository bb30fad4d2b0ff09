"""Keeps the user's run from all harm of ours, and takes the time that is our own."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import torch

from .uncompiled import callback, skip

P = ParamSpec("P")

FAILURES = 3
"""Failures of one of our handlers after which it is switched off."""


class Guard:
    """What stands between torch's hooks and us."""

    def __init__(self, say: Callable[[str], None]):
        self.closed = False
        self.busy = False  # with a handler; what that calls, and other threads meanwhile, is not heard
        self.forked = False  # this process is a child of the one that is watched
        self.off: set[str] = set()
        self.settle: Callable[[], None] = lambda: None  # what must be done before a handler may go on
        self.own_ns = 0  # spent in handlers since the last step's end
        self.began_ns = 0  # when the handler that runs now was entered
        self.said: list[dict[str, str]] = []
        self._say = say
        self._failures: dict[str, int] = {}

    def failed(self, where: str, error: BaseException) -> None:
        """Something of ours failed: say so once, and switch it off when it goes on failing."""
        self._failures[where] = self._failures.get(where, 0) + 1
        if self._failures[where] == 1:
            what = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
            self.said.append({"where": where, "error": what})
            self._say(f"trainwright: {where} failed ({what}); your run goes on")
        if self._failures[where] >= FAILURES:
            self.off.add(where)


class Watcher(Protocol):
    """What has handlers."""

    @property
    def guard(self) -> Guard: ...


S = TypeVar("S", bound=Watcher)


def guarded(handler: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """Make a method a handler: what fails in it is caught, reported once, and the run goes on."""
    return _guarded(handler, settles=True)


def aside(handler: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """The same, of one that does not need to know how far the training is."""
    return _guarded(handler, settles=False)


def _guarded(
    handler: Callable[Concatenate[S, P], None], *, settles: bool
) -> Callable[Concatenate[S, P], None]:
    name = handler.__name__

    @functools.wraps(handler)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        guard = self.guard
        if torch.compiler.is_compiling() or guard.closed or guard.busy or guard.forked or name in guard.off:
            return
        guard.busy = True
        guard.began_ns = time.perf_counter_ns()
        compile_ = callback(None)  # none of what we call becomes a graph
        try:
            if settles:
                guard.settle()
            handler(self, *args, **kwargs)
        except Exception as error:
            guard.failed(name, error)
        finally:
            callback(compile_)
            guard.busy = False
            guard.own_ns += time.perf_counter_ns() - guard.began_ns

    return call


def in_a_mode() -> bool:
    """Whether tensors are not plain numbers just now, or operations of ours would be seen by others: within
    torch.jit.trace, torch.func transforms, and dispatch modes (fake tensors, selective checkpointing)."""
    functorch: Any = torch._C._functorch
    return (
        torch._C._is_tracing()
        or functorch.peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0
    )


skip(guarded, aside, _guarded)
