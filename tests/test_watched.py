"""The loop's own door: `with tw.watch() as watch`."""

import pytest
import torch
from torch import nn
from torch.nn.modules import module
from torch.optim import optimizer

import trainwright as tw
from trainwright import rules, signals
from trainwright.core import Severity

F = nn.functional


def fit(net=None, steps=30, lr=0.1):
    torch.manual_seed(0)
    net = net or nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1))
    sgd = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(steps):
        x = torch.randn(32, 4)
        loss = F.cross_entropy(net(x), x[:, :3].argmax(1))
        sgd.zero_grad()
        loss.backward()
        sgd.step()


def test_findings_come_with_the_line_of_the_loop():
    with tw.watch() as watch:
        fit()
    (finding,) = [f for f in watch.findings() if f.rule == "double-softmax"]
    assert finding.severity >= Severity.HARM
    assert {w.file for w in finding.where if w.file} == {__file__}


def test_findings_may_be_asked_for_while_the_training_goes_on():
    with tw.watch() as watch:
        fit(steps=5)
        early = watch.findings()
        fit(steps=5)
    assert "double-softmax" in {f.rule for f in early}


def test_rules_and_thresholds_are_the_callers_to_choose():
    with tw.watch() as watch:
        fit()
    only = [rule for rule in rules.ALL if rule.name == "dead-units"]
    assert watch.findings(only, {"dead-units": {"share": 1.0}}) == ()
    with pytest.raises(ValueError, match="did you mean `dead-units`"):
        watch.findings(thresholds={"dead-unit": {"share": 1.0}})


def test_a_model_may_be_named():
    watched, other = nn.Linear(4, 3), nn.Linear(4, 3)
    with tw.watch(watched) as watch:
        fit(nn.Sequential(watched))
    assert watch.run().steps == 30
    assert id(other) not in watch._session.recorder.models.roots


def test_a_record_is_kept_where_a_folder_is_given(tmp_path):
    with tw.watch(folder=tmp_path / "run") as watch:
        fit()
    assert (
        tw.load(tmp_path / "run")[signals.loss].values.tolist() == watch.run()[signals.loss].values.tolist()
    )


def test_the_report_is_one_file_and_in_a_notebook_a_frame(tmp_path):
    with tw.watch() as watch:
        fit()
    page = watch.report(tmp_path / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html")
    assert "double-softmax" in page
    frame = watch._repr_html_()
    assert frame.startswith("<iframe")
    assert "<html" not in frame, "the page is escaped"


def test_nothing_is_left_behind_and_an_exception_is_the_scripts_own():
    def hooks():
        return (
            torch.autograd.backward,
            nn.Module.__init__,
            F.cross_entropy,
            len(module._global_forward_hooks),
            len(optimizer._global_optimizer_post_hooks),
        )

    def train_and_fail(watch):
        with watch:
            fit(steps=3)
            raise ZeroDivisionError("of the script")

    before, watch = hooks(), tw.watch()
    with pytest.raises(ZeroDivisionError) as caught:
        train_and_fail(watch)
    assert hooks() == before
    assert watch.run().facts["exception"] == "ZeroDivisionError: of the script"
    files = {entry.path.name for entry in caught.traceback}
    assert "watched.py" not in files


def test_asking_before_anything_was_watched_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"train inside `with tw\.watch\(\) as watch:` first"):
        tw.watch().run()
