"""Comments that ask to be left alone: `# trainwright: ignore[rule, rule]` on the line of a finding."""

from __future__ import annotations

import io
import re
import tokenize
from typing import NamedTuple

COMMENT = re.compile(r"#\s*trainwright:\s*ignore\b\s*(?:\[([^\]]*)\])?")


class Ignored(NamedTuple):
    """One comment."""

    line: int
    rules: tuple[str, ...]
    """Empty: the comment names none."""


def ignored(text: str) -> tuple[Ignored, ...]:
    """The comments of a source that could be parsed.

    >>> ignored("total += loss  # trainwright: ignore[retained-graph]")
    (Ignored(line=1, rules=('retained-graph',)),)
    """
    if "trainwright:" not in text:
        return ()
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            said = COMMENT.search(token.string) if token.type == tokenize.COMMENT else None
            if said:
                names = [name.strip() for name in (said[1] or "").split(",")]
                found.append(Ignored(token.start[0], tuple(name for name in names if name)))
    except (tokenize.TokenError, SyntaxError):
        return tuple(found)  # the parser took it and the tokenizer does not: what was read so far holds
    return tuple(found)
