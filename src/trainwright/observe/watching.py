"""One watched process from beginning to end: waits for torch, attaches, and closes the record.

Importing this imports neither torch nor numpy: a script may set their environment before it imports them.
"""

from __future__ import annotations

import atexit
import os
import platform
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import redact

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn
    from torch.optim import Optimizer

    from ..core import Facts, Run
    from .recorder import Recorder
    from .store import Writer

RECORDING = ("making the record", "writing the record", "closing the record")
"""Failures of ours after which the record on disk is not whole."""

LINES_AROUND = 3
"""Lines of the user's code that are kept above and below a site."""

SITES = 300
"""Sites whose lines are kept at the most."""


def start(
    folder: Path | None,
    *,
    overhead: float = 0.02,
    stop_after: int | None = None,
    eager_probe: bool = False,
    say: Callable[[str], None] | None = None,
    progress: Callable[[int, float | None], None] | None = None,
) -> Session:
    """Watch this process from now on: at once where torch is imported, else from the moment it will be.

    Args:
        folder: an existing run folder, or `None` to keep the record in memory.
        overhead: the share of the run's time that watching may take.
        stop_after: optimiser steps after which `stop.StopCheck` is raised in the script.
        eager_probe: whether steps of a compiled model that are read may run without compilation.
        say: where a sentence about a failure of ours goes; stderr if not given.
        progress: is told the last step and its loss, about once a second.

    Raises:
        OSError: nothing can be written into the folder.
    """
    if folder is not None:
        with TemporaryFile(dir=folder):  # said now, before the script starts
            pass
    session = Session(
        folder,
        overhead=overhead,
        stop_after=stop_after,
        eager_probe=eager_probe,
        say=say or say_on_stderr,
        progress=progress,
    )
    if "torch" in sys.modules:
        session.attach()
    else:
        sys.meta_path.insert(0, session.waiting)
    return session


class Session:
    """A record, and the recorder that fills it once there is torch."""

    def __init__(
        self,
        folder: Path | None,
        *,
        overhead: float,
        stop_after: int | None,
        eager_probe: bool,
        say: Callable[[str], None],
        progress: Callable[[int, float | None], None] | None = None,
    ):
        self.waiting = _OnceTorchIsImported(self.attach)
        self.recorder: Recorder | None = None
        self._folder, self._say, self._progress = folder, say, progress
        self._options = {"overhead": overhead, "stop_after": stop_after, "eager_probe": eager_probe}
        self._undo = ExitStack()
        self._writer: Writer | None = None
        self._started = time.time()
        self._run: Run | None = None
        self._lock = threading.Lock()

    def attach(self, models: Sequence[nn.Module] = (), optimizers: Sequence[Optimizer] | None = None) -> None:
        """Hook into torch, which is imported by now; never raises.

        Args:
            models, optimizers: what is to be watched although it was built before; optimisers are looked for
            if `None`.
        """
        try:
            from .attach import attach
            from .model import optimizers_alive
            from .recorder import Recorder
            from .store import Writer

            unwritten: Exception | None = None
            try:
                self._writer = Writer(self._new_path())
            except (OSError, sqlite3.Error) as error:  # a full disk: judged all the same, but not kept
                self._writer, unwritten = Writer(None), error
            self._writer.set_facts(self._began())
            recorder = Recorder(
                _Shown(self._writer, self._progress) if self._progress else self._writer,
                say=self._say,
                reopen=self._reopen,
                **self._options,  # type: ignore[arg-type]
            )
            if unwritten is not None:
                recorder.guard.failed(RECORDING[0], unwritten)
            self._undo = attach(recorder)
            recorder.adopt(models, optimizers_alive() if optimizers is None else optimizers)
            self.recorder = recorder
            here = weakref.ref(recorder)
            os.register_at_fork(after_in_child=lambda: _let_go(here()))
        except Exception as error:
            self._undo.close()
            self._say(
                f"trainwright: cannot watch this training ({type(error).__name__}: {error}), which runs on"
            )

    def finish(self, exit_status: int | None = None, exception: BaseException | None = None) -> Run:
        """Take the hooks off, close the record, and return the run. Idempotent; never raises."""
        with self._lock:
            if self._run is None:
                if self.waiting in sys.meta_path:
                    sys.meta_path.remove(self.waiting)
                self._undo.close()
                self._run = self._close(self._ended(exit_status, exception))
            return self._run

    def so_far(self) -> Run:
        """The run up to now, while it goes on."""
        from ..core import Run

        if self._run is not None:
            return self._run
        if self.recorder is None:
            return Run({}, {**self._began(), "steps": 0})
        return self.recorder.so_far(self._ended(None, None))

    def _close(self, ended: Facts) -> Run:
        if self.recorder is not None:
            return self.recorder.finish(ended, _sources)
        from ..core import Run

        return Run({}, {**self._began(), **ended, "steps": 0})  # torch was never imported: nothing to keep

    def _began(self) -> Facts:
        """What is known from the beginning."""
        argv = redact.redact_argv(sys.argv)
        return {
            "script": argv[0] if argv else "",
            "argv": argv[1:],
            "started": _iso(self._started),
            "versions": {
                "trainwright": _own_version(),
                "python": platform.python_version(),
                "torch": str(getattr(sys.modules.get("torch"), "__version__", "")),
            },
            "rank": _whole("RANK", 0),
            "world_size": _whole("WORLD_SIZE", 1),
        }

    def _ended(self, status: int | None, exception: BaseException | None) -> Facts:
        """What is known at the end."""
        stop_after = self._options["stop_after"]
        stopped_by = None
        if isinstance(exception, KeyboardInterrupt):
            stopped_by = "interrupt"
        elif stop_after is not None and self.recorder is not None and self.recorder.steps >= stop_after:
            stopped_by = "check"
        text = None
        if exception is not None:
            text = redact.redact_text(f"{type(exception).__name__}: {exception}"[:2000]).removesuffix(": ")
        return {
            "finished": _iso(time.time()),
            "exit_status": status,
            "exception": text,
            "stopped_by": stopped_by,
        }

    def _reopen(self) -> Writer:
        """A record of its own for a forked child that trains."""
        from .store import Writer

        writer = self._writer = Writer(self._new_path())
        writer.set_facts(self._began())
        if "multiprocessing" in sys.modules:  # such a child ends without running exit handlers
            from multiprocessing.util import Finalize

            Finalize(None, self.finish, exitpriority=0)
        atexit.register(self.finish)
        return writer

    def _new_path(self) -> Path | None:
        """Where this process writes: its rank's file, or one named by its process number where that is
        taken."""
        if self._folder is None:
            return None
        path = self._folder / f"rank{_whole('RANK', 0)}.sqlite"
        return path if not path.exists() else self._folder / f"p{os.getpid()}.sqlite"


