"""Which files a path stands for, what they hold, and the text in them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from . import csv_log, json_log, tensorboard, wandb
from .table import Log, UnreadableLog, listed

LARGEST = 2 * 1024**3
"""Bytes of a log that are read at most: ten million rows of ten columns."""

EVENTS = "*tfevents*"
NAMES = ("metrics.csv", "trainer_state.json", "wandb-history.jsonl", "*.wandb", "files/wandb-history.jsonl")
"""What the usual writers call a log, the surest first."""

OTHERS = ("*.csv", "*.tsv", "*.jsonl", "*.ndjson")
PARTS = frozenset("train training val valid validation eval test".split())
"""Folders below that of a run into which TensorBoard's writers put the curves of its parts."""

ENTRIES = 10_000
"""Most entries of a folder that are looked at."""

RECORD = b"SQLite format 3\0"


def find(path: Path) -> list[Path]:
    """The files of the log that a path stands for; none where a folder holds no log or a record of our own.

    Raises:
        UnreadableLog: there are several logs, and no telling which is meant.
        OSError: it cannot be looked into.
    """
    if not path.is_dir():
        return [path] if path.exists() and not _is_record(path) else []
    for _ in range(3):  # a folder of versions or checkpoints, and its newest
        here = _entries(path)
        if any(entry.suffix == ".sqlite" for entry in here):
            return []
        found = _in(path, here)
        if found:
            return found
        newest = _newest(here)
        if newest is None:
            return []
        path = newest
    return []


def _entries(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for _, entry in zip(range(ENTRIES), entries, strict=False))


def _in(folder: Path, here: Sequence[Path]) -> list[Path]:
    for name in NAMES:
        found = [p for p in sorted(folder.glob(name)) if p.is_file()]
        if len(found) > 1:
            raise UnreadableLog(
                f"`{folder}` holds several logs: {listed([p.name for p in found])}. Name one."
            )
        if found:
            return found
    events = [p for p in here if p.match(EVENTS) and p.is_file()]
    below = {p: sorted(p.glob(EVENTS)) for p in here if p.is_dir()}
    runs = {p: files for p, files in below.items() if files}
    if events or {p.name.lower() for p in runs} & PARTS:
        return [*events, *(file for files in runs.values() for file in files if file.is_file())]
    if len(runs) > 1 and _newest(here) is None:
        raise UnreadableLog(f"`{folder}` holds several runs: {listed([p.name for p in runs])}. Name one.")
    if len(runs) == 1:
        return next(iter(runs.values()))
    found = [p for p in here if p.is_file() and any(p.match(name) for name in OTHERS)]
    if len(found) > 1:
        raise UnreadableLog(f"`{folder}` holds several logs: {listed([p.name for p in found])}. Name one.")
    return found


def _newest(here: Sequence[Path]) -> Path | None:
    """The last of `version_3` or `checkpoint-500`, as Lightning and the Hugging Face Trainer count."""
    named = re.compile(r"(?:version_|checkpoint-)(\d{1,12})")
    numbered = [(int(m[1]), p) for p in here if (m := named.fullmatch(p.name)) and p.is_dir()]
    return max(numbered)[1] if numbered else None


def _is_record(path: Path) -> bool:
    return path.is_file() and _start(path, 16) == RECORD


def _start(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def load(files: Sequence[Path], wanted: Sequence[str] = ()) -> Log:
    """What stands in the files that were found.

    Raises:
        UnreadableLog: they are no log, or too large.
        OSError: they cannot be read.
    """
    contents = [(path, content(path, sum(p.stat().st_size for p in files))) for path in files]
    first, start = next(((path, told) for path, told in contents if told), contents[0])
    if not start:
        raise UnreadableLog(f"`{first}` is empty: nothing was logged.")
    if tensorboard.is_event_file(start[:12]):
        run = folder(files)
        known = [(p, c) for p, c in contents if tensorboard.is_event_file(c[:12])]
        return tensorboard.read([(p.parent.name if p.parent != run else "", p, c) for p, c in known])
    if start.startswith(wandb.START):
        return wandb.read(first, start)
    text = decoded(first, start)
    if not text.strip():
        raise UnreadableLog(f"`{first}` is empty: nothing was logged.")
    return json_log.read(first, text) if text.lstrip()[0] in "{[" else csv_log.read(first, text, wanted)


def folder(files: Sequence[Path]) -> Path:
    """The folder of a run: the one that its files, or their folders, have in common."""
    return Path(os.path.commonpath([path.parent for path in files]))


def content(path: Path, together: int) -> bytes:
    """All bytes of a file, if it and those that are read with it have a size that can be."""
    known = path.stat()
    if not stat.S_ISREG(known.st_mode):
        raise UnreadableLog(f"`{path}` is no ordinary file.")
    if together > LARGEST:
        size, most = together / 1e9, LARGEST / 1e9
        raise UnreadableLog(f"`{path}` has {size:.1f} GB; a log of up to {most:.1f} GB is read.")
    return path.read_bytes()


def decoded(path: Path, raw: bytes) -> str:
    """Text in UTF-8, in UTF-16 or UTF-32 with its mark, or else in Windows's Latin letters."""
    for mark, encoding in ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"),
                           (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):  # fmt: skip
        if raw.startswith(mark):
            return raw.decode(encoding, "replace")
    if b"\0" in raw[:4096]:
        raise UnreadableLog(
            f"`{path}` is no log that is known here: a table with a header, JSON, TensorBoard events, a W&B run."
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
