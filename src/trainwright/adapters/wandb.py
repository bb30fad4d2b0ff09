"""Weights & Biases: the `.wandb` file of an offline run, whose history holds what the script logged.

Source: LevelDB's log format (blocks of 32 KiB; records of check sum, length, type and data) with a header
of its own, and the messages Record, HistoryRecord and HistoryItem of wandb/proto/wandb_internal.proto.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from .json_log import from_rows
from .table import Log, UnreadableLog
from .wire import Malformed, fields

START = b":W&B"
HEADER = struct.Struct("<4sHB")
MAGIC, VERSION = 0xBEE1, 0
BLOCK = 32 * 1024
RECORD = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
HISTORY, ITEM, STEP = 2, 1, 2
KEY, NESTED, VALUE = 1, 2, 16


def read(path: Path, content: bytes) -> Log:
    """The history of an offline run.

    Raises:
        UnreadableLog: another version of the format, or nothing was logged.
    """
    if len(content) < HEADER.size or HEADER.unpack_from(content)[1:] != (MAGIC, VERSION):
        raise UnreadableLog(f"`{path}` is a W&B file of a version that is not known here.")
    notes: list[str] = []
    rows = []
    for record in _records(content, path, notes):
        try:
            for number, message in fields(record):
                if number == HISTORY and isinstance(message, bytes):
                    rows.append(_row(message))
        except (Malformed, ValueError, RecursionError):
            notes.append(f"`{path.name}` holds rows that cannot be read; they were left out.")
    if not rows:
        raise UnreadableLog(f"`{path}` is a W&B run in which nothing was logged.")
    log = from_rows("W&B offline run", rows)
    log.notes[:0] = dict.fromkeys(notes)
    return log


def _row(message: bytes) -> dict[str, object]:
    row: dict[str, object] = {}
    for number, content in fields(message):
        if number == ITEM and isinstance(content, bytes):
            item = list(fields(content))
            names = [n.decode() for f, n in item if f == KEY and isinstance(n, bytes)]
            nested = [n.decode() for f, n in item if f == NESTED and isinstance(n, bytes)]
            value = next((v for f, v in item if f == VALUE and isinstance(v, bytes)), b"null")
            row["/".join(nested) if nested else "".join(names)] = json.loads(value)
        elif number == STEP and isinstance(content, bytes):
            for field, step in fields(content):
                if field == 1 and isinstance(step, int):
                    row.setdefault("_step", step)
    return row


def _records(content: bytes, path: Path, notes: list[str]) -> Iterator[bytes]:
    """Each record put together from its parts, up to the first that is damaged."""
    at, parts = HEADER.size, b""
    while at + RECORD.size <= len(content):
        left = BLOCK - at % BLOCK
        if left < RECORD.size:  # what does not hold a record's head is padding
            at += left
            continue
        total, size, kind = RECORD.unpack_from(content, at)
        data = content[at + RECORD.size : at + RECORD.size + size]
        if len(data) < size:
            break
        if kind not in (FULL, FIRST, MIDDLE, LAST) or zlib.crc32(data, zlib.crc32(bytes([kind]))) != total:
            notes.append(f"`{path.name}` is damaged at byte {at:,}: what follows was left out.")
            return
        at += RECORD.size + size
        parts = data if kind in (FULL, FIRST) else parts + data
        if kind in (FULL, LAST):
            yield parts
            parts = b""
    if at < len(content):
        notes.append(f"`{path.name}` ends inside a record: it is being written, or was cut short.")
