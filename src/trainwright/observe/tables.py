"""The tables of a record: rows in, series out. `docs/record-format.md` says what each column holds."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np

from ..core import Facts, Run, Series

FORMAT = 1
"""Version of the format that is written; older ones are read too."""

APPLICATION = int.from_bytes(b"trwt", "big")
"""What marks an SQLite file as one of ours."""

# Pages of 32 KiB and rows of an eighth of one at the most: whatever a flush holds, a page stays at most an
# eighth empty. Larger pages cost more at each flush, larger rows leave up to half a page (bench/store.py).
PAGE_BYTES = 32768
ROW_BYTES = PAGE_BYTES // 8
LOG_BYTES = 4 * 2**20

SCHEMA = """
CREATE TABLE series (id INTEGER PRIMARY KEY, signal TEXT NOT NULL, places TEXT NOT NULL);
CREATE TABLE readings (series INTEGER NOT NULL, steps BLOB NOT NULL, data BLOB NOT NULL);
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

Key = tuple[str, tuple[str, ...]]
"""Signal and places: a series as it is stored. A signal has several if its places change during the run."""

Stored = dict[Key, list[tuple[bytes, bytes]]]
"""Rows of each series: steps, and readings at these steps."""


class Damage(Exception):
    """The tables can be read, and what they hold cannot be."""


class Block(NamedTuple):
    """Consecutive readings of one series, as they are stored."""

    key: Key
    steps: bytearray  # little-endian int64
    data: bytearray  # little-endian float32, (steps, places)


def create(path: Path | None, program: str) -> sqlite3.Connection:
    """A new record without readings, written by `program`; in memory if there is no path."""
    if path is not None:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            raise FileExistsError(
                f"`{path}` is there already, and a record is never continued. Choose another folder."
            ) from None
        except OSError as error:
            raise OSError(f"Cannot make the record `{path}`: {error.strerror}.") from error
    # The thread that trains may not be the one that began; the recorder lets in one at a time.
    db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
    try:
        _lay_out(db, program)
    except sqlite3.Error as error:
        db.close()
        if path is not None:
            path.unlink(missing_ok=True)
        raise OSError(f"Cannot make the record `{path}`: {error}.") from error
    return db


def _lay_out(db: sqlite3.Connection, program: str) -> None:
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode not in {"wal", "memory"}:
        raise sqlite3.OperationalError("its file system cannot hold a write-ahead log")
    db.execute("PRAGMA synchronous = OFF")  # what the kernel has got survives our death, if not a power cut
    db.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE_BYTES}")
    db.execute(f"PRAGMA journal_size_limit = {2 * LOG_BYTES}")
    with db:
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute(f"PRAGMA user_version = {FORMAT}")
        for statement in SCHEMA.strip().splitlines():
            db.execute(statement)
        # A view costs no page. Every later version must keep it, to tell who wrote a record.
        db.execute(f"CREATE VIEW written_by AS SELECT '{program}' AS program")


def rows(blocks: Iterable[Block], ids: Mapping[Key, int]) -> Iterator[tuple[int, bytes, bytes]]:
    """The rows of `readings` that hold the blocks."""
    for block in blocks:
        steps, width = len(block.steps) // 8, 4 * len(block.key[1])
        each = ROW_BYTES // (8 + width) or steps or 1
        for first in range(0, steps, each):
            last = first + each
            yield (
                ids[block.key],
                bytes(block.steps[8 * first : 8 * last]),
                bytes(block.data[width * first : width * last]),
            )


def read(db: sqlite3.Connection) -> tuple[Stored, dict[str, object]]:
    """All rows, those of one series together in the order in which they were written; and the facts.

    Raises:
        Damage, sqlite3.Error, ValueError: the file is damaged.
    """
    keys: dict[int, Key] = {}
    stored: Stored = {}
    for number, signal, places in db.execute("SELECT id, signal, places FROM series ORDER BY id"):
        names = json.loads(_text(places))
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise Damage(f"the places of `{signal}` are no list of names")
        keys[number] = (_text(signal), tuple(names))
        stored[keys[number]] = []
    for number, steps, data in db.execute("SELECT series, steps, data FROM readings ORDER BY rowid"):
        key = keys.get(number)
        if key is None or not isinstance(steps, bytes) or not isinstance(data, bytes):
            raise Damage("readings belong to no series")
        if len(steps) % 8 or len(data) != len(steps) // 2 * len(key[1]):
            raise Damage(f"readings of `{key[0]}` do not fit their steps and places")
        stored[key].append((steps, data))
    facts = {
        _text(name): json.loads(_text(value)) for name, value in db.execute("SELECT name, value FROM facts")
    }
    return stored, facts


def run(stored: Stored, facts: Mapping[str, object]) -> Run:
    """What the rows mean. Takes them out of `stored`, so that a large run is in memory once, not twice."""
    parts: dict[str, list[Series]] = {}
    for signal, places in list(stored):
        rows = stored.pop((signal, places))
        steps = np.frombuffer(b"".join(r[0] for r in rows), "<i8").astype(np.int64, copy=False)
        data = np.frombuffer(b"".join(r[1] for r in rows), "<f4").astype(np.float32, copy=False)
        parts.setdefault(signal, []).append(Series(steps, places, data.reshape(len(steps), len(places))))
    return Run({signal: _united(of) for signal, of in parts.items()}, cast(Facts, dict(facts)))


def _united(parts: list[Series]) -> Series:
    """Series of one signal, at different places or steps, as one; the later of two readings holds."""
    if len(parts) == 1 and bool(np.all(np.diff(parts[0].steps) > 0)):
        return parts[0]
    places = tuple(dict.fromkeys(p for part in parts for p in part.places))
    column = {place: i for i, place in enumerate(places)}
    steps = np.unique(np.concatenate([part.steps for part in parts]))
    values = np.full((len(steps), len(places)), np.nan, np.float32)
    for part in parts:
        columns = np.array([column[p] for p in part.places], np.intp)
        at = np.ix_(np.searchsorted(steps, part.steps), columns)
        values[at] = np.where(np.isnan(part.values), values[at], part.values)
    return Series(steps, places, values)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Damage("a text is none")
    return value
