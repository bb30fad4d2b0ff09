"""Writes the pages that come from the code: one a rule, their index, the command line, what was measured, the changes.

mkdocs calls `on_config` and `on_files` (see `hooks` in mkdocs.yml). Nothing is written into the source tree.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trainwright import cli, report, rules

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the generated pages in the navigation."""
    names = [path for path in pages() if path.startswith("rules/")]
    for entry in config.nav or []:
        if "Rules" in entry:
            entry["Rules"] = [{"All rules": names[0]}, *({Path(n).stem: n} for n in names[1:])]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages; one that also exists as a file is the introduction of the generated one."""
    from mkdocs.structure.files import File

    for path, text in pages().items():
        written = files.get_file_from_path(path)
        if written is not None:
            text = f"{written.content_string}\n{text}"
            files.remove(written)
        files.append(File.generated(config, path, content=text))
    return files


def pages() -> dict[str, str]:
    """Path -> Markdown of every generated page; the index of the rules is the first of theirs."""
    return {
        "rules/index.md": "\n".join(rules_table()),
        **{f"rules/{rule.name}.md": in_python_markdown(report.page(rule)) for rule in rules.ALL},
        "cli.md": "\n".join(command_line()),
        "measured.md": "\n".join(measured(ROOT / "bench" / "results")),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
    }


def rules_table() -> Iterator[str]:
    """All rules, the worst first."""
    yield "# Rules\n"
    yield "A *hint* is a symptom without shown harm and never an alarm; *harm* trains worse than it should;"
    yield "*fatal* cannot train. `trainwright explain NAME` prints a rule's page.\n"
    yield "| rule | at worst | what it finds |"
    yield "| --- | --- | --- |"
    for rule in sorted(rules.ALL, key=lambda r: (-r.severity, r.name)):
        yield f"| [{rule.name}]({rule.name}.md) | {rule.severity.name.lower()} | {rule.summary} |"


def in_python_markdown(page: str) -> str:
    """The same page for Python-Markdown, which wants what belongs to a list item indented by four, not by two.

    >>> print(in_python_markdown("- one\\n\\n      code\\n\\n- two\\n  goes on"))
    - one
    <BLANKLINE>
            code
    <BLANKLINE>
    - two
        goes on
    """
    lines, fenced = [], False
    for line in page.splitlines():
        fenced ^= line.startswith("```")
        inside = (line.startswith("  ") and not line.startswith("    ")) or line.startswith("      ")
        lines.append("  " + line if inside and not fenced else line)
    return "\n".join(lines) + "\n"


def command_line() -> Iterator[str]:
    """The help of every command, as the program prints it."""
    parser = cli.parser()
    yield f"```text\n{parser.format_help()}```\n"
    commands = next(a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    for name, command in commands.items():
        yield f"## {name}\n\n```text\n{command.format_help()}```\n"


def measured(folder: Path) -> Iterator[str]:
    """A section for each result: the command that makes it, the machine, the table."""
    results = sorted(folder.glob("*.json"))
    if not results:
        yield "Nothing has been measured in this checkout: `make bench` and `make bench-watch` write their tables here."
    for path in results:
        result = json.loads(path.read_text(encoding="utf-8"))
        yield f"## {result.get('title', path.stem)}\n"
        yield f"From `bench/results/{path.name}`.\n"
        for key, value in result.items():
            if isinstance(value, str) and key != "title":
                yield f"- {key}: {value}"
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                yield "\n" + "\n".join(table(value))
        yield ""


def table(rows: list[dict[str, object]]) -> Iterator[str]:
    """Rows with the same keys as a Markdown table."""
    yield f"| {' | '.join(rows[0])} |"
    yield "| --- " * len(rows[0]) + "|"
    for row in rows:
        yield f"| {' | '.join(cell(row.get(key)) for key in rows[0])} |"


def cell(value: object) -> str:
    """A value in a table."""
    text = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
