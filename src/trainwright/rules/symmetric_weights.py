"""symmetric-weights: the units of a layer start equal, get equal gradients and stay equal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

from ..core import Case, Evidence, Finding, Limit, ParameterFacts, Run, Severity, rule
from ..signals import grad_norm
from .consequence import no_better, standing
from .depth import weights


def constant_start() -> None:
    """Train a layer whose weights all start at the same number."""
    _train(0.0)


def random_start() -> None:
    """Train the same layer with weights scattered about that number."""
    _train(0.2)


@rule(severity=Severity.HARM, needs=(grad_norm,), case=Case(sick=constant_start, healthy=random_start))
def symmetric_weights(
    run: Run,
    *,
    gained: Annotated[
        float, Limit("share of the constant prediction's loss", "one unit in place of many leaves more")
    ] = 0.1,
) -> Iterator[Finding]:
    """The units of a layer start equal, get equal gradients and stay equal.

    ## Why it hurts
    Units with equal weights in and equal weights out are told the same by every gradient. They never part:
    however wide the layer, it is worth one unit.

    ## Evidence
    All rows of a weight matrix are equal at the start, with equal biases, and the matrix that reads its
    outputs is constant, too; then the gradients of the units are equal by construction. Where both are
    zero, the first gradient must have been zero and the loss no better than a constant prediction's. It is
    a hint where dropout can part the units, or the loss has come below `gained` of the constant
    prediction's.

    ## What to do
    - **break-symmetry**: Draw the starting weights at random; only biases may start equal.

          nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
          nn.init.zeros_(layer.bias)

    ## When it is wrong
    Scales of normalisation layers, a zero output layer, and zero last layers of residual branches are not
    meant: the layer that follows, or that comes before, is random and parts the units.

    ## Sources
    - Goodfellow, Bengio & Courville, "Deep Learning", section 8.4, MIT Press 2016
    """
    parameters, stands = run.facts.get("parameters", {}), standing(run)
    dropout = any("Dropout" in m["type"] for m in run.facts.get("modules", {}).values())
    good = stands is not None and stands.late < gained * stands.constant
    for name, after in pairwise(weights(run)):
        this, following = parameters[name], parameters[after]
        joined = following["shape"][1] % this["shape"][0] == 0 and this["module"] != following["module"]
        bias = parameters.get(name.removesuffix("weight") + "bias")
        equal = this["equal_units"] and (bias is None or _constant(bias))
        if not joined or not equal or not _constant(following):
            continue
        seen, norms = run[grad_norm].at(name)
        both_zero = _constant(this) and not this["initial_mean"] and not following["initial_mean"]
        if both_zero and not (len(norms) and norms[0] == 0):  # residual branches, each zero: the units differ
            continue
        learned = stands.learned if stands else not no_better(run)
        units, shut = this["shape"][0], both_zero and not norms.any()
        yield Finding(
            f"All {units} units of `{this['module']}` start with equal weights, and `{after}` reads them "
            f"with equal weights: "
            + ("no gradient reaches them" if shut else "they stay equal and act as one unit"),
            evidence=(
                Evidence(f"different units at the start in `{name}`", 1.0, float(units), "units"),
                *((stands.evidence,) if stands else ()),
            ),
            where=(run.where(name), run.where(after)),
            steps=(0, int(seen[-1]) if len(seen) else run.steps),
            fix=f"Draw `{name}` and `{after}` at random, for instance with `nn.init.kaiming_normal_`.",
            severity=Severity.HINT if good or dropout or (both_zero and learned) else Severity.HARM,
        )


def _constant(p: ParameterFacts) -> bool:
    return p["initial_std"] is not None and p["initial_std"] <= 1e-6 * abs(p["initial_mean"] or 0)


def _train(scatter: float) -> None:
    import torch
    from torch import nn

    hidden, output = nn.Linear(16, 32), nn.Linear(32, 4)
    net = nn.Sequential(hidden, nn.Tanh(), output)
    for layer in (hidden, output):
        nn.init.normal_(layer.weight, mean=0.1, std=scatter)
        nn.init.zeros_(layer.bias)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(200):
        x = torch.randn(64, 16)
        loss = nn.functional.cross_entropy(net(x), x[:, :4].argmax(1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()
