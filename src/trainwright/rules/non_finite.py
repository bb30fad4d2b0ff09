"""non-finite: a NaN or an infinity reached the loss, a gradient or a weight."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np

from ..core import Case, Evidence, Finding, Limit, NonFinite, Run, Severity, at, rule
from ..signals import loss


def likelihood(floor: float) -> None:
    """Fit probabilities by the logarithm of a probability that may be zero, `floor` above it."""
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1), nn.ReLU())
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(60):
        x = torch.randn(64, 8)
        rate = net(x) + floor
        count = torch.poisson(x[:, :1].exp().clamp(max=9))
        loss = (rate - count * rate.log()).mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()


@rule(
    severity=Severity.FATAL,
    needs=(loss,),
    case=Case(sick=partial(likelihood, 0.0), healthy=partial(likelihood, 0.1)),
)
def non_finite(
    run: Run,
    *,
    skipped: Annotated[
        float,
        Limit("share of steps", "a settled scaler skips one step in 2,000 (GradScaler's growth interval)"),
    ] = 0.5,
) -> Iterator[Finding]:
    """A NaN or an infinity reached the loss, a gradient or a weight.

    ## Why it hurts
    One NaN in the loss makes every gradient NaN, one step puts it into every weight, and nothing brings them
    back.

    ## Evidence
    The first tensor that was not finite: its step, its module, the operation and, where it can be told, the
    input that did it. If losses were finite again at the end the run recovered, and this is a hint. A step
    that GradScaler skipped is how mixed precision works; it is reported if more than `skipped` of all steps
    were.

    ## What to do
    - **guard-the-formula**: Keep the input of `log`, `sqrt` and `/` away from 0, inside the formula.
      `torch.where` behind it hides the value, not its gradient, which is still NaN.

          loss = -(p + 1e-6).log()                    # or F.log_softmax(logits, -1), which needs no guard
          norm = (x.square().sum(-1) + 1e-12).sqrt()
          mean = total / count.clamp(min=1)

    - **lower-learning-rate**: If the loss grew before it, the steps are too large: divide the rate by ten.
    - **clip-gradients**: Bound single large steps with `torch.nn.utils.clip_grad_norm_(model.parameters(),
      1.0)`.
    - **use-bfloat16**: With float16 and no operation at fault, use `torch.autocast(device, torch.bfloat16)`,
      whose range is that of float32.

    ## When it is wrong
    Masks of minus infinity inside a network are not reported while the loss is finite. A loop that skips
    batches whose loss is not finite has recovered: a hint.

    ## Sources
    - Goldberg, "What every computer scientist should know about floating-point arithmetic", 1991
    - Micikevicius et al., "Mixed precision training", ICLR 2018
    - pytorch/pytorch issues 4132 and 68425: NaN gradients behind `torch.where`
    """
    steps, losses = (
        run[loss].at(run[loss].places[0]) if run[loss].places else (np.empty(0, np.int64), np.empty(0))
    )
    bad = steps[~np.isfinite(losses)]
    first = run.facts.get("non_finite")
    if first and not first["handled"] and (len(bad) or first["phase"] != "forward"):
        end = max(int(steps[-1]) if len(steps) else 0, first["step"])
        recovered = bool(len(losses) and np.isfinite(losses[-1]) and end > first["step"])
        place = first["place"] or ""
        yield Finding(
            _sentence(first) + (f"; the loss was finite again at step {end}" if recovered else ""),
            evidence=(
                Evidence("losses that are not finite", float(len(bad)), 0.0, "steps"),
                Evidence("first step with one", float(first["step"]), float("inf"), "step"),
            ),
            where=(run.where(place)._replace(**site) if (site := first["site"]) else run.where(place),),
            steps=(first["step"], max(first["step"], int(bad[-1]) if len(bad) else 0)),
            fix=_fix(first),
            severity=Severity.HINT if recovered else Severity.FATAL,
        )
    elif len(bad):
        recovered = bool(np.isfinite(losses[-1]))
        site = next((item["site"] for item in run.facts.get("losses", []) if item["site"]), None)
        yield Finding(
            f"The loss is not finite at {len(bad)} of {len(steps)} steps, first at step {bad[0]}"
            + (f"; it was finite again at step {steps[-1]}" if recovered else ""),
            evidence=(Evidence("losses that are not finite", float(len(bad)), 0.0, "steps"),),
            where=(at(site),),
            steps=(int(bad[0]), int(bad[-1])),
            fix="Print the inputs of the loss at that step: a `log`, `sqrt` or `/` there met 0, or the "
            "steps are too large.",
            severity=Severity.HINT if recovered else Severity.FATAL,
        )
    lost = run.facts.get("skipped_steps", 0)
    share = lost / max(1, lost + run.steps)
    if lost >= 20 and share > skipped:
        yield Finding(
            f"GradScaler skipped {lost} of {lost + run.steps} steps: gradients overflow float16 at every "
            f"scale",
            evidence=(Evidence("skipped steps", share, skipped, "share of steps"),),
            where=(at(next((o["site"] for o in run.facts.get("optimizers", [])), None)),),
            steps=(0, run.steps),
            fix="Autocast to `torch.bfloat16` instead, which needs no GradScaler.",
            severity=Severity.HARM,
        )


def _sentence(first: NonFinite) -> str:
    place, op, why = first["place"], first["op"], first["why"]
    what = {
        "forward": f"the output of `{place}`" if place else "the loss",
        "backward": f"the gradient of `{place}`" if place else "a gradient",
        "weights": f"`{place}`, after the update," if place else "a weight, after the update,",
    }[first["phase"]]
    cause = f": `{op}`" + (f", as {why}" if why else "") if op else ""
    return f"At step {first['step']} {what} is not finite{cause}"


def _fix(first: NonFinite) -> str:
    if first["op"] in ("log", "sqrt", "div", "pow", "rsqrt", "reciprocal", "norm"):
        return f"Keep the input of `{first['op']}` away from 0 inside the formula: `clamp(min=1e-6)` it."
    if first["op"] == "exp":
        return "Bound the input of `exp`, for instance by `clamp(max=20)`, or work with its logarithm."
    return (
        "If the loss grew before, divide the learning rate by ten; otherwise check that step's batch for NaN."
    )
