"""skorch: it builds model and optimiser itself, and steps with a closure."""

import runpy
from pathlib import Path

import pytest
from observe.twice import side_by_side, text, twice

from trainwright import rules
from trainwright.core import Severity
from trainwright.observe import store
from trainwright.signals import activation_std, grad_norm, leftover_grad, loss, valid_accuracy, valid_loss

SCRIPT = Path(__file__).parent / "loops" / "skorch_net.py"
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


@pytest.fixture
def loop():
    pytest.importorskip("skorch", reason="skorch is not installed")
    return runpy.run_path(str(SCRIPT))


def check(run):
    facts = run.facts
    assert facts["own_failures"] == []
    assert [f for f in rules.diagnose(run) if f.severity > Severity.HINT] == []
    assert facts["roots"] == ["Net"]
    assert text(facts["modules"]["layers.0"]["site"]).startswith("self.layers = nn.Sequential(")
    assert (facts["steps"], facts["epochs"], facts["steps_per_epoch"]) == (15, 3, 5)
    assert (facts["batch_size"], facts["dataset_size"], facts["shuffled"]) == (16, 80, True)
    (optimizer,) = facts["optimizers"]
    assert (optimizer["type"], optimizer["scheduler"]) == ("SGD", "StepLR")
    assert [(c["kind"], c["limit"], c["calls"]) for c in optimizer["clip"]] == [("norm", 1.0, 15)]
    assert (
        text(optimizer["site"])
        == text(optimizer["clip"][0]["site"])
        == text(facts["losses"][0]["site"])
        == "net.fit(x, y)"
    )
    assert facts["losses"][0]["kind"] == "cross_entropy"
    assert len(run[loss].steps) == 15
    assert list(run[valid_loss].steps) == list(run[valid_accuracy].steps) == [5, 10, 15]
    assert run[activation_std].places == ("layers.0", "layers.1", "layers.2")
    assert run[leftover_grad].values.max() == 0
    assert set(run[grad_norm].places) == set(facts["parameters"])


def test_a_script(loop, tmp_path):
    side_by_side([SCRIPT], tmp_path / "run")

    check(store.load(tmp_path / "run"))


def test_a_watched_loop(loop):
    check(twice(loop["train"]))
