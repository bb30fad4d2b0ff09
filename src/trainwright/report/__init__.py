"""How things look: the one part that knows. Everything here shows a `Run` and the findings on it."""

from .data import as_json, github, sarif
from .html import html
from .page import page, remedies
from .terminal import catalogue, explain, text

__all__ = ["as_json", "catalogue", "explain", "github", "html", "page", "remedies", "sarif", "text"]
