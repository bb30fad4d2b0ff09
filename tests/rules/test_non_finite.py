"""The first NaN is named with place and cause; one that did not last or was handled is no alarm."""

import numpy as np
import pytest

from trainwright.core import Severity
from trainwright.rules import non_finite
from trainwright.signals import loss

from .builder import chain, made, series

NAN = {
    "step": 7,
    "phase": "forward",
    "place": "3",
    "op": "log",
    "why": "its input holds 0",
    "site": {"file": "loss.py", "line": 42},
    "handled": False,
}


def run_of(bad=slice(7, None), steps=20, **facts):
    losses = np.ones(steps)
    losses[bad] = np.inf
    return made({loss: series(losses)}, **(chain(6) | facts))


def test_it_names_step_module_operation_cause_and_line():
    (found,) = non_finite(run_of(non_finite=NAN))
    assert found.severity is Severity.FATAL
    assert found.message == "At step 7 the output of `3` is not finite: `log`, as its input holds 0"
    assert (found.where[0].module, found.where[0].file, found.where[0].line) == ("3", "loss.py", 42)
    assert found.steps == (7, 19)
    assert "`log`" in found.fix


def test_without_a_line_of_its_own_the_modules_line_is_named():
    (found,) = non_finite(run_of(non_finite=NAN | {"site": None}))
    assert (found.where[0].file, found.where[0].line) == ("net.py", 13)


@pytest.mark.parametrize(
    ("phase", "words"), [("backward", "the gradient of `3`"), ("weights", "after the update")]
)
def test_it_says_where_in_the_step(phase, words):
    (found,) = non_finite(run_of(non_finite=NAN | {"phase": phase, "op": None, "why": None}))
    assert words in found.message


def test_a_loss_alone_is_enough():
    (found,) = non_finite(run_of())
    assert found.severity is Severity.FATAL
    assert "13 of 20 steps, first at step 7" in found.message


def test_a_batch_that_was_skipped_is_a_hint():
    assert [f.severity for f in non_finite(run_of(bad=slice(7, 8)))] == [Severity.HINT]
    assert [f.severity for f in non_finite(run_of(bad=slice(7, 8), non_finite=NAN))] == [Severity.HINT]


def test_infinities_inside_the_network_are_fine_while_the_loss_is_finite():
    assert not non_finite(run_of(bad=slice(0, 0), non_finite=NAN))


def test_a_step_that_the_scaler_skipped_is_fine():
    assert not non_finite(
        run_of(bad=slice(0, 0), non_finite=NAN | {"handled": True, "phase": "backward"}, skipped_steps=3)
    )


def test_a_scaler_that_skips_most_steps_is_harm():
    (found,) = non_finite(run_of(bad=slice(0, 0), skipped_steps=150))
    assert found.severity is Severity.HARM
    assert found.evidence[0].measured == 0.6
    assert not non_finite(run_of(bad=slice(0, 0), skipped_steps=90))


def test_a_finite_run_is_fine():
    assert not non_finite(run_of(bad=slice(0, 0)))


def test_a_run_without_losses_is_fine():
    assert not non_finite(made({loss: series({"": []})}))
