"""From paths to parsed sources: Python files, folders of them, the code cells of notebooks."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import tokenize
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

LARGEST = 2_000_000
"""Bytes; a larger file is generated or data, and nobody repairs it by hand."""

SKIPPED = {"__pycache__", "node_modules", "site-packages", "venv", "build", "dist"}
"""Folders that are not entered, nor those that begin with a dot, unless they are named themselves."""

ENDINGS = (".py", ".ipynb")

MAGIC = re.compile(r"^\s*(%|!|\?)|^[^#]*\?\s*$")
FOREIGN = re.compile(r"^%%(?!(time|timeit|capture|prun|memit)\b)")


class Line(NamedTuple):
    """Where a line of a source stands for its reader."""

    number: int
    cell: int | None = None
    """Number of the code cell, from 1; `None` = no notebook."""


@dataclass(frozen=True)
class Source:
    """One file that could be read."""

    file: str
    text: str
    tree: ast.Module
    lines: tuple[Line, ...] = ()
    """Of a notebook: what each line of `text` is there; empty for a file, where they are the same."""

    unread: tuple[str, ...] = field(default=())
    """What of it could not be read, in sentences."""

    def line(self, number: int) -> Line:
        """The reader's own number for a line of `text`."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else Line(number)


class Unreadable(ValueError):
    """Why a file cannot be judged, in one sentence."""


def find(paths: Iterable[Path]) -> Iterator[Path]:
    """The files themselves, and all Python files and notebooks below the folders, each once, in order.

    Raises:
        Unreadable: there is no such file or folder.
    """
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise Unreadable(f"there is no file or folder `{path}`.")
        for file in _below(path) if path.is_dir() else [path]:
            if file not in seen:
                seen.add(file)
                yield file


def read(path: Path) -> Source:
    """Parse one file.

    Raises:
        Unreadable: it is too large, no text, or no Python.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise Unreadable(f"{path} has {size:,} bytes, more than the {LARGEST:,} that are read.")
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot read {path}: {error.strerror or error}.") from None
    return _notebook(str(path), data) if path.suffix == ".ipynb" else parse(str(path), _decoded(path, data))


def parse(file: str, text: str) -> Source:
    """Parse Python that has been read.

    Raises:
        Unreadable: it is no Python that this interpreter knows.
    """
    return Source(file, text, _tree(file, text))


def _below(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.startswith("."))
        yield from (Path(root, name) for name in sorted(files) if name.endswith(ENDINGS))


def _decoded(path: Path, data: bytes) -> str:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return io.TextIOWrapper(io.BytesIO(data), encoding).read()
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        line = data[: error.start].count(b"\n") + 1 if isinstance(error, UnicodeDecodeError) else 1
        said = "its bytes are not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise Unreadable(
            f"{path} is no text, line {line}: {said}. Save it as UTF-8, or say `# -*- coding: NAME -*-`."
        ) from None


def _tree(file: str, text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the user's escapes, which are none of our business
            return ast.parse(text)
    except SyntaxError as error:
        raise Unreadable(f"{file} is no Python, line {error.lineno or 1}: {error.msg}.") from None
    except (ValueError, RecursionError, MemoryError) as error:
        why = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise Unreadable(f"{file} cannot be parsed: {why}.") from None


def _notebook(file: str, data: bytes) -> Source:
    """All code cells one after the other, as they run from top to bottom."""
    try:
        cells = [c for c in json.loads(data.decode("utf-8-sig"))["cells"] if c["cell_type"] == "code"]
        codes = [c["source"] if isinstance(c["source"], str) else "".join(c["source"]) for c in cells]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unreadable(f"{file} is no notebook that can be read (JSON with `cells`, version 4).") from None
    text: list[str] = []
    lines: list[Line] = []
    unread: list[str] = []
    for number, code in enumerate(codes, 1):
        kept = _without_magic(code)
        try:
            _tree(file, kept)
        except Unreadable as error:
            unread.append(str(error).replace(file, f"{file}, cell {number},", 1))
            continue
        rows = kept.split("\n")
        text += rows
        lines += [Line(at, number) for at in range(1, len(rows) + 1)]
    whole = "\n".join(text)
    return Source(file, whole, _tree(file, whole), tuple(lines), tuple(unread))


def _without_magic(code: str) -> str:
    """Python alone, line by line: a magic or a shell command becomes `pass`, a cell of another language nothing."""
    code = code.replace("\r\n", "\n").replace("\r", "\n").replace("\f", " ")
    rows = code.split("\n")
    if FOREIGN.match(rows[0]):
        return "\n" * (len(rows) - 1)
    if _parses(code):  # a line that begins with `%` may go on with the one above
        return code
    return "\n".join(
        f"{row[: len(row) - len(row.lstrip())]}pass" if MAGIC.search(row) else row for row in rows
    )


def _parses(code: str) -> bool:
    try:
        _tree("", code)
    except Unreadable:
        return False
    return True
