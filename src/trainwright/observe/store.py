"""The record of a run: one SQLite file for each process, append-only, of the format that `tables` lays out.

Kill the writing process at any byte, and all up to its last flush is read again: the write-ahead log drops a
torn tail.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..core import Facts, Run
from . import ranks, snapshot, tables
from .folder import follow, new_folder
from .redact import redact_argv, redact_named, redact_text
from .tables import FORMAT

__all__ = ["FORMAT", "UnreadableRun", "Writer", "load", "new_folder"]


class UnreadableRun(ValueError):
    """What was asked for is not a record that this version can read; the message says why."""


class Writer:
    """The record of this process. Readings and facts are buffered until `flush`.

    A process that was forked off the owner shares the object but never the record: there it does nothing.

    Args:
        path: the file to make, or `None` to keep the record in memory.

    Raises:
        FileExistsError: there is such a file already; a record is never continued.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self._pid = os.getpid()
        self._blocks: list[tables.Block] = []
        self._open: dict[str, tables.Block] = {}
        self._ids: dict[tables.Key, int] = {}
        self._facts: dict[str, object] = {}
        self._seen: dict[str, str] = {}  # what each fact was like when it was last written
        self._final: Run | None = None
        self._db: sqlite3.Connection | None = tables.create(path, f"trainwright {_own_version()}")

    def add(self, signal: str, steps: Sequence[int], places: tuple[str, ...], values: npt.ArrayLike) -> None:
        """Buffer readings of shape `(steps, places)`; NaN where a place has none."""
        with np.errstate(over="ignore"):  # beyond float32 is infinity
            table = np.asarray(values, "<f4")
        if table.shape != (len(steps), len(places)):
            raise ValueError(
                f"Readings of `{signal}` have the shape {table.shape}; "
                f"{len(steps)} steps and {len(places)} places need {(len(steps), len(places))}."
            )
        block = self._open.get(signal)
        if block is None or block.key[1] != places:
            block = self._open[signal] = tables.Block((signal, places), bytearray(), bytearray())
            self._blocks.append(block)
        block.steps.extend(np.asarray(steps, "<i8").tobytes())
        block.data.extend(table.tobytes())

    def set_facts(self, facts: Facts) -> None:
        """Keep these facts for the next flush. A fact that is not among them stays as it was."""
        self._facts.update(facts)

    def flush(self) -> None:
        """Write all that is buffered in one transaction. If it fails nothing is lost: call it again.

        Raises:
            sqlite3.Error: the disk is full, the folder is gone, ...
        """
        if self._db is None or not self._mine():
            return
        blocks, self._open = list(self._blocks), {}
        changed = {k: like for k, v in self._facts.items() if (like := repr(v)) != self._seen.get(k)}
        if not blocks and not changed:
            return
        new = list(dict.fromkeys(b.key for b in blocks if b.key not in self._ids))
        ids = self._ids | {key: number for number, key in enumerate(new, len(self._ids))}
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO series VALUES (?, ?, ?)", ((ids[k], k[0], json.dumps(_clean(k[1]))) for k in new)
            )
            self._db.executemany("INSERT INTO readings VALUES (?, ?, ?)", tables.rows(blocks, ids))
            facts = ((name, _encoded(name, self._facts[name])) for name in changed)
            self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", facts)
        self._ids = ids
        self._seen.update(changed)
        del self._blocks[: len(blocks)]

    def close(self) -> None:
        """Flush and let go of the file. Idempotent."""
        if self._db is None or not self._mine():
            return
        try:
            self.flush()
        finally:
            if self.path is None or self._blocks:  # with a full disk, only we have the rest
                self._final = self.run()
            self._db.close()
            self._db = None

    def run(self) -> Run:
        """Everything so far, what is buffered included."""
        if self._final is not None:
            return self._final
        if self.path is not None and (self._db is None or not self._mine()):
            return _load_file(self.path)
        assert self._db is not None  # a record in memory ends with its run in `_final`
        stored, facts = tables.read(self._db)
        for block in self._blocks:
            signal, places = block.key
            key = (signal, tuple(map(_redacted, places)))
            stored.setdefault(key, []).append((bytes(block.steps), bytes(block.data)))
        return tables.run(stored, facts | {k: json.loads(_encoded(k, v)) for k, v in self._facts.items()})

    def _mine(self) -> bool:
        return os.getpid() == self._pid


