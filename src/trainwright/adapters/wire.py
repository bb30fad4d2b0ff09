"""Protocol buffers and check sums, as far as logs need them: fields of a message, CRC-32C of many records at once.

Source: the encoding of protocol buffers (developers of the format, "Encoding"); Castagnoli's polynomial and
the mask are those of the TFRecord format.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

Crc = npt.NDArray[np.uint32]


class Malformed(ValueError):
    """Bytes that are no message."""


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and content of each field: an integer, or the bytes of a string, a message or a fixed number.

    >>> list(fields(b"\\x08\\x96\\x01\\x12\\x02hi"))
    [(1, 150), (2, b'hi')]

    Raises:
        Malformed: the bytes end inside a field, or use a wire type that is not in use.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = varint(message, at)
        kind = key & 7
        if kind == 0:
            number, at = varint(message, at)
            yield key >> 3, number
            continue
        if kind == 2:
            size, at = varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise Malformed(f"wire type {kind}")
        if at + size > end:
            raise Malformed("a field ends beyond its message")
        yield key >> 3, message[at : at + size]
        at += size


def varint(message: bytes, at: int) -> tuple[int, int]:
    """The integer of variable length that begins at a byte, and where the next one begins."""
    number = shift = 0
    while shift < 70 and at < len(message):
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise Malformed("an integer does not end")


def signed(number: int) -> int:
    """An int64 as protocol buffers encode it."""
    return number - (1 << 64) if number >= 1 << 63 else number


def masked_crc32c(data: bytes, starts: npt.ArrayLike, lengths: npt.ArrayLike) -> Crc:
    """The masked CRC-32C of each piece of `data`, all side by side: as many passes as the longest has bytes.

    >>> hex(int(masked_crc32c(b"123456789", [0], [9])[0]))  # of 0xe3069283, the check value of CRC-32C
    '0xc78ab0e5'
    """
    size = np.asarray(lengths, np.int64)
    order = np.argsort(-size, kind="stable")
    at, left = np.asarray(starts, np.int64)[order], size[order]
    content, table = np.frombuffer(data, np.uint8), _table()
    crc = np.full(len(order), 0xFFFFFFFF, np.uint32)
    for i in range(int(left[0]) if len(left) else 0):
        n = int(np.searchsorted(-left, -i, side="left"))  # those that are longer than i
        crc[:n] = table[(crc[:n] ^ content[at[:n] + i]) & 0xFF] ^ (crc[:n] >> np.uint32(8))
    crc = ~crc
    masked = ((crc >> np.uint32(15)) | (crc << np.uint32(17))) + np.uint32(0xA282EAD8)
    out = np.empty_like(masked)
    out[order] = masked
    return out


@cache
def _table() -> Crc:
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> np.uint32(1)) ^ np.uint32(0x82F63B78), crc >> np.uint32(1))
    return crc
