"""Faults that can be seen in Python source alone, without running it: same rule names, same findings."""

from .baseline import UnreadableBaseline, new, written
from .checks import CHECKS, NAMES
from .files import Source, Unreadable, find, parse, read
from .judge import Seen, judge

__all__ = [
    "CHECKS",
    "NAMES",
    "Seen",
    "Source",
    "Unreadable",
    "UnreadableBaseline",
    "find",
    "judge",
    "new",
    "parse",
    "read",
    "written",
]
