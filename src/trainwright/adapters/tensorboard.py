"""TensorBoard event files: the scalars in them, read without TensorBoard.

Source: record framing of TFRecord (length, masked CRC-32C, data, masked CRC-32C) and the messages Event,
Summary and TensorProto of tensorboard/compat/proto.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .table import Column, Log, UnreadableLog
from .wire import Malformed, fields, masked_crc32c, signed, varint

CHECKED = 1024
"""Longest record whose check sum is verified, in bytes: scalars are far shorter, graphs and images are not read."""

FRAME = 16
"""Bytes around the data of a record: 8 of length and two check sums of 4."""

SCALAR = re.compile(
    rb"\x09.{8}(?:\x10([\x80-\xff]{0,9}[\x00-\x7f]))?\x2a[\x00-\x7f]\x0a[\x00-\x7f]"
    rb"\x0a([\x01-\x7f])(.+)\x15(.{4})",
    re.DOTALL,
)
"""An event with one scalar of the old form: wall time, step, tag, value. Nearly all that PyTorch writes."""

SINGLE, DOUBLE = struct.Struct("<f"), struct.Struct("<d")
FLOAT, DOUBLES, INT32, INT64, BFLOAT, HALF = 1, 2, 3, 9, 14, 19
"""Types of a tensor's elements, by their numbers in types.proto."""

Scalar = tuple[str | bytes, float]
"""Tag and value."""


def is_event_file(start: bytes) -> bool:
    """Whether a file begins like one: with a record whose length has the right check sum."""
    return len(start) >= 12 and masked_crc32c(start, [0], [8])[0] == struct.unpack_from("<I", start, 8)[0]


def read(files: Sequence[tuple[str, Path, bytes]]) -> Log:
    """The scalars of one run's event files, oldest first; each with a prefix for its tags, and its content.

    Raises:
        UnreadableLog: there is no scalar in them.
    """
    tags: dict[bytes, tuple[list[int], list[float]]] = {}
    steps: list[int] = []
    notes: list[str] = []
    for prefix, path, content in files:
        start = f"{prefix}/".encode() if prefix else b""
        for record in _records(content, path, notes):
            try:
                step, scalars = _event(record)
            except (Malformed, struct.error):
                notes.append(f"`{path.name}` holds events that cannot be read; they were left out.")
                continue
            for tag, value in scalars:
                rows, values = tags.setdefault(start + tag, ([], []))
                rows.append(len(steps))
                values.append(value)
            steps.append(step)
    if not tags:
        raise UnreadableLog(f"`{files[0][1]}` is a TensorBoard event file without scalars.")
    if any(tag.endswith(b"epoch_loss") for tag in tags):  # Keras: those of batches count other steps
        tags = {
            tag: told for tag, told in tags.items() if not re.search(rb"(^|/)batch_|_vs_iterations$", tag)
        }
    columns = {
        tag.decode("utf-8", "replace"): Column(np.array(rows, np.int64), np.array(values, np.float64))
        for tag, (rows, values) in tags.items()
    }
    every = Column(np.arange(len(steps)), np.array(steps, np.float64))
    return Log("TensorBoard event files", columns, len(steps), list(dict.fromkeys(notes)), steps=every)


def _records(content: bytes, path: Path, notes: list[str]) -> Iterator[bytes]:
    """The data of each record up to the first that is damaged, as TensorBoard reads it."""
    starts, sizes = [], []
    at, unpack = 0, struct.Struct("<Q").unpack_from
    while at + FRAME <= len(content):
        size = unpack(content, at)[0]
        if at + FRAME + size > len(content):
            break
        starts.append(at)
        sizes.append(size)
        at += FRAME + size
    if at < len(content):
        notes.append(f"`{path.name}` ends inside a record: it is being written, or was cut short.")
    begin, length = np.array(starts, np.int64), np.array(sizes, np.int64)
    good = _sums(content, begin + 8) == masked_crc32c(content, begin, np.full(len(begin), 8))
    short = length <= CHECKED
    data = begin + 12
    good[short] &= _sums(content, data[short] + length[short]) == masked_crc32c(
        content, data[short], length[short]
    )
    until = len(good) if good.all() else int(np.argmin(good))
    if until < len(good):
        notes.append(f"`{path.name}` is damaged at byte {starts[until]:,}: what follows was left out.")
    for start, size in zip(starts[:until], sizes[:until], strict=True):
        yield content[start + 12 : start + 12 + size]


