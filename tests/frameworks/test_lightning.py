"""Lightning's Trainer: it steps with a closure, and calls parts of the module rather than the module."""

import runpy
from pathlib import Path

import pytest
from observe.twice import side_by_side, text, twice

from trainwright import rules
from trainwright.core import Severity
from trainwright.observe import store
from trainwright.signals import activation_std, epoch, grad_norm, leftover_grad, loss, valid_loss

SCRIPT = Path(__file__).parent / "loops" / "lightning_trainer.py"
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


@pytest.fixture
def loop():
    pytest.importorskip("lightning", reason="lightning is not installed")
    return runpy.run_path(str(SCRIPT))


def check(run):
    facts = run.facts
    assert facts["own_failures"] == []
    assert [f for f in rules.diagnose(run) if f.severity > Severity.HINT] == []
    assert facts["roots"] == ["Classifier"]
    assert text(facts["modules"]["net.0"]["site"]).startswith("self.net = nn.Sequential(")
    assert (facts["steps"], facts["epochs"], facts["steps_per_epoch"]) == (30, 3, 10)
    assert (facts["batch_size"], facts["dataset_size"], facts["shuffled"]) == (8, 80, True)
    assert (facts["eval_steps"], facts["eval_during_training"]) == (0, [])
    (optimizer,) = facts["optimizers"]
    assert (optimizer["type"], optimizer["scheduler"]) == ("AdamW", "StepLR")
    assert text(optimizer["site"]).startswith("adam = torch.optim.AdamW(")
    assert [(c["kind"], c["limit"], c["calls"]) for c in optimizer["clip"]] == [("norm", 1.0, 30)]
    assert text(facts["losses"][0]["site"]) == "return F.cross_entropy(self.net(x), y)"
    assert facts["inputs"]["shape"] == [8, 4]
    assert len(run[loss].steps) == 30
    assert list(run[valid_loss].steps) == [10, 20, 30]
    assert run[epoch].values[-1, 0] == 3
    assert run[activation_std].places == ("net.0", "net.1", "net.2")
    assert run[leftover_grad].values.max() == 0
    assert set(run[grad_norm].places) == set(facts["parameters"])


def test_a_script(loop, tmp_path):
    side_by_side([SCRIPT], tmp_path / "run")

    check(store.load(tmp_path / "run"))


def test_a_watched_loop(loop):
    check(twice(loop["train"]))
