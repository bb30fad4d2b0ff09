"""parameters-outside-optimizer: trainable parameters get gradients and no optimiser owns them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod

from ..core import Case, Evidence, Finding, Run, Severity, rule


def new_head(swapped_late: bool) -> None:
    """Train a net whose head is replaced before or after the optimiser is built."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 10))
    if not swapped_late:
        net[2] = nn.Linear(32, 4)
    adam = torch.optim.Adam(net.parameters(), lr=0.01)
    if swapped_late:
        net[2] = nn.Linear(32, 4)
    truth = torch.randn(8, 4)
    for _ in range(60):
        x = torch.randn(64, 8)
        loss = nn.functional.cross_entropy(net(x), (x @ truth).argmax(1))
        adam.zero_grad()
        loss.backward()
        adam.step()


@rule(severity=Severity.HARM, case=Case(sick=partial(new_head, True), healthy=partial(new_head, False)))
def parameters_outside_optimizer(run: Run) -> Iterator[Finding]:
    """Trainable parameters get gradients, but no optimiser owns them: they stay as they were initialised.

    ## Why it hurts
    An optimiser keeps the list of parameters that it was given. A layer that is replaced or added afterwards
    gets gradients and never moves; the rest of the model has to work around its random weights.

    ## Evidence
    Parameters that require gradients, were seen with one, and are in no group of any optimiser, in a model of
    which another parameter is. HARM where an owned parameter comes before them in the model: a trained body
    with an untrained head is never meant. A HINT where all of them come before the first owned one: that is
    how a frozen backbone looks whose gradients are computed for nothing.

    ## What to do
    - **own-all-parameters**: Build the optimiser last, or give it the new parameters.

        ```python
        model.head = nn.Linear(512, 10)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)  # after the last change of the model
        optimizer.add_param_group({"params": model.head.parameters()})  # or, where it exists already
        ```

    - **freeze-on-purpose**: Say so where parameters are to stay as they are; it also saves their gradients.

        ```python
        model.head.requires_grad_(False)
        ```

    ## When it is wrong
    Random features that are fixed without `requires_grad_(False)`, or a loss that runs through another net
    which is not frozen (a HINT where weights were loaded; freezing it saves its gradients). Parameters that
    several optimisers share out, and frozen ones, are not reported.

    ## Sources
    - torch.optim: "To construct an Optimizer you have to give it an iterable containing the parameters to
      optimize"
    - pytorch/pytorch#14467 and #47175, open since 2018 and 2020
    """
    owning: set[str] = set()
    late: list[str] = []
    early: list[str] = []
    for name, p in run.facts.get("parameters", {}).items():
        if p["optimizer"] is not None:
            owning.add(_root(run, name))
        elif p["trainable"] and p["got_gradient"]:
            (late if _root(run, name) in owning else early).append(name)
    names = late or [name for name in early if _root(run, name) in owning]
    if not names:
        return
    parameters = run.facts["parameters"]
    values = sum(prod(parameters[name]["shape"]) for name in names)
    module = parameters[names[0]]["module"] or names[0]
    borrowed = bool(run.facts.get("loaded")) and {name.partition(".")[0] for name in names} <= _strangers(run)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    yield Finding(
        f"{', '.join(f'`{name}`' for name in names[:3])}{more} ({values} values) get gradients, "
        f"but no optimiser owns them",
        evidence=(Evidence("parameters with gradient outside every optimiser", len(names), 0, "parameters"),),
        where=tuple(run.where(name) for name in names[:3]),
        steps=(0, max(run.steps - 1, 0)),
        fix=f"Build the optimiser after `{module}`, or hand its parameters to `add_param_group`."
        if late and not borrowed
        else f"Call `requires_grad_(False)` on `{module}` if it is to stay, or give it to the optimiser.",
        severity=Severity.HARM if late and not borrowed else Severity.HINT,
    )


def _root(run: Run, name: str) -> str:
    """The watched model that a parameter belongs to: names are only told apart where there are several."""
    return name.partition(".")[0] if len(run.facts.get("roots", [])) > 1 else ""


def _strangers(run: Run) -> set[str]:
    """Modules outside the one model that get gradients: layers in a Python list, or a net that a loss uses.

    The model's own children come first, and it knows how many they are.
    """
    modules = run.facts.get("modules", {})
    top = [name for name in modules if name and "." not in name]
    return set(top[modules[""]["children"] :]) if "" in modules else set()
