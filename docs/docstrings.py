"""How docstrings become pages: doctests are code, and the words that each function's page answers to stand out."""

from __future__ import annotations

import re

import griffe

ANSWERS = re.compile(r"^(Helps|Harms|Costs|Source): ", re.MULTILINE)
DOCTEST = re.compile(r"(?:^>>> .*\n?(?:^(?!\s*$).*\n?)*\n*)+", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Called for every object that a page shows."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the object's docstring."""
        if obj.docstring is not None:
            obj.docstring.value = in_markdown(obj.docstring.value)


def in_markdown(text: str) -> str:
    """The same docstring with fenced doctests and bold answers."""
    text = DOCTEST.sub(lambda found: f"```pycon\n{found[0].rstrip()}\n```\n\n", text)
    return ANSWERS.sub(r"\n**\1:** ", text)
