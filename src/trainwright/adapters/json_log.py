"""JSON in the shapes that logs have: one object a line, a list of them, columns, and `trainer_state.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from .names import SPLITS, splits
from .table import Column, Log, UnreadableLog, apart, column, kept, listed

DEEP = 8
"""Levels of nested objects that are followed: `{"train": {"loss": 1}}` is `train/loss`."""

WIDE = 10_000
"""Most columns read; a log that names them by the step would have one for each."""

Row = Mapping[str, object]


def read(path: Path, text: str) -> Log:
    """A log in JSON, whichever shape it has.

    Raises:
        UnreadableLog: it is no JSON, or there are no rows of numbers in it.
    """
    start = text.lstrip()[:1]
    notes: list[str] = []
    if start == "[" or (start == "{" and not _lines(text)):
        try:
            whole = json.loads(text)
        except RecursionError:
            raise UnreadableLog(f"`{path}` is nested too deeply to be a log.") from None
        except ValueError as error:
            raise UnreadableLog(f"`{path}` is no valid JSON: {_where(error)}.") from None
    else:
        whole = _parsed_lines(path, text, notes)
    log = _shaped(path, whole)
    log.notes[:0] = notes
    return log


def _lines(text: str) -> bool:
    """Whether the first line is an object of its own and there is more than that."""
    line = text.lstrip().partition("\n")
    try:
        return isinstance(json.loads(line[0]), dict) and bool(line[2].strip())
    except (ValueError, RecursionError):
        return False


def _parsed_lines(path: Path, text: str, notes: list[str]) -> list[object]:
    lines = text.splitlines()
    numbers = [i for i, line in enumerate(lines) if line and not line.isspace()]
    told = [lines[i] for i in numbers]
    try:
        try:
            rows = json.loads(f"[{','.join(told)}]")
            if len(rows) == len(told):
                return list(rows)
        except ValueError:
            pass  # one of them is wrong: below it is found
        rows = []
        for i, line in zip(numbers, told, strict=True):
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                if i == numbers[-1] and rows:
                    notes.append("The last line is cut short and was left out.")
                    break
                raise UnreadableLog(f"`{path}` has no valid JSON in line {i + 1}: {_where(error)}.") from None
        return rows
    except RecursionError:
        raise UnreadableLog(f"`{path}` is nested too deeply to be a log.") from None


def _where(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[:1].lower()}{error.msg[1:]} at line {error.lineno}, column {error.colno}"
    return "a number is too long"


def _shaped(path: Path, whole: object) -> Log:
    if isinstance(whole, dict):
        history = whole.get("log_history")
        if isinstance(history, list):
            return _trainer_state(path, whole, history)
        inner = whole.get("history")
        columns = _by_column(inner if isinstance(inner, dict) else whole)
        if columns:
            return columns
        rows = [list(whole.values()) if all(isinstance(v, dict) for v in whole.values()) else [whole]][0]
        return from_rows("JSON", [row for row in rows if isinstance(row, dict)], path)
    rows = [row for row in whole if isinstance(row, dict)] if isinstance(whole, list) else []
    if not rows:
        raise UnreadableLog(f"`{path}` holds JSON, but no rows: an object with numbers for each logged step.")
    return from_rows("JSON", rows, path)


def _trainer_state(path: Path, whole: Row, history: Sequence[object]) -> Log:
    """A Hugging Face Trainer's state: its last entry sums the run up, and its `train_loss` is a mean over it."""
    rows = [row for row in history if isinstance(row, dict)]
    steps = [{k: v for k, v in row.items() if k != "train_loss"} for row in rows]
    if not any("loss" in row or "eval_loss" in row for row in steps):
        steps = [dict(row) for row in rows]
    log = from_rows("Hugging Face trainer_state.json", steps, path)
    done = whole.get("global_step")
    if isinstance(done, int) and 0 < done < 2**53:
        log.done = done
        planned = whole.get("max_steps")
        if isinstance(planned, int) and planned > done:
            log.notes.append(f"The run was at step {done:,} of {planned:,} when this file was written.")
    return log


def _by_column(whole: Row) -> Log | None:
    """`{"loss": [1, 2]}` as of Keras's History, or `{"loss": {"0": 1}}` as of a data frame; `None` for others."""
    lists = {str(k): v for k, v in whole.items() if isinstance(v, list) and v}
    if not lists:
        frames = {str(k): v for k, v in whole.items() if isinstance(v, dict) and v}
        counted = [v for v in frames.values() if all(str(key).isdecimal() for key in v)]
        if not frames or len(counted) < len(frames):
            return None
        lists = {k: list(v.values()) for k, v in frames.items()}
    columns = {name: read for name, told in list(lists.items())[:WIDE] if (read := _column(told))}
    return Log("JSON", columns, max(len(told) for told in lists.values())) if columns else None


def from_rows(form: str, rows: Sequence[Row], path: Path | None = None) -> Log:
    """A log from rows of which each names its own columns.

    Raises:
        UnreadableLog: no column holds numbers.
    """
    nested = {dict, list}.intersection(map(type, chain.from_iterable(row.values() for row in rows)))
    if dict in nested:
        rows = [_flat(row) for row in rows]
    names = list(dict.fromkeys(map(str, chain.from_iterable(rows))))[:WIDE]
    columns = {name: read for name in names if (read := _column([row.get(name) for row in rows]))}
    if not columns:
        file = f"`{path}`" if path else "The log"
        raise UnreadableLog(f"{file} holds no numbers, only {listed(names) or 'nothing'}.")
    for name in names:
        if name.lower() in SPLITS:
            parts = splits([str(row.get(name, "")) for row in rows])
            columns = apart(columns, parts) if parts else columns
    return Log(form, columns, len(rows))


def _flat(row: Row, prefix: str = "", depth: int = 0) -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in row.items():
        if isinstance(value, dict) and depth < DEEP:
            flat |= _flat(value, f"{prefix}{key}/", depth + 1)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


SPELT = re.compile(r"[-+]?(nan|inf|infinity|[\d.]+(e[-+]?\d+)?)", re.IGNORECASE | re.ASCII)


def _column(told: Iterable[object]) -> Column | None:
    """The numbers of a column; text only where it spells one, as `"NaN"` does."""
    cells = [value[0] if isinstance(value, list) and len(value) == 1 else value for value in told]
    kinds = set(map(type, cells))
    if kinds <= {float, int, type(None)}:
        missing = np.array([value is None for value in cells], np.bool_)
        try:
            values = np.array([np.nan if value is None else value for value in cells], np.float64)
        except (OverflowError, TypeError):
            values = np.array([np.nan if value is None else _float(value) for value in cells], np.float64)
        return None if missing.all() else kept(values, missing)
    words = [
        str(_float(value))
        if type(value) in (int, float)
        else value
        if isinstance(value, str) and SPELT.fullmatch(value.strip())
        else ""
        for value in cells
    ]
    return column(words)[0]


def _float(number: object) -> float:
    try:
        return float(number)  # type: ignore[arg-type]
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")  # type: ignore[operator]
