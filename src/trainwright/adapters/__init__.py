"""Other tools' logs: a file of curves becomes a `Run`, with nothing but what the file holds. No torch."""

from .curves import read
from .table import UnreadableLog

__all__ = ["UnreadableLog", "read"]
