"""Open a record for reading without touching it: no lock, no new file beside it, whoever may be writing it.

SQLite's own reader would need to write beside the record (its index of the log), and could not read a killed
run in a folder that one may only read.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

TRIES = 20
"""Copies that are tried while the writer empties its log again and again."""


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the record as it was at one moment."""
    if not _log_start(path):  # closed properly: all is in the one file, and nobody changes it
        with closing(_connected(path, "&immutable=1")) as db:
            yield db
        return
    with TemporaryDirectory(prefix="trainwright-") as folder:
        copy = Path(folder) / "record.sqlite"
        with closing(_connected(copy if _copied(path, copy) else path)) as db:
            db.execute("BEGIN")  # what is too busy to be copied is read as of one moment, too
            yield db


def _connected(path: Path, more: str = "") -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro{more}", uri=True)


def _copied(path: Path, copy: Path) -> bool:
    """Whether record and log were copied while they belonged together.

    Pages move from the log to the record and stay in the log until it is begun anew, under a new header. So a
    record copied before its log is complete together with it, if the header is the same before and after.
    """
    for _ in range(TRIES):
        before = _log_start(path)
        shutil.copyfile(path, copy)
        try:
            shutil.copyfile(_log(path), _log(copy))
        except FileNotFoundError:  # the writer has closed it just now
            _log(copy).unlink(missing_ok=True)
        if _log_start(path) == before:
            return True
    return False  # busier than we can copy: the writer lives, so SQLite's own way of reading beside it works


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _log_start(path: Path) -> bytes:
    try:
        with _log(path).open("rb") as log:
            return log.read(32)
    except FileNotFoundError:
        return b""
