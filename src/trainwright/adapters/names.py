"""Which column is which curve, by its name alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

TRAIN = frozenset("train trn tr training fit".split())
VALID = frozenset("val valid validation eval evaluation dev holdout".split())
TEST = frozenset(["test", "testing"])
SPLITS = frozenset("phase mode split stage subset set partition fold_type".split())
"""Columns that say of a row whether it is of training or of validation."""

LOSS = frozenset(["loss", "losses"])
ELSE_LOSS = frozenset("nll ce bce mse rmse mae xent crossentropy objective cost".split())
"""What stands for the loss where no column says `loss`."""

ACCURACY = frozenset(["acc", "accuracy"])
KINDS = frozenset("categorical sparse binary multiclass top 1 score".split())
"""What an accuracy's name may hold besides, and still be the share of right answers."""

GRAD = frozenset("grad grads gradient gradients".split())
GRAD_TOO = frozenset(
    "norm total global 2 0 l all model overall before clip clipping preclip unclipped".split()
)

NOISE = frozenset(
    "step steps epoch epochs batch batches iter iteration iterations mean avg average total overall sum value running "
    "metric metrics scalar scalars per log raw history".split()
)
"""Words that do not change what a column is."""

NOT_IT = frozenset(
    "scale scaler scaling weight weights coef coefficient lambda best lowest highest min max ratio norm std var spike "
    "time id improvement gap diff delta momentum decay scheduler count error target limit threshold num".split()
)
"""Words that make of a loss, a score or a rate something else."""

STEP = (
    ("trainer", "global", "step"), ("train", "global", "step"), ("global", "step"), ("global", "steps"),
    ("step",), ("steps",), ("total", "steps"), ("train", "step"), ("trainer", "step"), ("iteration",), ("iterations",),
    ("iter",), ("iters",), ("it",), ("n", "iter"), ("num", "updates"), ("update",), ("updates",), ("current", "iter"),
)  # fmt: skip
"""Names of a step, the surest first; W&B's `_step` counts calls of `log` and comes after all."""

EPOCH = frozenset(
    [("epoch",), ("epochs",), ("train", "epoch"), ("trainer", "epoch"), ("current", "epoch"), ("epoch", "num"),
     ("epoch", "number"), ("epoch", "idx")]
)  # fmt: skip

SERIES = ("loss", "valid_loss", "accuracy", "valid_accuracy", "learning_rate", "grad_norm", "epoch", "step")
"""What a column may be taken for, in the order in which it is told."""


class Meaning(NamedTuple):
    """What a column's name says."""

    series: str
    rest: frozenset[str]
    """Words that are left over: the fewer, the surer."""
    doubt: int
    """Higher for names that count only where no better one is there."""


@lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a name, in lower case.

    >>> words("lr-AdamW/pg1"), words("trainLoss"), words("epoch_val_loss")
    (('lr', 'adam', 'w', 'pg', '1'), ('train', 'loss'), ('epoch', 'val', 'loss'))
    """
    found = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name.rpartition(" - ")[2][:200])
    return tuple(part for word in found for part in _parts(word.lower()))


def _parts(word: str) -> tuple[str, ...]:
    for end in ("loss", "acc", "accuracy"):
        start = word.removesuffix(end)
        if start != word and start in TRAIN | VALID | TEST:
            return start, end
    return (word,)


def meant(name: str) -> tuple[Meaning, ...]:
    """What a column may be taken for; empty where its name says nothing.

    >>> [m.series for m in meant("val/loss_epoch")], meant("loss_scale"), meant("image")
    (['valid_loss'], (), ())
    """
    if re.search(r"__(MIN|MAX)$", name):  # the band around a curve of an exported chart
        return ()
    said = words(name)
    if said in STEP:
        return (Meaning("step", frozenset(), len(STEP) if name == "_step" else STEP.index(said)),)
    if said in EPOCH:
        return (Meaning("epoch", frozenset(), 0),)
    whole = frozenset(said)
    if (whole & GRAD and "norm" in whole) or {"gnorm", "gradnorm"} & whole:
        rest = whole - GRAD - GRAD_TOO - TRAIN - NOISE - {"gnorm", "gradnorm"}
        return () if rest else (Meaning("grad_norm", rest, 0),)
    if whole & NOT_IT:
        return ()
    if "lr" in whole or {"learning", "rate"} <= whole:
        return (Meaning("learning_rate", frozenset(), 0),)
    held = 2 if whole & TEST and not whole & VALID else 0
    place = "valid_" if whole & (VALID | TEST) else ""
    rest = whole - TRAIN - VALID - TEST - NOISE
    if whole & LOSS:
        return (Meaning(f"{place}loss", rest - LOSS, held),)
    if whole & ACCURACY or said[-2:] == ("top", "1"):
        return (Meaning(f"{place}accuracy", rest - ACCURACY - KINDS, held),)
    if whole & ELSE_LOSS or {"cross", "entropy"} <= whole:
        return (Meaning(f"{place}loss", rest - ELSE_LOSS - {"cross", "entropy"}, held + 1),)
    return ()


class Choice(NamedTuple):
    """Which columns were taken for what."""

    taken: dict[str, tuple[str, ...]]
    """Series -> its columns; more than one for the rates of several groups, or for several losses."""
    notes: list[str]


def choose(readings: Mapping[str, int], given: Mapping[str, Sequence[str]]) -> Choice:
    """Take for each series the column whose name says it with the fewest other words, and the most readings.

    Args:
        readings: how many each column holds.
        given: what the user has said, which wins; a series without columns is not to be taken at all.
    """
    from .table import listed

    said = [(m, name) for name in readings for m in meant(name)]
    taken: dict[str, tuple[str, ...]] = {series: tuple(names) for series, names in given.items() if names}
    notes: list[str] = []
    for series in SERIES:
        here = [(m, name) for m, name in said if m.series == series]
        if series in given or not here:
            continue
        if series == "learning_rate":
            taken[series] = tuple(name for _, name in here)
            continue
        like = _rest(taken.get("loss", ())) if series == "valid_loss" else frozenset()
        least = min((m.doubt, m.rest != like, len(m.rest)) for m, _ in here)
        best = [(m, name) for m, name in here if (m.doubt, m.rest != like, len(m.rest)) == least]
        several = len({m.rest for m, _ in best}) > 1
        if several and series == "loss":
            taken[series] = tuple(name for _, name in best)
            notes.append(f"None of {listed(taken[series])} is the whole loss by its name, so each counts as a loss "
                         f"of its own, and no trend is judged; if one is the loss: --map loss=COLUMN.")  # fmt: skip
        elif several:
            notes.append(f"Any of {listed([n for _, n in best])} may be the {series}, so none was taken; "
                         f"name it: --map {series}=COLUMN.")  # fmt: skip
        else:
            taken[series] = (max(best, key=lambda pair: readings[pair[1]])[1],)
    return Choice({series: taken[series] for series in SERIES if series in taken}, notes)


def _rest(names: Sequence[str]) -> frozenset[str]:
    return next((m.rest for name in names[:1] for m in meant(name) if m.series == "loss"), frozenset())


def splits(told: Sequence[str]) -> list[str] | None:
    """`train` or `valid` for each row, where a column says that of the rows, or `None` where it says no such thing."""
    said = {word: _split(word) for word in set(told)}
    kinds = set(said.values())
    return [said[word] for word in told] if {"train", "valid"} & kinds and len(said) <= 20 else None


def _split(word: str) -> str:
    found = set(words(word))
    if found & VALID:
        return "valid"
    return "train" if found & TRAIN else "test" if found & TEST else ""
