"""One run out of the records of several processes: ranks, and children that a script started."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import reduce
from typing import Any, cast

import numpy as np

from .. import signals
from ..core import Facts, Run, Series

NORMS = (signals.grad_norm, signals.weight_norm)
"""What adds up over shards, as squares."""

OF_THE_MAIN_PROCESS = "script argv command started finished exit_status exception stopped_by".split()
"""Facts that a child cannot know: the user started its parent."""

SEEN_BY_ONE = ("non_finite", "exception")
"""Facts that are taken from the first rank that has them."""


def merge(records: Mapping[str, Run]) -> Run:
    """The run as the first rank that trained saw it, with what only all ranks together know.

    Args:
        records: at least one, by the file's name without suffix: `rank0`, `rank1`, ..., and
            `p<process number>` for children.
    """
    in_order = sorted(records.items(), key=lambda record: _order(*record))
    main = in_order[0][1]
    base = next((run for _, run in in_order if run.steps), main)
    team = _team(in_order, base)
    series, facts = dict(base.series), cast(dict[str, Any], dict(base.facts))
    notes: list[str] = []
    if base is not main:
        facts |= {k: v for k, v in main.facts.items() if k in OF_THE_MAIN_PROCESS}
        others = sum(bool(run.steps) for run in records.values()) - len(team)
        if others:
            notes.append(f"{others} more processes trained too; this is the one that made the most steps")
    for name in SEEN_BY_ONE:
        known = [v for run in (base, *team) if (v := run.facts.get(name)) is not None]
        facts |= {name: known[0]} if known else {}
    if facts.get("sharded"):
        for norm in NORMS if len(team) > 1 else ():
            if all(norm in run for run in team):
                series[norm.name] = _whole([run[norm] for run in team], _divided(team))
        if absent := facts.get("world_size", 1) - len(team):
            notes.append(f"norms lack the shards of {absent} ranks: their records are not here")
    elif replicas := _compared(team):
        facts["replicas"] = replicas
    facts.pop("replica_hash", None)
    if notes:
        facts["given_up"] = [*facts.get("given_up", []), *notes]
    return Run(series, cast(Facts, facts))


def _order(name: str, run: Run) -> tuple[bool, int, int, str]:
    """Ranks by number; then children by rank, those that made more steps first."""
    child = re.fullmatch(r"p\d+", name) is not None
    number = re.search(r"\d+", name)
    rank = run.facts.get("rank", 0) if child else int(number[0]) if number else 0
    return child, rank, -run.steps if child else 0, name


def _team(in_order: list[tuple[str, Run]], base: Run) -> list[Run]:
    """The ranks of the distributed training to which `base` belongs: one record of each."""
    size = base.facts.get("world_size", 1)
    ranks: dict[int, Run] = {}
    for name, run in in_order:
        if run is base or (size > 1 and run.steps and run.facts.get("world_size", 1) == size):
            ranks.setdefault(_order(name, run)[1], run)
    return list(ranks.values())


def _divided(team: list[Run]) -> dict[str, int]:
    """Over how many ranks each parameter is divided."""
    facts: list[Mapping[str, Any]] = [run.facts.get("parameters", {}) for run in team]
    return {name: p["shards"] for parameters in facts for name, p in parameters.items() if "shards" in p}


def _whole(shards: list[Series], divided: Mapping[str, int]) -> Series:
    """Norms over all shards, at the steps that all ranks read. What several ranks have counts once."""
    steps = reduce(np.intersect1d, (s.steps for s in shards))
    places = tuple(dict.fromkeys(p for s in shards for p in s.places))
    squares = np.zeros((len(steps), len(places)))
    known = np.zeros(squares.shape, bool)
    holders = Counter(p for s in shards for p in s.places)
    copies = np.array([max(1, holders[p] / divided.get(p, holders[p])) for p in places])
    for shard in shards:
        at = np.ix_(np.arange(len(steps)), np.array([places.index(p) for p in shard.places]))
        norms = shard.values[np.searchsorted(shard.steps, steps)].astype(np.float64)
        squares[at] += np.where(np.isnan(norms), 0, norms) ** 2
        known[at] |= ~np.isnan(norms)
    return Series(steps, places, np.where(known, np.sqrt(squares / copies), np.nan).astype(np.float32))


def _compared(team: list[Run]) -> dict[str, object] | None:
    """Whether the ranks had the same weights at the steps at which all of them took a hash."""
    shapes = [{n: p["shape"] for n, p in run.facts.get("parameters", {}).items()} for run in team]
    if any(s != shapes[0] for s in shapes):
        return None  # each rank holds another part of the model
    hashes = [run.facts.get("replica_hash") or {} for run in team]
    shared = sorted(set(hashes[0]).intersection(*hashes[1:]), key=int)
    if len(team) < 2 or not shared:
        return None
    differing = next((s for s in shared if any(h[s] != hashes[0][s] for h in hashes)), None)
    return {
        "ranks": len(team),
        "equal": differing is None,
        "step": int(shared[-1] if differing is None else differing),
    }
