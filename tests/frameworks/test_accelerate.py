"""accelerate: model, optimiser, loaders and schedule are wrapped, gradients accumulated."""

import runpy
from pathlib import Path

import pytest
from observe.twice import side_by_side, text, twice

from trainwright import rules
from trainwright.core import Severity
from trainwright.observe import store
from trainwright.signals import grad_norm, leftover_grad, loss, valid_loss

SCRIPT = Path(__file__).parent / "loops" / "accelerated.py"
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


@pytest.fixture
def loop():
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    return runpy.run_path(str(SCRIPT))


def check(run):
    facts = run.facts
    assert facts["own_failures"] == []
    assert [f for f in rules.diagnose(run) if f.severity > Severity.HINT] == []
    assert facts["roots"] == ["Sequential"]
    assert text(facts["modules"]["0"]["site"]).startswith("net = nn.Sequential(")
    assert (facts["steps"], facts["epochs"], facts["backwards_per_step"]) == (18, 3, 2)
    assert (facts["batch_size"], facts["dataset_size"], facts["shuffled"]) == (8, 96, True)
    (optimizer,) = facts["optimizers"]
    assert (optimizer["type"], optimizer["scheduler"]) == ("AdamW", "StepLR")
    assert text(optimizer["site"]).startswith("adam = torch.optim.AdamW(")
    (clip,) = optimizer["clip"]
    assert (clip["kind"], clip["limit"], clip["calls"]) == ("norm", 1.0, 18)
    assert text(clip["site"]).startswith("accelerator.clip_grad_norm_(")
    assert text(facts["losses"][0]["site"]) == "loss = F.cross_entropy(net(x), y)"
    assert 0.7 < run[loss].values[0, 0] < 1.5  # not half of it
    assert list(run[valid_loss].steps) == [6, 12, 18]
    assert run[leftover_grad].values.max() == 0
    assert set(run[grad_norm].places) == set(facts["parameters"])


def test_a_script(loop, tmp_path):
    side_by_side([SCRIPT], tmp_path / "run")

    check(store.load(tmp_path / "run"))


def test_a_watched_loop(loop):
    check(twice(loop["train"]))
