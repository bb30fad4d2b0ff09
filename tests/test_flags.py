"""The flags that users may rely on. Whoever changes this table changes the interface: CHANGELOG.md says so."""

import argparse
import re
from pathlib import Path

import pytest

from trainwright import cli

JUDGING = "--fail-on --format --ignore --output --select --set"
WATCHING = f"{JUDGING} --eager-probe --folder --overhead -m"
FLAGS = {
    "run": WATCHING,
    "check": f"{WATCHING} --steps --static --baseline --write-baseline",
    "diagnose": f"{JUDGING} --map",
    "explain": "",
    "rules": "",
}
SETTINGS = "fail-on ignore overhead select set"


def commands():
    parser = cli.parser()
    return next(a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction))


def test_the_commands_are_these():
    assert set(commands()) == set(FLAGS)


@pytest.mark.parametrize("name", FLAGS)
def test_the_flags_of_a_command_are_these(name):
    flags = {flag for action in commands()[name]._actions for flag in action.option_strings}
    assert flags == {"-h", "--help", *FLAGS[name].split()}


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_says_what_it_is_for(name):
    assert all(action.help for action in commands()[name]._actions)


def test_the_settings_of_a_project_are_flags_by_the_same_names():
    source = Path(cli.__file__).with_name("settings.py").read_text(encoding="utf-8")
    assert {f"--{name}" for name in SETTINGS.split()} <= set(WATCHING.split())
    for name in SETTINGS.split():
        assert re.search(rf"\b{name}\b", source.replace("_", "-")), name
