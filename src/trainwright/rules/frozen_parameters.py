"""frozen-parameters: a part of the model is frozen as it was drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import takewhile
from math import isclose, prod, sqrt
from typing import Annotated

from ..core import Case, Evidence, Finding, Limit, ParameterFacts, Run, Severity, rule
from .consequence import standing

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Recurrent layers, and how many gates their weights hold above each other."""

SMALLEST = 64
"""Weights with fewer values have a spread that says nothing about how they were drawn."""


def random_body(frozen: bool) -> None:
    """Train a head on a body of six layers that nobody has trained, with the body frozen or not."""
    import torch
    from torch import nn

    body = nn.Sequential(*(m for _ in range(6) for m in (nn.Linear(16, 16), nn.ReLU())))
    net = nn.Sequential(body, nn.Linear(16, 4))
    body.requires_grad_(not frozen)
    adam = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=0.01)
    for _ in range(150):
        x = torch.randn(64, 16)
        loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1))
        adam.zero_grad()
        loss.backward()
        adam.step()


@rule(severity=Severity.HARM, case=Case(sick=partial(random_body, True), healthy=partial(random_body, False)))
def frozen_parameters(
    run: Run,
    *,
    share: Annotated[
        float, Limit("share of the frozen values", "some trained layers keep the spread of their start")
    ] = 0.9,
    error: Annotated[
        float, Limit("standard errors", "0.3 % of random weights lie further from their scheme's spread")
    ] = 3.0,
) -> Iterator[Finding]:
    """A part of the model is frozen as it was drawn at random.

    ## Why it hurts
    Freezing keeps what a layer has learned. A layer that has learned nothing only scrambles its input, and
    what is trained after it has to make do with what is left; a deep one leaves nothing.

    ## Evidence
    Weights with `requires_grad=False` that got no gradient at any step that was read, and whose spread is,
    within `error` standard errors, that of a usual start: torch's own for linear, convolution, embedding and
    recurrent layers, or that of Glorot or He. Reported where such weights are `share` of all frozen ones; one
    normalisation layer among them that has moved from 1 says that the part was trained. HARM where the loss
    is no better than a constant's and no longer falls; otherwise a HINT. Where weights were loaded into the
    frozen part, or the script has trained another model before, nothing is said.

    ## What to do
    - **unfreeze**: Let the part be trained, with a fresh optimiser.

        ```python
        model.body.requires_grad_(True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)  # after it, with all parameters
        ```

    - **load-pretrained-weights**: Load what the part should have learned before it is frozen.

        ```python
        body = torchvision.models.resnet18(weights="DEFAULT")  # `weights=None` is random
        ```

    - **freeze-before-new-head**: Freeze first and put the new head in afterwards, so that it stays trainable.

    ## When it is wrong
    Random features that are meant: reservoirs, random projections, a target network that is moved by hand.
    They are a HINT as long as something is learned from them.

    ## Sources
    - torch.nn.Linear: weights start uniform within 1 / sqrt(in_features), a spread of 1 / sqrt(3 in_features)
    - Glorot & Bengio 2010; He et al., "Delving deep into rectifiers", ICCV 2015, equations 10 and 14
    """
    facts = run.facts
    stands = standing(run)
    if facts.get("restarts") or run.steps < 1:
        return
    frozen = {
        name: p
        for name, p in facts.get("parameters", {}).items()
        if not p["trainable"] and not p["got_gradient"] and not _loaded(run, p["module"])
    }
    weights = {name: p for name, p in frozen.items() if len(p["shape"]) > 1 and prod(p["shape"]) >= SMALLEST}
    random = [name for name, p in weights.items() if _as_drawn(run, p, error)]
    values = sum(prod(p["shape"]) for p in weights.values())
    drawn = sum(prod(weights[name]["shape"]) for name in random)
    if not random or drawn < share * values or any(_trained_norm(run, p) for p in frozen.values()):
        return
    harm = stands is not None and stands.stuck
    known = facts["parameters"]
    all_values = sum(prod(p["shape"]) for p in known.values())
    more = f" and {len(random) - 3} more" if len(random) > 3 else ""
    consequence = f"; the loss is {stands.late:.4g}, no better than a constant's" if stands and harm else ""
    yield Finding(
        f"{', '.join(f'`{name}`' for name in random[:3])}{more} ({drawn} of the model's {all_values} values) "
        f"are frozen as they were drawn at random{consequence}",
        evidence=(
            Evidence("frozen values with the spread of a random start", drawn / values, share, "share"),
            *((stands.evidence,) if stands and harm else ()),
        ),
        where=tuple(run.where(name) for name in random[:3]),
        steps=(0, max(run.steps - 1, 0)),
        fix=f"Load trained weights into `{_part(random)}`, or call `requires_grad_(True)` on it "
        "before the optimiser is built.",
        severity=Severity.HARM if harm else Severity.HINT,
    )


def _loaded(run: Run, module: str) -> bool:
    """Whether a state dict, of which something fitted, was loaded into a module or what holds it."""
    modules = run.facts.get("modules", {})
    parts = module.split(".")
    holders = {"", *(".".join(parts[: i + 1]) for i in range(len(parts)))}
    types = {modules[name]["type"] for name in holders if name in modules}
    return any(
        entry["module"] in holders | types and entry["matched"] != 0 for entry in run.facts.get("loaded", [])
    )


def _as_drawn(run: Run, p: ParameterFacts, error: float) -> bool:
    """Whether a weight has the mean and the spread of a usual random start."""
    std, mean, values = p["initial_std"], p["initial_mean"], prod(p["shape"])
    if not std or mean is None or abs(mean) > error * std / sqrt(values):
        return False
    kind = run.facts.get("modules", {}).get(p["module"], {"type": ""})["type"]
    rows, fan_in = p["shape"][0], prod(p["shape"][1:])
    fan_out = rows * prod(p["shape"][2:])
    if kind in GATES:
        starts = [(1 / sqrt(3 * rows / GATES[kind]), 0.8)]
    elif kind == "Embedding":
        starts = [(1.0, 2.0)]
    else:  # a scheme's spread, and its kurtosis - 1: 0.8 if uniform, 2 if normal
        starts = [
            (1 / sqrt(3 * fan_in), 0.8),
            (sqrt(2 / (fan_in + fan_out)), 2.0),
            (sqrt(2 / fan_in), 2.0),
            (sqrt(2 / fan_out), 2.0),
        ]
    return any(isclose(std, s, rel_tol=error * sqrt(k / 4 / values)) for s, k in starts)


def _trained_norm(run: Run, p: ParameterFacts) -> bool:
    """Whether it is the weight of a normalisation layer that has been trained."""
    kind = run.facts.get("modules", {}).get(p["module"], {"type": ""})["type"]
    return "Norm" in kind and bool(p["initial_std"])


def _part(names: list[str]) -> str:
    """The smallest part of the model that holds all these parameters."""
    split = [name.split(".")[:-1] for name in names]
    common = list(takewhile(lambda column: len(set(column)) == 1, zip(*split, strict=False)))
    return ".".join(column[0] for column in common) or names[0].rpartition(".")[0] or names[0]
