"""A run and findings made by hand, so that the reports are tested without any training."""

import numpy as np
import pytest

from trainwright.core import (
    Annotated,
    Case,
    Evidence,
    Finding,
    Limit,
    Run,
    Series,
    Severity,
    Where,
    rule,
)
from trainwright.signals import grad_norm, loss, valid_loss


def nothing() -> None:
    """The cases of rules that no test trains."""


@rule(severity=Severity.HARM, needs=(loss, grad_norm), case=Case(nothing, nothing))
def cold_feet(run: Run, *, ratio: Annotated[float, Limit("ratio", "a test | of tables")] = 1e-3):
    """The first layers stand still.

    ## Why it hurts
    They do.

    ## Evidence
    Less than `ratio`.

    ## What to do
    Any of these:

    - **warm-socks**: Start with larger weights, so that
      the gradient arrives. Measured in `0.weight`.

        ```python
        nn.init.kaiming_normal_(m.weight)
        for m in net:
            warm(m)
        ```

    - **short-way**: Add `x + block(x)`.

          x = x + block(x)

    - **Not a name**: is prose.

    ## When it is wrong
    - **frozen**: is not advice.

    ## Sources
    - Andersen, "The little match girl", 1845
    """
    yield from ()


@rule(severity=Severity.FATAL, case=Case(nothing, nothing))
def no_feet(run: Run):
    """There are no layers at all.

    ## What to do
    Nothing can be done, because there is nothing.
    """
    yield from ()


@rule(severity=Severity.HINT, needs=(valid_loss,), case=Case(nothing, nothing))
def needs_more(run: Run):
    """Judges only what has a validation loss.

    ## What to do
    - **look**: Look.
    """
    yield from ()


@pytest.fixture
def rules():
    return (no_feet, cold_feet, needs_more)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The user's script, in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my train.py"
    path.write_text("net = Net()\n")
    return str(path)


@pytest.fixture
def run(script):
    steps = np.arange(120)
    noise = np.random.default_rng(0).normal(size=(120, 1)).astype(np.float32)
    return Run(
        {
            "loss": Series(steps, ("",), 2.3 + 0.05 * noise),
            "grad_norm": Series(steps, ("0.weight", "[b]2.weight[/b]"), np.ones((120, 2), np.float32)),
        },
        {
            "script": script,
            "argv": ["--name", "a b"],
            "steps": 120,
            "exit_status": 0,
            "modules": {"0": {"type": "Linear", "site": {"file": script, "line": 1}, "children": 0}},
            "parameters": {"0.weight": {"shape": [4, 8], "module": "0"}},
            "sources": {script: {"1": "net = Net()\x1b[31m  # red"}},
            "overhead": {"budget": 0.02, "own_s": 0.8, "startup_s": 0.4, "run_s": 61.2, "share": 0.0131},
            "given_up": ["Steps are shorter than 1 ms: layers were seen at every 8th step."],
            "own_failures": [{"where": "signal `memory`", "error": "OSError: no such file"}],
        },
    )


@pytest.fixture
def findings(script):
    at = Where("0", "0.weight", script, 1)
    return (
        Finding(
            "the loss was `nan` 100 % of the time, in\nall steps",
            (Evidence("values that are not finite", float("inf"), 0.0, "values"),),
            (at, Where(None, None, "/elsewhere/lib.py", 7)),
            (3, 119),
            "Give it feet: `Net(feet=2)`.",
            Severity.FATAL,
            "no-feet",
        ),
        Finding(
            "`0.weight` gets 8.6e-09 of the gradient that `[b]2.weight[/b]` gets",
            (
                Evidence("first / last", 8.6e-9, 1e-3, "ratio"),
                Evidence("loss, limit: the best constant", 2.3031, 2.3025, "loss"),
            ),
            (at,),
            (10, 40),
            "",
            Severity.HARM,
            "cold-feet",
        ),
        Finding("it may be nothing", (), (), (7, 7), "", Severity.HINT, "needs-more"),
    )
