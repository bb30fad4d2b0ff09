"""Processes that the script starts are watched too: spawned workers, pythons run by `subprocess`, ranks.

A forked child inherits the observer. Any other starts python afresh, and finds us by two environment
variables, which is all that the script can see of it:

- `TRAINWRIGHT_RUN`: the run folder and how to watch, as JSON;
- `PYTHONPATH`: one entry more in front, a folder that holds nothing but a `sitecustomize.py`. In the child it
  takes itself off `sys.path`, hands over to the next `sitecustomize` there is, and waits for torch.

So a child with an environment of its own making, or one of `python -I` or `-E`, is not watched.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

VARIABLE = "TRAINWRIGHT_RUN"
FOLDER = str(Path(__file__).with_name("sitecustomize").absolute())


class How(TypedDict):
    """What a child is told."""

    folder: str
    overhead: float
    stop_after: int | None
    eager_probe: bool


@contextmanager
def watched(how: How) -> Iterator[None]:
    """Make python processes that are started from here on be watched, until the end of the block."""
    forget_parent()
    others = os.environ.get("PYTHONPATH")
    os.environ[VARIABLE] = json.dumps(how)
    os.environ["PYTHONPATH"] = FOLDER + os.pathsep + others if others else FOLDER
    try:
        yield
    finally:
        forget_parent()
        if others == "" and "PYTHONPATH" not in os.environ:
            os.environ["PYTHONPATH"] = ""


def forget_parent() -> None:
    """Take ours out of the environment and out of this process; what the script set meanwhile stays."""
    os.environ.pop(VARIABLE, None)
    kept = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry != FOLDER]
    if any(kept):
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
    elif kept != [""]:
        os.environ.pop("PYTHONPATH", None)
    # Left by our sitecustomize, which nobody can import, where this process is itself somebody's child.
    sys.meta_path[:] = [f for f in sys.meta_path if not getattr(f, "waits_for_torch", False)]


def attach(told: str) -> None:
    """Start watching this process, a child that has just imported torch; called by our sitecustomize."""
    from .watching import start

    how: How = json.loads(told)
    session = start(
        Path(how["folder"]),
        overhead=how["overhead"],
        stop_after=how["stop_after"],
        eager_probe=how["eager_probe"],
    )

    def finish() -> None:
        session.finish(None, None)

    atexit.register(finish)
    if "multiprocessing" in sys.modules:  # a process of a fork server ends without running exit handlers
        from multiprocessing.util import Finalize

        Finalize(None, finish, exitpriority=0)
