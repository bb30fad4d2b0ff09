"""How far the script is, on one line of the terminal that is gone before the script itself writes there."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

ERASE = "\r\x1b[K"


class StatusLine:
    """Shows a step and a loss on `stream`, where the cursor waits at the start of a line; without a thread.

    What is written through `stream` erases it first. After writing that left the cursor inside a line, as a
    progress bar does, nothing is shown, so that nobody's line is touched.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._write: Callable[[str], int] = stream.write
        self._shown = False
        self._at_start = True
        stream.write = self._pass_on  # type: ignore[method-assign]  # on this object alone

    def show(self, step: int, loss: float | None) -> None:
        """Draw or redraw the line."""
        if not self._at_start:
            return
        text = f"trainwright: step {step}" + ("" if loss is None else f", loss {loss:.4g}")
        self._write(ERASE + text[: shutil.get_terminal_size().columns - 1] + "\r")
        self._stream.flush()
        self._shown = True

    def close(self) -> None:
        """Erase the line, and leave the stream as it was."""
        vars(self._stream).pop("write", None)
        with suppress(OSError, ValueError):  # the script has closed it
            self._erase()
            self._stream.flush()

    def _pass_on(self, text: str) -> int:
        self._erase()
        if text:
            self._at_start = text.endswith("\n")
        return self._write(text)

    def _erase(self) -> None:
        if self._shown:
            self._write(ERASE)
        self._shown = False


def status_line() -> StatusLine | None:
    """A line on stderr where that is a terminal of its own: with stdout there too, it would be in the way."""
    err, out = sys.stderr, sys.stdout
    if err is None or out is None or os.environ.get("TERM") == "dumb":
        return None
    return StatusLine(err) if err.isatty() and not out.isatty() else None
