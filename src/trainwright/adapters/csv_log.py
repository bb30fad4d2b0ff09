"""Tables of text with a header: Lightning's and Keras's CSVLogger, exported charts, and what people write by hand."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from .names import SPLITS, meant, splits
from .table import NUMBER, Column, Log, UnreadableLog, apart, column, listed, shown

SEPARATORS = (",", "\t", ";", "|")

WIDE = 100_000
"""Most columns of a header that is looked at."""


def read(path: Path, text: str, wanted: Sequence[str] = ()) -> Log:
    """The columns of a table that may mean something, and those of the names that are wanted.

    Raises:
        UnreadableLog: it is no table, or no row follows its header.
    """
    text = _without_comments(text)
    separator, names = _header(path, text)
    if len(names) > WIDE:
        raise UnreadableLog(f"`{path}` has {len(names):,} columns, more than any log: is it one?")
    numbered = all(NUMBER.fullmatch(name.strip()) for name in names)
    if numbered:  # no header: columns go by their numbers
        names = [str(i) for i in range(1, len(names) + 1)]
    unique = _unique(names)
    take = [i for i, name in enumerate(unique) if name in wanted or meant(name)]
    split = next((i for i, name in enumerate(names) if name.strip().lower() in SPLITS), None)
    unknown = [name for name in wanted if name not in unique]
    if unknown:
        raise UnreadableLog(f"`{path}` has no column {listed(unknown)}; it has {listed(unique)}.")
    if not take:
        raise UnreadableLog(
            f"`{path}` has no header, only numbers: name its columns by their places, as --map loss=2."
            if numbered
            else f"`{path}` has no column that looks like a loss; it has {listed(unique)}. Name it: --map loss=COLUMN."
        )
    asked = [*take, *([] if split is None else [split])]
    cells = _cells(path, text, separator, asked, skip=not numbered)
    rows = len(cells[0])
    notes: list[str] = []
    columns: dict[str, Column] = {}
    for i, told in zip(take, cells, strict=False):
        found, wrong = column(told, decimal_comma=separator != ",")
        if found is not None:
            columns[unique[i]] = found
            if wrong:
                notes.append(f"{wrong:,} cells of `{shown(unique[i])}` hold no number and were left out.")
    if not columns:
        raise UnreadableLog(f"`{path}` has no readings in {listed([unique[i] for i in take])}.")
    if split is not None and (parts := splits(cells[-1])):
        columns = apart(columns, parts)
    return Log("CSV", columns, rows, notes, names=unique)


def _without_comments(text: str) -> str:
    """The text from its header on: lines that begin with `#` are passed, one that is the header itself is not."""
    while text.startswith("#"):
        line, _, rest = text.partition("\n")
        head, first = line.lstrip("# "), rest.partition("\n")[0]
        for mark in SEPARATORS:
            if mark in head and head.count(mark) == first.count(mark) and re.match(r"\s*[-+.\d]", first):
                return f"{head}\n{rest}"
        text = rest
    return text


def _header(path: Path, text: str) -> tuple[str, list[str]]:
    """What parts the cells, and the names in the first row."""
    line, _, rest = text.lstrip("\r\n").partition("\n")
    bare, first = (re.sub(r'"[^"]*"', "", row) for row in (line, rest.partition("\n")[0]))
    separator = max(SEPARATORS, key=lambda mark: bare.count(mark) * (mark in first or not first))
    try:
        names = next(csv.reader(io.StringIO(text.lstrip("\r\n")), delimiter=separator), [])
    except csv.Error as error:
        raise UnreadableLog(f"`{path}` is no table: {error}.") from None
    if not any(name.strip() for name in names):
        raise UnreadableLog(f"`{path}` is no table: its first line names no columns.")
    return separator, names


def _unique(names: Sequence[str]) -> list[str]:
    """Names of which the second of a kind says so: `loss`, `loss (2)`."""
    seen: dict[str, int] = {}
    unique = []
    for raw in names:
        name = raw.strip()
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique


def _cells(path: Path, text: str, separator: str, asked: Sequence[int], skip: bool) -> list[tuple[str, ...]]:
    """The cells of some columns. A row that is short ends in blanks, and one that repeats the header is none."""

    def rows() -> Iterator[list[str]]:
        reader = csv.reader(io.StringIO(text.lstrip("\r\n")), delimiter=separator)
        if skip:
            next(reader)
        return reader

    pick = itemgetter(*asked) if len(asked) > 1 else lambda row: (row[asked[0]],)
    header = next(csv.reader(io.StringIO(text.lstrip("\r\n")), delimiter=separator))
    try:
        try:
            found = list(map(pick, rows()))
        except IndexError:
            most = max(asked) + 1
            found = [pick(row + [""] * (most - len(row))) for row in rows() if row]
    except csv.Error as error:
        raise UnreadableLog(f"`{path}` is no table that can be read: {error}.") from None
    if skip:
        again = pick(header)
        found = [row for row in found if row != again]
    if not found:
        raise UnreadableLog(f"`{path}` has a header and no rows: nothing was logged.")
    return list(zip(*found, strict=True))
