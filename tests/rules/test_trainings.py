"""Scripts that train one model after the other."""

import numpy as np

from trainwright.core import Run, Series
from trainwright.rules.trainings import last_training


def run(restarts):
    steps = np.arange(30)
    return Run(
        {"loss": Series(steps, ("",), steps[:, None].astype(np.float32))}, {"steps": 30, "restarts": restarts}
    )


def test_a_single_training_is_the_run_itself():
    whole = run([])
    assert last_training(whole) == (whole, 0)


def test_of_several_the_last_is_judged_from_step_0_on():
    last, first = last_training(run([10, 20]))
    assert (first, last.steps) == (20, 10)
    assert last.series["loss"].steps.tolist() == list(range(10))
    assert last.series["loss"].values[0, 0] == 20


def test_a_fault_of_an_earlier_training_is_not_the_last_ones():
    earlier = run([10])
    earlier.facts["non_finite"] = {
        "step": 3,
        "phase": "forward",
        "place": None,
        "op": None,
        "why": None,
        "site": None,
        "handled": False,
    }
    assert last_training(earlier)[0].facts["non_finite"] is None
    earlier.facts["non_finite"]["step"] = 13
    assert last_training(earlier)[0].facts["non_finite"]["step"] == 3
