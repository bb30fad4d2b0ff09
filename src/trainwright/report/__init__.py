"""How things look: the one part that knows. Everything here shows a `Run` and the findings on it."""

from .data import as_json, github, sarif
from .html import html
from .page import page, remedies
from .source import Looked, source_github, source_json, source_sarif, source_text
from .terminal import catalogue, explain, text

__all__ = [
    "Looked",
    "as_json",
    "catalogue",
    "explain",
    "github",
    "html",
    "page",
    "remedies",
    "sarif",
    "source_github",
    "source_json",
    "source_sarif",
    "source_text",
    "text",
]
