"""transformers' Trainer: the loss is a sum that it divides itself, schedule and clipping are wrapped."""

import runpy
from pathlib import Path

import pytest
from observe.twice import side_by_side, text, twice

from trainwright import rules
from trainwright.core import Severity
from trainwright.observe import store
from trainwright.signals import activation_std, grad_norm, leftover_grad, loss, valid_accuracy, valid_loss

SCRIPT = Path(__file__).parent / "loops" / "hf_trainer.py"
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


@pytest.fixture
def loop():
    pytest.importorskip("transformers", reason="transformers is not installed")
    pytest.importorskip("accelerate", reason="transformers' Trainer needs accelerate")
    return runpy.run_path(str(SCRIPT))


def check(run):
    facts = run.facts
    assert facts["own_failures"] == []
    assert [f for f in rules.diagnose(run) if f.severity > Severity.HINT] == []
    assert (facts["steps"], facts["batch_size"], facts["shuffled"]) == (20, 8, True)
    (optimizer,) = facts["optimizers"]
    assert (optimizer["type"], len(optimizer["groups"]), optimizer["scheduler"]) == ("AdamW", 2, "LambdaLR")
    assert [(c["limit"], c["calls"]) for c in optimizer["clip"]] == [(1.0, 20)]
    assert text(optimizer["site"]) == text(optimizer["clip"][0]["site"]) == "trainer.train()"
    assert (facts["losses"][0]["kind"], facts["losses"][0]["input_from"]) == ("cross_entropy", "linear")
    assert text(facts["losses"][0]["site"]) == "trainer.train()"
    assert list(run[valid_loss].steps) == list(run[valid_accuracy].steps) == [5, 10, 15, 20]
    # Both are means over words: the sum over a batch would be some hundred times as much.
    assert run[loss].values[-5:].mean() == pytest.approx(run[valid_loss].values[-1, 0], rel=0.3)
    assert run[leftover_grad].values.max() == 0
    assert set(run[grad_norm].places) == set(facts["parameters"])


def test_a_script_with_a_language_model(loop, tmp_path):
    side_by_side([SCRIPT, tmp_path / "trained"], tmp_path / "run")
    run = store.load(tmp_path / "run")

    check(run)
    assert run.facts["roots"] == ["GPT2LMHeadModel"]
    assert "lm_head.weight" not in run.facts["parameters"]  # tied to the embedding
    assert {"transformer.h.0.attn.c_attn", "transformer.h.1.mlp.c_fc", "lm_head"} <= set(
        run[activation_std].places
    )


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("model", ["gpt2", "bert"])
def test_a_watched_loop(loop, tmp_path, model, accumulate):
    run = twice(lambda: loop["train"](tmp_path, loop[model], accumulate))

    check(run)
    assert run.facts["backwards_per_step"] == accumulate
