"""The names that users may rely on. Whoever changes this list changes the interface: CHANGELOG.md says so."""

import ast
from pathlib import Path

import pytest

import trainwright

NAMES = (
    "Evidence Finding Moment Remedy Risk Rule Run Series Severity Signal Training Trial UnreadableRun "
    "Verdict Watch Where activation average clip curvature descent diagnose groups init load lr_range norm "
    "regularize report rules schedule signals stopping verdict watch"
).split()


def test_the_public_names_are_these():
    assert trainwright.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there(name):
    assert getattr(trainwright, name) is not None
    assert name in dir(trainwright)


def test_no_other_name_is_public():
    assert {n for n in dir(trainwright) if not n.startswith("_")} - submodules() == set(NAMES) - submodules()


def test_a_type_checker_sees_the_same_names():
    tree = ast.parse(Path(trainwright.__file__).read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    imported = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imported) == NAMES


def test_a_misspelt_name_is_refused():
    with pytest.raises(AttributeError, match="has no attribute 'wacth'"):
        _ = trainwright.wacth


def submodules() -> set[str]:
    return {p.stem for p in Path(trainwright.__file__).parent.iterdir()} | {"TYPE_CHECKING", "import_module"}
