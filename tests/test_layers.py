"""The map of docs/architecture.md, enforced: who imports whom, and who sees torch, files and the clock."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trainwright

ROOT = Path(trainwright.__file__).parent
TOOLKIT = (
    "init activation norm regularize groups clip descent schedule stopping curvature lr_range transfer "
    "pretrain average data shards"
).split()
LAYERS = [
    ["core"],
    ["stats"],
    TOOLKIT,
    ["signals"],
    ["adapters"],
    ["observe"],
    ["rules"],
    ["remedies"],
    ["trials"],
    ["fit"],
    ["source"],
    ["report"],
    ["watched"],
    ["settings", "progress"],
    ["launch", "static"],
    ["cli"],
    ["__main__"],
]
HEIGHT = {part: height for height, layer in enumerate(LAYERS) for part in layer}
LOOKS_UP: dict[str, set[str]] = {}
"""File -> the higher parts that it may import inside a function; why is said there."""

NEEDS_NO_TORCH = [
    "trainwright",
    "trainwright.core",
    "trainwright.stats",
    "trainwright.signals",
    "trainwright.adapters",
    "trainwright.observe",
    "trainwright.observe.store",
    "trainwright.rules",
    "trainwright.source",
    "trainwright.report",
    "trainwright.cli",
]
OUTSIDE_WORLD = set(
    "datetime io os pathlib random shutil socket sqlite3 subprocess tempfile time torch".split()
)
FILES = sorted(p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(tree: ast.AST, package: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Line and full dotted name of every import under `tree`; `package` is what relative ones start from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = base + (node.module or "").split(".") if node.module else base
            yield from ((node.lineno, [*stem, alias.name]) for alias in node.names)


def upward(source: str, here: str, package: list[str]) -> list[str]:
    """What `source`, a file of the part `here`, imports from a higher part."""
    own = ((line, what[1]) for line, what in imports(ast.parse(source), package) if what[0] == "trainwright")
    return [f"line {line}: {there}" for line, there in own if HEIGHT.get(there, 0) > HEIGHT[here]]


@pytest.mark.parametrize("path", FILES, ids=name)
class TestEveryFile:
    def test_belongs_to_a_layer(self, path):
        assert part(path) in HEIGHT, f"give `{part(path)}` its place in LAYERS and in docs/architecture.md"

    def test_imports_only_from_its_own_layer_and_lower_ones(self, path):
        package = ["trainwright", *path.relative_to(ROOT).parent.parts]
        found = upward(path.read_text(encoding="utf-8"), part(path), package)
        allowed = LOOKS_UP.get(name(path), set())
        assert [f for f in found if f.rpartition(" ")[2] not in allowed] == []

    def test_asks_nobody_how_things_look_but_the_report(self, path):
        if part(path) not in {"report", "cli"}:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            assert [line for line, what in imports(tree, []) if what[0] == "rich"] == []


@pytest.mark.parametrize(
    "source",
    [
        "from ..report import text",
        "from .. import report",
        "import trainwright.report",
        "from trainwright import cli",
    ],
)
def test_the_guard_sees_an_upward_import(source):
    assert upward(source, "rules", ["trainwright", "rules"])
    assert upward(f"def check():\n    {source}", "rules", ["trainwright", "rules"])


@pytest.mark.parametrize(
    "source", ["from ..core import Run", "from .verdict import verdict", "import numpy as np"]
)
def test_the_guard_lets_a_downward_import_pass(source):
    assert upward(source, "rules", ["trainwright", "rules"]) == []


def impure(source: str) -> list[str]:
    """What a rule does besides arithmetic on a run. Undecorated functions are cases: torch is theirs."""
    found = []
    for node in ast.parse(source).body:
        case = isinstance(node, ast.FunctionDef) and not node.decorator_list
        forbidden = OUTSIDE_WORLD - {"torch"} if case else OUTSIDE_WORLD
        found += [what[0] for _, what in imports(node, ["trainwright", "rules"]) if what[0] in forbidden]
        called = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
        found += [f.id for f in called if isinstance(f, ast.Name) and f.id in {"open", "print"}]
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "rules").glob("*.py")), ids=name)
def test_a_rule_sees_no_tensor_no_file_and_no_clock(path):
    assert impure(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "from time import time",
        "@rule()\ndef r(run):\n    import torch",
        "def case():\n    from os import path",
        "def helper():\n    return open('x')",
    ],
)
def test_the_guard_sees_an_impure_rule(source):
    assert impure(source)


def test_the_guard_lets_a_case_train():
    assert impure("def case():\n    import torch\n    torch.manual_seed(0)") == []


@pytest.mark.parametrize(
    "work",
    [f"import {', '.join(NEEDS_NO_TORCH)}", "import trainwright as tw; tw.rules.diagnose(tw.Run({}))"],
    ids=["imported", "judging"],
)
def test_no_torch_is_imported_when(work):
    code = f"import sys; {work}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "torch was imported"
