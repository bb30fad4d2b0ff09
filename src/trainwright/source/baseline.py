"""Findings that are known and left for later: matched by rule, file and the line's text, not by its number."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from .judge import Seen

FORMAT = 1


class UnreadableBaseline(ValueError):
    """Why a baseline cannot be used, in one sentence."""


def written(seen: Iterable[Seen], to: Path) -> str:
    """The text of a baseline in the folder of `to`, the same for the same findings in any order."""
    rows = sorted(_known_by(s, to) for s in seen)
    findings = [{"rule": rule, "file": file, "text": text} for rule, file, text in rows]
    return json.dumps({"version": FORMAT, "findings": findings}, indent=2, ensure_ascii=False) + "\n"


def new(seen: Sequence[Seen], baseline: Path) -> list[Seen]:
    """The findings that a baseline does not know; of equal lines it knows as many as it names.

    Raises:
        UnreadableBaseline: there is none, or it is none.
    """
    left = _read(baseline)
    found = []
    for one in seen:
        known = _known_by(one, baseline)
        if left[known] > 0:
            left[known] -= 1
        else:
            found.append(one)
    return found


def _known_by(seen: Seen, baseline: Path) -> tuple[str, str, str]:
    file = seen.finding.where[0].file or ""
    try:
        file = os.path.relpath(file, baseline.absolute().parent)
    except ValueError:  # on another drive
        file = os.path.abspath(file)
    return seen.finding.rule, Path(file).as_posix(), " ".join(seen.text.split())


def _read(baseline: Path) -> Counter[tuple[str, str, str]]:
    try:
        data = json.loads(baseline.read_text(encoding="utf-8"))
        version = data["version"]
        rows = [(str(f["rule"]), str(f["file"]), str(f["text"])) for f in data["findings"]]
    except FileNotFoundError:
        raise UnreadableBaseline(f"there is no baseline `{baseline}`; --write-baseline makes one.") from None
    except OSError as error:
        raise UnreadableBaseline(f"cannot read `{baseline}`: {error.strerror or error}.") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnreadableBaseline(f"`{baseline}` is no baseline of trainwright.") from None
    if version != FORMAT:
        raise UnreadableBaseline(f"`{baseline}` has format {version!r}; this version knows {FORMAT}.")
    return Counter(rows)
