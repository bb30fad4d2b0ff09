"""unshuffled-data: the training data come class by class, or the two loaders' `shuffle` are swapped."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from ...core import Severity
from ..kinds import words
from ..syntax import key, keyword, targets
from ..view import Found, View
from .loaders import NAMES, loader_call, loader_of

RULE = "unshuffled-data"

SORTED = {"ImageFolder": "one class after the other", "DatasetFolder": "one class after the other"}
"""Data sets that come sorted, and how."""

SORTED_TABLES = {"load_iris": "one class after the other", "load_wine": "one class after the other"}
MIXED = (
    "permutation",
    "randperm",
    "shuffle",
    "train_test_split",
    "random_split",
    "RandomSampler",
    "sample",
    "KFold",
)
VALID = {"val", "valid", "validation", "test", "dev", "eval"}
ORDERED = {"series", "forecast", "temporal", "time", "stream", "online", "window", "windows"}


def check(view: View) -> Iterator[Found]:
    """Look at each loader whose loop trains."""
    for loop in view.program.loops:
        given = loader_of(loop)
        call = loader_call(view, given) if given is not None else None
        if call is None or not any(e.kind == "step" for e in view.events.of_loop(loop)):
            continue
        if not _in_order(call) or VALID & set(words(key(given))):
            continue
        swapped = _shuffled_validation(view, call)
        order = _order(view, call) if _uses_labels(loop) else None
        if swapped is None and order is None:
            continue
        name = key(given) or "the loader"
        seen = (
            f"while the validation loader ({view.line(swapped)}) is: the two seem swapped"
            if swapped is not None
            else f"and its data come {order}"
        )
        yield view.found(
            RULE,
            call,
            f"`{name}` trains without being shuffled, {seen}",
            ("training loaders that are shuffled", 0, 1, "loaders"),
            "Say `shuffle=True` for the training data.",
            Severity.HINT,
            also=(swapped,) if swapped is not None else (),
        )


def _uses_labels(loop: ast.AST) -> bool:
    """`for x, _ in loader` does not learn the classes that the data are sorted by."""
    names = [key(t) for t in targets(loop)]
    return len(names) > 1 and not names[-1].startswith("_")


def _in_order(call: ast.Call) -> bool:
    """Nothing is said about the order, or `shuffle=False`."""
    if any(k.arg in (None, "sampler", "batch_sampler") for k in call.keywords) or len(call.args) > 3:
        return False
    shuffle = keyword(call, "shuffle", 2)
    return shuffle is None or (isinstance(shuffle, ast.Constant) and shuffle.value is False)


def _shuffled_validation(view: View, training: ast.Call) -> ast.Call | None:
    """A loader of the same file that is called one of validation and is shuffled."""
    if ORDERED & {w for n in view.program.nodes if isinstance(n, ast.Name) for w in words(n.id)}:
        return None
    for name, writes in view.program.assigned.items():
        if not VALID & set(words(name)):
            continue
        for statement, target in writes:
            value = view.names.assigned_value(statement, target)
            if (
                isinstance(value, ast.Call)
                and view.kinds.constructor(value) in NAMES
                and value is not training
            ):
                shuffle = keyword(value, "shuffle", 2)
                if isinstance(shuffle, ast.Constant) and shuffle.value is True:
                    return value
    return None


def _order(view: View, call: ast.Call) -> str | None:
    """How the data come, where the source shows that they are sorted and nothing mixes them."""
    data = keyword(call, "dataset", 0)
    if data is None or any(view.program.calls_of.get(word) for word in MIXED):
        return None
    known = view.names.values(data) if not isinstance(data, ast.Call) else [data]
    if not known or len(known) != 1 or not isinstance(known[0], ast.Call):
        return None
    made = view.kinds.constructor(known[0])
    if made.startswith("torchvision.datasets."):
        return SORTED.get(made.rpartition(".")[2])
    if made == "torch.utils.data.TensorDataset":
        tables = [t for t in SORTED_TABLES if view.program.calls_of.get(t)]
        others = [n for n in view.program.imports.values() if n.startswith("sklearn.datasets.")]
        return SORTED_TABLES[tables[0]] if len(tables) == len(others) == 1 else None
    return None
