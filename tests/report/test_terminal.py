"""The text report: complete, in order, plain where it must be, and no wider than the window."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from trainwright.core import Run, Series
from trainwright.report import catalogue, explain, text
from trainwright.report.page import page


@pytest.fixture(autouse=True)
def a_window_of_80_columns(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")


def written(run, findings, rules, **where) -> str:
    file = io.StringIO()
    text(run, findings, file, rules, **where)
    return file.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_it_is_plain_where_it_is_no_terminal(run, findings, rules):
    said = written(run, findings, rules)
    assert "\x1b" not in said
    assert said.isascii()
    assert not any(line.endswith(" ") for line in said.splitlines())


def test_a_terminal_gets_colours_unless_it_asks_for_none(run, findings, rules, monkeypatch):
    terminal = Terminal()
    text(run, findings, terminal, rules)
    assert "\x1b[1;31mfatal[no-feet]: \x1b[0m" in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    text(run, findings, terminal, rules)
    assert "\x1b[1;31m" not in terminal.getvalue()
    assert "\x1b[36m" not in terminal.getvalue()


def test_nothing_of_the_users_steers_the_terminal_or_is_taken_for_markup(run, findings, rules):
    run.facts["given_up"].append("a name with half a character: \udcff")
    said = written(run, findings, rules)
    assert "1 | net = Net()?[31m  # red" in said
    assert "`[b]2.weight[/b]`" in said
    assert said.encode("utf-8")


def test_each_finding_says_what_where_when_how_much_and_what_to_do(run, findings, rules, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    said = written(run, findings, rules)
    assert said.startswith(
        "trainwright on my train.py: 1 fatal finding, 1 harmful finding, 1 hint in 120 steps.\n"
    )
    fatal, harm, hint = said.split("\n\n")[1:4]
    for words in (
        "fatal[no-feet]: the loss was `nan` 100 % of the time, in",
        "  --> my train.py:1 `0.weight`\n",
        "      1 | net = Net()",
        "  --> /elsewhere/lib.py:7\n",
        "  seen        since step 3\n",
        "  measured    values that are not finite: not finite, limit 0 (values)\n",
        "  do          Give it feet: `Net(feet=2)`.\n",
        "  more        trainwright explain no-feet",
    ):
        assert words in fatal
    for words in (
        "  seen        from step 10 to step 40\n",
        "first / last: 8.6e-9, limit 0.001 (ratio)",
        "2.3031, limit 2.3025 (loss)",  # as many digits as tell them apart
        "  do          warm-socks: Start with larger weights, so that the gradient arrives.",
        "short-way: Add `x + block(x)`.",
    ):
        assert words in harm
    assert "  seen        at step 7\n" in hint
    assert "  remedies    look\n" in hint
    assert said.index("fatal[") < said.index("harm[") < said.index("hint[")


def test_the_end_says_what_was_clean_what_it_cost_what_failed_and_what_to_type(
    run, findings, rules, tmp_path, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "100")
    said = written(run, findings[1:2], rules, folder=tmp_path / "runs" / "1", report=tmp_path / "report.html")
    for words in (
        "  clean       no-feet\n",
        "  not judged  needs-more (no valid_loss)\n",
        "  looked at   120 optimiser steps; 120 readings of the loss; 0 validation passes;",
        "  given up    Steps are shorter than 1 ms: layers were seen at every 8th step.\n",
        "  cost        1.3 % of the run: 0.8 s of 61.2 s (budget 2 %), and 0.4 s to start\n",
        "  our fault   signal `memory`: OSError: no such file\n",
        f"  record      {Path('runs', '1')}\n",
        "  report      report.html\n",
        "    trainwright explain cold-feet\n",
        "    trainwright check 'my train.py' --name 'a b'\n",
        f"    trainwright diagnose {Path('runs', '1')} --set cold-feet.ratio=0.001\n",
    ):
        assert words in said


@pytest.mark.parametrize("width", [40, 80, 200])
def test_prose_keeps_to_the_window_and_to_a_hundred_columns(run, findings, rules, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    whole = (
        "  --> ",
        "    trainwright ",
        "  why ",
        "  after ",
        "  the ",
    )  # not cut: to be clicked and copied
    lines = written(run, findings, rules, folder=Path("runs/1")).splitlines()
    assert max(len(line) for line in lines if not line.startswith(whole)) <= min(width, 100)


def test_a_clean_run_is_told_in_a_few_lines(rules):
    steps = np.arange(40)
    run = Run(
        {"loss": Series(steps, ("",), np.ones((40, 1), np.float32))}, {"steps": 40, "script": "train.py"}
    )
    said = written(run, (), rules)
    assert said.startswith("trainwright on train.py: Nothing harmful found in 40 steps.\n")
    assert "Next:" not in said
    assert "harm[" not in said


def test_a_check_leads_to_the_whole_run(rules):
    steps = np.arange(10)
    facts = {"steps": 10, "script": "train.py", "stopped_by": "check", "argv": ["-e", "3"]}
    run = Run({"loss": Series(steps, ("",), np.ones((10, 1), np.float32))}, facts)
    assert "    trainwright run train.py -e 3\n" in written(run, (), rules)


def test_where_nothing_was_seen_nothing_is_called_clean(rules):
    said = written(Run({}, {"script": "train.py"}), (), rules)
    assert "No training was seen" in said
    assert "clean" not in said
    assert "not judged" not in said


def test_many_places_are_cut_short(run, findings, rules):
    many = tuple(findings[1].where[0]._replace(line=i) for i in range(1, 9))
    said = written(run, (findings[1].__class__(**{**findings[1].__dict__, "where": many}),), rules)
    assert said.count("  --> ") == 4
    assert "and 4 more places" in said


def test_a_console_of_ones_own_is_used_as_it_is(run, findings, rules):
    console = Console(file=io.StringIO(), width=60, record=True)
    text(run, findings, console, rules)
    assert "cold-feet" in console.export_text()


def test_a_page_is_markdown_in_a_file_and_laid_out_in_a_terminal(rules):
    file, terminal = io.StringIO(), Terminal()
    explain(rules[1], file)
    explain(rules[1], terminal)
    assert file.getvalue() == page(rules[1])
    assert "\x1b" in terminal.getvalue()
    assert "**" not in terminal.getvalue()


def test_the_catalogue_has_the_worst_first(rules):
    file = io.StringIO()
    catalogue(rules[::-1], file)
    said = file.getvalue()
    assert said.index("no-feet") < said.index("cold-feet") < said.index("needs-more")
    assert "The first layers stand still." in said