def _sums(content: bytes, at: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """The little-endian check sums that stand at these bytes."""
    whole = np.frombuffer(content, np.uint8)
    return sum(whole[at + i].astype(np.uint32) << np.uint32(8 * i) for i in range(4))  # type: ignore[return-value]


def _event(record: bytes) -> tuple[int, list[tuple[bytes, float]]]:
    """Step and scalars of an Event."""
    plain = SCALAR.fullmatch(record)
    if plain and plain[2][0] == len(plain[3]):
        step = signed(varint(plain[1], 0)[0]) if plain[1] else 0
        return step, [(plain[3], SINGLE.unpack(plain[4])[0])]
    step, scalars = 0, []
    for number, content in fields(record):
        if number == 2 and isinstance(content, int):
            step = signed(content)
        elif number == 5 and isinstance(content, bytes):
            values = (value for field, value in fields(content) if field == 1 and isinstance(value, bytes))
            scalars += [scalar for value in values if (scalar := _value(value)) is not None]
    return step, scalars


def _value(message: bytes) -> tuple[bytes, float] | None:
    """Tag and number of a Summary.Value, or `None` where it is no scalar."""
    tag, number = b"", None
    for field, content in fields(message):
        if field == 1 and isinstance(content, bytes):
            tag = content
        elif field == 2 and isinstance(content, bytes):
            number = SINGLE.unpack(content)[0]
        elif field == 8 and isinstance(content, bytes):
            number = _tensor(content)
    return None if number is None else (tag, float(number))


def _tensor(message: bytes) -> float | None:
    """The number in a TensorProto of one element, or `None`: text, images and the like."""
    kind, raw, packed = 0, b"", None
    for field, content in fields(message):
        if field == 1 and isinstance(content, int):
            kind = content
        elif field == 2 and content:
            if any(_extent(d) != 1 for f, d in fields(bytes(content)) if f == 2 and isinstance(d, bytes)):
                return None
        elif field == 4 and isinstance(content, bytes):
            raw = content
        elif field in (5, 6, 7, 10, 13):
            packed = content
    sizes = {FLOAT: "<f", DOUBLES: "<d", INT32: "<i", INT64: "<q", HALF: "<e"}
    if raw:
        if kind == BFLOAT and len(raw) == 2:
            return float(SINGLE.unpack(b"\0\0" + raw)[0])
        whole = kind in sizes and len(raw) == struct.calcsize(sizes[kind])
        return float(struct.unpack(sizes[kind], raw)[0]) if whole else None
    if packed is None or kind not in (*sizes, BFLOAT):
        return None
    if kind in (FLOAT, DOUBLES):
        form = SINGLE if kind == FLOAT else DOUBLE
        return (
            float(form.unpack(packed)[0]) if isinstance(packed, bytes) and len(packed) == form.size else None
        )
    bits = packed if isinstance(packed, int) else varint(packed, 0)[0]
    if kind == HALF:
        return float(struct.unpack("<e", struct.pack("<H", bits & 0xFFFF))[0])
    if kind == BFLOAT:
        return float(SINGLE.unpack(struct.pack("<HH", 0, bits & 0xFFFF))[0])
    return float(signed(bits))


def _extent(dimension: bytes) -> int:
    return next((size for field, size in fields(dimension) if field == 1 and isinstance(size, int)), 0)
