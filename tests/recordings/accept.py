"""Expect from now on what the rules of today find in the recordings, and print how that differs from before.

    python tests/recordings/accept.py

Whoever changes a rule reads the table, and puts it into the message of the commit.
"""

from __future__ import annotations

import json
from pathlib import Path

from judging import EXPECTED, HERE, expected, judged, names, table


def accept(root: Path) -> str:
    """Rewrite each recording's `expected.json`; returns the table of what changed."""
    before = expected(root)
    now = {name: judged(root / name) for name in names(root)}
    for name, judgement in now.items():
        text = json.dumps(judgement, indent=1) + "\n"
        (root / name / EXPECTED).write_text(text, encoding="utf-8")
    return table(before, now)


if __name__ == "__main__":
    print(accept(HERE) or "Nothing changed.")
