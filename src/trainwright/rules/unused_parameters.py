"""unused-parameters: an optimiser owns parameters that never take part in the loss."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Annotated

from ..core import Case, Evidence, Finding, Limit, Run, Severity, at, rule
from .consequence import standing


def copied_net(copied_late: bool) -> None:
    """Train a net that is copied before or after the optimiser is built; the copy is what runs."""
    import copy

    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    if not copied_late:
        net = copy.deepcopy(net)
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    if copied_late:
        net = copy.deepcopy(net)
    truth = torch.randn(8, 4)
    for _ in range(60):
        x = torch.randn(64, 8)
        loss = nn.functional.cross_entropy(net(x), (x @ truth).argmax(1))
        adam.zero_grad()
        loss.backward()
        adam.step()


@rule(severity=Severity.HARM, case=Case(sick=partial(copied_net, True), healthy=partial(copied_net, False)))
def unused_parameters(
    run: Run,
    *,
    patience: Annotated[
        int, Limit("steps that were read", "branches that take turns are seen within a few")
    ] = 5,
    share: Annotated[
        float, Limit("share of the owned values", "a head left over, as a pooler, is 0.5 % of its model")
    ] = 0.1,
) -> Iterator[Finding]:
    """An optimiser owns parameters that never take part in the loss.

    ## Why it hurts
    A layer that `forward` leaves out is not part of the model, whatever was meant with it. Where the
    optimiser owns another model than the one that runs (a copy, one that was built again), its steps do
    nothing at all.

    ## Evidence
    Parameters that require gradients, belong to an optimiser, and got no gradient at any of at least
    `patience` steps that were read, over the whole run. HARM where the only optimiser owns nothing else: that
    is a certainty, nothing is trained by it (a HINT where the model is compiled or trained on several ranks,
    whose gradients may be out of sight). Also HARM where they are `share` or more of its values and the loss
    is no better than a constant's and no longer falls. Otherwise a HINT: a head that is not needed, or a
    branch that takes its turn seldom, costs memory alone.

    ## What to do
    - **use-the-layer**: Call the layer in `forward`, and give on what it returns.

        ```python
        x = self.encoder(x)  # not `self.encoder(x)` alone, nor the same layer twice
        ```

    - **own-the-model-that-runs**: Build the optimiser from the model that computes the loss, after the last
      copy.

        ```python
        model = copy.deepcopy(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        ```

    - **remove-the-layer**: Delete what is not needed, or call `requires_grad_(False)` on it.

    ## When it is wrong
    Parts that wait for a later phase of the training, experts that nothing is routed to, and an optimiser
    that has not begun to step: a HINT.

    ## Sources
    - torch.nn.parallel.DistributedDataParallel, `find_unused_parameters`
    - pytorch/pytorch#14467: the optimiser's parameters are not the model's, and nothing says so
    """
    facts = run.facts
    if facts.get("overhead", {}).get("sampled") is None or run.steps < patience:
        return
    read = facts["overhead"]["sampled"]
    owned = {
        name: p
        for name, p in facts.get("parameters", {}).items()
        if p["optimizer"] is not None and p["trainable"]
    }
    unused = {name: p for name, p in owned.items() if not p["got_gradient"]}
    if not unused or not isinstance(read, int) or read < patience:
        return
    optimizers = facts.get("optimizers", [])
    stands = standing(run)
    values, of = (sum(prod(p["shape"]) for p in which.values()) for which in (unused, owned))
    nothing = len(unused) == len(owned) and len(optimizers) == 1
    certain = not facts.get("compiled") and facts.get("world_size", 1) == 1  # each gradient was to be seen
    stuck = stands is not None and stands.stuck and values >= share * of
    names = list(unused)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    shown = f"{', '.join(f'`{name}`' for name in names[:3])}{more}"
    site = optimizers[0]["site"] if nothing else None
    yield Finding(
        f"{optimizers[0]['type']} owns {len(names)} parameters, {shown}, and none of them is part of the loss"
        if nothing
        else f"{shown} ({values} of {of} values that are to be trained) never take part in the loss",
        evidence=(
            Evidence("values that are to be trained and get no gradient", values / of, share, "share"),
            Evidence("steps at which their gradients were looked for", read, patience, "steps"),
            *((stands.evidence,) if stands and stuck else ()),
        ),
        where=(*((at(site),) if site else ()), *(run.where(name) for name in names[:3])),
        steps=(0, max(run.steps - 1, 0)),
        fix=f"Build the {optimizers[0]['type']} from the model that computes the loss, after its last copy."
        if nothing
        else f"Is `{facts['parameters'][names[0]]['module'] or names[0]}` called in `forward`, "
        "and is its result used?",
        severity=Severity.HARM if (nothing and certain) or stuck else Severity.HINT,
    )
