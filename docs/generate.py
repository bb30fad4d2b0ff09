"""Writes the pages that come from the code: one a rule and one a part of the toolkit, their indexes, the command line,
what was measured, the changes.

mkdocs calls `on_config` and `on_files` (see `hooks` in mkdocs.yml). Nothing is written into the source tree.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import trainwright
from trainwright import cli, report, rules

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parent.parent
LONG = 20
"""Rows beyond which a table of results is folded."""
TOOLKIT = (
    "init activation norm regularize groups clip descent schedule lr_range stopping average curvature"
).split()


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the generated pages in the navigation."""
    for entry in config.nav or []:
        for title, folder in (("Rules", "rules/"), ("Toolkit", "toolkit/")):
            if title in entry:
                first, *others = (path for path in pages() if path.startswith(folder))
                entry[title] = [{"Overview": first}, *({Path(n).stem: n} for n in others)]
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
        "toolkit/index.md": "\n".join(toolkit_table()),
        **{f"toolkit/{name}.md": "\n".join(toolkit_page(name)) for name in TOOLKIT},
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


def toolkit_table() -> Iterator[str]:
    """Every part of the toolkit and what is in it, by the first lines of the docstrings."""
    yield "# Toolkit\n"
    yield "Plain functions on torch objects and numbers, for any loop. Those whose name ends in `_` change what they"
    yield "are given. Where torch has it right, the page names torch's own and nothing is added.\n"
    for name in TOOLKIT:
        module = getattr(trainwright, name)
        yield f"## [{name}]({name}.md)\n\n{first_line(module)}\n\n| name | what it gives |\n| --- | --- |"
        for public in public_names(module):
            anchor = f"{name}.md#trainwright.{name}.{public}"
            yield f"| [`{public}`]({anchor}) | {cell(first_line(getattr(module, public)))} |"
        yield ""


def toolkit_page(name: str) -> Iterator[str]:
    """The module's own words, its pictures, and each of its names."""
    module = getattr(trainwright, name)
    title, _, rest = inspect.getdoc(module).partition("\n")
    yield f"# {name}\n\n{title}\n{rest}\n"
    if name == "schedule":
        yield from schedule_pictures()
    for public in public_names(module):
        yield f"::: trainwright.{name}.{public}\n"


def public_names(module: ModuleType) -> list[str]:
    """Functions and classes, in the order in which the module's own words mention them; results last."""
    words = inspect.getdoc(module) or ""

    def place(name: str) -> tuple[bool, int, str]:
        what = getattr(module, name)
        found = re.search(rf"\b{name}\b", words)
        result = inspect.isclass(what) and (issubclass(what, tuple) or is_dataclass(what))
        return result, found.start() if found else len(words), name

    every = ((name, getattr(module, name)) for name in module.__all__)
    return sorted((n for n, what in every if inspect.isfunction(what) or inspect.isclass(what)), key=place)


def schedule_pictures() -> Iterator[str]:
    """Each schedule over a run of a hundred steps."""
    shapes = trainwright.schedule
    examples = {
        "constant()": shapes.constant(),
        "staircase(25)": shapes.staircase(25),
        "exponential(0.97)": shapes.exponential(0.97),
        "cosine(100)": shapes.cosine(100),
        "warm_restarts(14, growth=2)": shapes.warm_restarts(14, growth=2),
        "cyclical(20)": shapes.cyclical(20),
        "one_cycle(100)": shapes.one_cycle(100),
        "warm_up(10, then=cosine(90))": shapes.warm_up(10, then=shapes.cosine(90)),
        "warm_up_stable_decay(100, warm=10, decay=30)": shapes.warm_up_stable_decay(100, warm=10, decay=30),
    }
    yield "## The shapes\n\nFactor of the rate over a run of 100 steps; the dashed lines are 0 and 1.\n"
    yield '<div class="grid" markdown="0">'
    for name, factor in examples.items():
        yield small_curve(name, [factor(step) for step in range(101)])
    yield "</div>\n"


def small_curve(name: str, values: list[float]) -> str:
    """A curve with its name, as wide as a third of a page."""
    top = max(1.0, *values)
    points = " ".join(f"{2 * i:.1f},{84 - 76 * v / top:.2f}" for i, v in enumerate(values))
    levels = "".join(
        f'<line x1="0" x2="200" y1="{84 - 76 * v / top:.1f}" y2="{84 - 76 * v / top:.1f}" stroke="currentColor" '
        f'opacity="0.35" stroke-dasharray="3 3"/>'
        for v in (0.0, 1.0)
    )
    return (
        f'<figure style="display:inline-block;width:min(300px,100%);margin:.4em"><svg viewBox="-2 0 204 92" role="img" '
        f'aria-label="{name}">{levels}<polyline points="{points}" fill="none" stroke="#1f78b4" stroke-width="2"/></svg>'
        f"<figcaption><code>{name}</code></figcaption></figure>"
    )


def first_line(what: object) -> str:
    """The first sentence of a docstring."""
    return (inspect.getdoc(what) or "").partition("\n\n")[0].replace("\n", " ")


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
            if key != "title":
                yield from shown(key, value)
        yield ""


def shown(key: str, value: object) -> Iterator[str]:
    """One entry of a result: a line, lines, or a table, which is folded where it is long."""
    if isinstance(value, str | int | float):
        yield f"- {key}: {value}"
    elif isinstance(value, list) and value and isinstance(value[0], str):
        yield from (f"- {line}" for line in value)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        rows = list(table(value))
        if len(value) <= LONG:
            yield "\n" + "\n".join(rows) + "\n"
        else:
            yield f'\n??? note "{key}: {len(value)} rows"\n'
            yield "\n".join(f"    {row}" for row in rows) + "\n"
    elif isinstance(value, dict):
        for part, of_part in value.items():
            if isinstance(of_part, dict):  # the counts of each rule, by part of the scripts
                yield from shown(
                    f"{key}, {part}", [{"rule": rule, **counts} for rule, counts in of_part.items()]
                )
            else:
                yield f"- {key}, {part}: {of_part}"


def table(rows: list[dict[str, object]]) -> Iterator[str]:
    """Rows with the same keys as a Markdown table."""
    yield f"| {' | '.join(rows[0])} |"
    yield "| --- " * len(rows[0]) + "|"
    for row in rows:
        yield f"| {' | '.join(cell(row.get(key)) for key in rows[0])} |"


def cell(value: object) -> str:
    """A value in a table."""
    if isinstance(value, list):
        value = ", ".join(str(v.get("rule", v)) if isinstance(v, dict) else str(v) for v in value)
    text = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
    return re.sub(r"\s+", " ", text).replace("|", "\\|")