class _Shown:
    """A record that also says how far it is whenever it is flushed."""

    def __init__(self, writer: Writer, progress: Callable[[int, float | None], None]):
        self._writer, self._progress = writer, progress
        self.set_facts, self.close, self.run = writer.set_facts, writer.close, writer.run
        self._last: tuple[int, float | None] = 0, None

    def add(self, signal: str, steps: Sequence[int], places: tuple[str, ...], values: npt.ArrayLike) -> None:
        self._writer.add(signal, steps, places, values)
        if signal == "loss" and len(steps):
            import numpy as np

            self._last = steps[-1], float(np.asarray(values)[-1, 0])

    def flush(self) -> None:
        self._writer.flush()
        with suppress(OSError, ValueError):  # the terminal went away; the record has nothing to do with that
            self._progress(*self._last)


class _OnceTorchIsImported(MetaPathFinder):
    """First in `sys.meta_path`: finds nothing itself, but calls back when torch has been imported."""

    def __init__(self, call: Callable[[], None]):
        self._call = call

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "torch":
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        found = (f.find_spec(fullname, path, target) for f in list(sys.meta_path))
        spec = next((s for s in found if s is not None), None)
        loader = spec.loader if spec is not None else None
        if loader is None:
            return None
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # an attribute of this one loader: its class's method is back
            execute(module)
            self._call()

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _let_go(recorder: Recorder | None) -> None:
    """In a forked child; the recorder may be gone, but what was registered for forks stays."""
    if recorder is not None:
        recorder.after_fork()


def _sources(facts: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The lines around every place of the user's code that the facts name."""
    import linecache

    texts: dict[str, dict[str, str]] = {}
    for file, line in list(dict.fromkeys(_sites_in(facts)))[:SITES]:
        here = texts.setdefault(file, {})
        for number in range(max(1, line - LINES_AROUND), line + LINES_AROUND + 1):
            text = linecache.getline(file, number)
            if text:
                here[str(number)] = redact.redact_text(text.rstrip("\n"))[:300]
    return {file: lines for file, lines in texts.items() if lines}


def _sites_in(data: object) -> Iterator[tuple[str, int]]:
    if isinstance(data, Mapping):
        if isinstance(data.get("file"), str) and isinstance(data.get("line"), int):
            yield data["file"], data["line"]
        for value in data.values():
            yield from _sites_in(value)
    elif isinstance(data, Iterable) and not isinstance(data, str):
        for value in data:
            yield from _sites_in(value)


def _whole(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else default


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _own_version() -> str:
    from .. import __version__

    return __version__


def say_on_stderr(text: str) -> None:
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201  # the one way of ours to say something