def load(path: Path | str) -> Run:
    """The run in a folder (its processes' records are merged), in one record, or behind `runs/last`.

    Nothing is written there: a run can be read while it goes on, after it was killed, and in a folder that is
    read-only.

    Raises:
        UnreadableRun: there is no run, or it is damaged, foreign, or of a newer format.
    """
    asked = Path(path)
    try:
        path = follow(asked)
        if not path.exists():
            link = f" points to `{os.path.realpath(path)}`, which" if os.path.lexists(asked) else ""
            raise UnreadableRun(f"`{asked}`{link} does not exist.")
        files = sorted(path.glob("*.sqlite")) if path.is_dir() else [path]
    except OSError as error:
        raise UnreadableRun(f"`{asked}` cannot be read: {error.strerror}.") from error
    if not files:
        last = asked / "last"
        hint = f" The last run recorded there is `{last}`." if os.path.lexists(last) else ""
        raise UnreadableRun(f"`{asked}` is not a run folder: it holds no record (*.sqlite).{hint}")
    records: dict[str, Run] = {}
    failures: list[UnreadableRun] = []
    for file in files:
        try:
            records[file.stem] = _load_file(file)
        except UnreadableRun as error:
            failures.append(error)
    if not records:
        raise failures[0]
    run = ranks.merge(records)
    if failures:
        run.facts["given_up"] = [*run.facts.get("given_up", []), *map(str, failures)]
    return run


def _load_file(path: Path) -> Run:
    try:
        with path.open("rb") as file:
            start = file.read(16)
        if not start:
            raise UnreadableRun(f"`{path}` is empty: the run ended before anything was recorded.")
        if start != b"SQLite format 3\0":
            raise UnreadableRun(f"`{path}` is not a record of trainwright.")
        with snapshot.opened(path) as db:
            _check_format(path, db)
            return tables.run(*tables.read(db))
    except OSError as error:
        raise UnreadableRun(f"`{path}` cannot be read: {error.strerror}.") from error
    except (sqlite3.Error, tables.Damage, UnicodeError, json.JSONDecodeError) as error:
        raise UnreadableRun(f"`{path}` is damaged or cut short ({error}).") from error


def _check_format(path: Path, db: sqlite3.Connection) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != tables.APPLICATION:
        raise UnreadableRun(f"`{path}` is an SQLite file, but not a record of trainwright.")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        program = db.execute("SELECT program FROM written_by").fetchone()[0]
        raise UnreadableRun(
            f"`{path}` was written by {program} in record format {version}; "
            f"trainwright {_own_version()} reads up to format {FORMAT}. Upgrade trainwright to read it."
        )


def _encoded(name: str, fact: object) -> str:
    return json.dumps(
        fact if name == "replica_hash" else _clean(fact)
    )  # a hash reads like a key, and is none


def _clean(value: object) -> object:
    """Plain JSON data in which no secret is left."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _redacted(value)
    if isinstance(value, Mapping):
        return {
            _redacted(str(k)): redact_named(str(k), v) if isinstance(v, str) else _clean(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return redact_argv(value) if all(isinstance(v, str) for v in value) else [_clean(v) for v in value]
    if isinstance(value, np.generic):
        return _clean(value.item())
    return _redacted(str(value))


_redacted = lru_cache(maxsize=4096)(redact_text)


def _own_version() -> str:
    from .. import __version__

    return __version__
