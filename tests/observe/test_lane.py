"""The quick way of plain steps: whatever comes between them, the record is that of the guarded way."""

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import trainwright as tw
from trainwright import signals
from trainwright.observe import budget, loaders, outbox
from trainwright.observe import recorder as recorder_module

STEPS = (
    "plain plain plain halved two-losses other-loss validated clipped rate group no-backward closure nested fails"
).split()


class Once(torch.autograd.Function):
    """Runs a backward within backward, as checkpoints do."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        with torch.enable_grad():
            y = torch.ones(1, requires_grad=True)
            torch.autograd.backward(y.sum())
        return grad


def train(kinds):
    """A training of the steps that `kinds` name; the losses and first rates that a reader of the code expects."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    late = nn.Linear(1, 1)
    sgd = torch.optim.SGD(net.parameters(), lr=0.01)
    loss_of = nn.MSELoss()
    losses, rates, valid = [], [], {}
    for kind in ["plain"] * 12 + list(kinds):
        x, y = torch.randn(8, 3), torch.randn(8, 1)
        sgd.zero_grad()
        if kind == "closure":
            seen = []

            def closure(x=x, y=y, seen=seen):
                sgd.zero_grad()
                loss = loss_of(net(x), y)
                loss.backward()
                seen.append(loss.item())
                return loss

            rates.append(sgd.param_groups[0]["lr"])
            sgd.step(closure)
            losses.append(seen[0])
            continue
        hidden = Once.apply(net(x)) if kind == "nested" else net(x)
        loss = loss_of(hidden, y)
        if kind == "halved":
            loss = loss / 2
        elif kind == "two-losses":
            loss = loss + 0.1 * nn.functional.l1_loss(net(x), y)
        elif kind == "other-loss":
            loss = (net(x) - y).abs().mean()
        elif kind == "validated":
            with torch.no_grad():
                valid[len(losses)] = loss_of(net(y.expand(8, 3)), y).item()
        elif kind == "rate":
            sgd.param_groups[0]["lr"] *= 0.9
        elif kind == "group" and len(sgd.param_groups) == 1:
            sgd.add_param_group({"params": late.parameters(), "lr": 0.5})
        if kind == "fails":
            with contextlib.suppress(RuntimeError):
                loss_of(net(x), torch.randn(3, 5, 7)).backward()
        if kind != "no-backward":
            loss.backward()
        if kind == "clipped":
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        rates.append(sgd.param_groups[0]["lr"])
        sgd.step()
        losses.append(loss.item() * (2 if kind == "halved" else 1) if kind != "no-backward" else None)
    return losses, rates, valid


@given(st.lists(st.sampled_from(STEPS), min_size=1, max_size=40))
@settings(max_examples=30, deadline=None)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_the_record_is_what_a_reader_of_the_code_expects(kinds):
    with tw.watch() as watch:
        losses, rates, valid = train(kinds)

    run = watch.run()
    assert run.steps == len(losses)
    assert run.facts["own_failures"] == []
    steps, noted = run[signals.learning_rate].at("0")
    assert steps.tolist() == list(range(len(rates)))
    np.testing.assert_allclose(noted, rates, rtol=1e-6)
    if valid:
        steps, noted = run[signals.valid_loss].at()
        assert dict(zip(steps.tolist(), noted, strict=True)) == pytest.approx(valid, rel=1e-5)
    series = run[signals.loss]  # a place for each line that calls backward: a step has one of them
    noted = dict(zip(series.steps.tolist(), np.nansum(series.values, axis=1), strict=True))
    assert noted == pytest.approx({n: x for n, x in enumerate(losses) if x is not None}, rel=1e-5)


def test_plain_steps_take_the_lane(monkeypatch):
    guarded = []
    inner = recorder_module.Recorder._end_window
    monkeypatch.setattr(
        recorder_module.Recorder, "_end_window", lambda self: (guarded.append(self.steps), inner(self))[1]
    )
    with tw.watch(overhead=0.02) as watch:
        losses, _, _ = train(["plain"] * 500)

    assert watch.run().steps == len(losses)
    assert len(guarded) < 100  # what is read, and the first ones


def test_passes_over_a_loader_are_counted_in_the_lane():
    net = nn.Linear(2, 1)
    loader = DataLoader(TensorDataset(torch.randn(40, 2), torch.randn(40, 1)), batch_size=2)
    held_out = DataLoader(TensorDataset(torch.randn(6, 2), torch.randn(6, 1)), batch_size=2)
    loss_of = nn.MSELoss()
    with tw.watch() as watch:
        sgd = torch.optim.SGD(net.parameters(), lr=0.01)
        for _ in range(3):
            for x, y in loader:
                sgd.zero_grad()
                loss_of(net(x), y).backward()
                sgd.step()
            with torch.no_grad():
                for x, y in held_out:
                    loss_of(net(x), y)

    run = watch.run()
    steps, epochs = run[signals.epoch].at()
    assert steps.tolist() == list(range(60))
    assert epochs.tolist() == [1.0] * 20 + [2.0] * 20 + [3.0] * 20
    assert run.facts["epochs"] == 3
    assert run.facts["steps_per_epoch"] == 20
    assert run[signals.valid_loss].at()[0].tolist() == [20, 40, 60]


def test_a_loss_that_is_not_finite_is_explained_at_its_step():
    net = nn.Linear(2, 1)
    with tw.watch() as watch:
        sgd = torch.optim.SGD(net.parameters(), lr=0.01)
        for step in range(40):
            x = torch.randn(8, 2)
            sgd.zero_grad()
            out = net(x)
            loss = nn.functional.mse_loss(out if step != 27 else out / 0.0, x[:, :1])
            loss.backward()
            sgd.step()

    assert watch.run().facts["non_finite"]["step"] == 27


def test_findings_so_far_know_every_step():
    net = nn.Linear(2, 1)
    with tw.watch() as watch:
        sgd = torch.optim.SGD(net.parameters(), lr=0.01)
        for step in range(1, 101):
            x = torch.randn(8, 2)
            sgd.zero_grad()
            nn.functional.mse_loss(net(x), x[:, :1]).backward()
            sgd.step()
            if step in (29, 30, 77):
                assert watch.run().steps == step


@pytest.mark.parametrize("fault", ["put_plain", "plain_steps", "stepped", "another"])
def test_a_failure_on_the_way_is_said_and_the_run_goes_on(monkeypatch, capsys, fault):
    def broken(*args):
        raise RuntimeError("planted")

    for owner in (outbox.Outbox, budget.Budget, loaders.Loaders):
        if hasattr(owner, fault):
            monkeypatch.setattr(owner, fault, broken)
    data = TensorDataset(torch.randn(200, 2), torch.randn(200, 1))

    def run():
        torch.manual_seed(0)
        net = nn.Linear(2, 1)
        sgd = torch.optim.SGD(net.parameters(), lr=0.01)
        for x, y in DataLoader(data, batch_size=2):
            sgd.zero_grad()
            nn.functional.mse_loss(net(x), y).backward()
            sgd.step()
        return net.weight.detach().clone()

    with tw.watch():
        weight = run()
    assert torch.equal(weight, run())
    assert "planted" in capsys.readouterr().err
