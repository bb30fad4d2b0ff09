"""A failure of ours is caught once, reported once, and the user's run goes on, to the same last bit."""

import sqlite3

import pytest
import torch
from torch import nn

from trainwright import signals
from trainwright.core import Signal
from trainwright.observe import recorder as recorder_module
from trainwright.observe.attach import attach
from trainwright.observe.guard import guarded
from trainwright.observe.reader import Reader
from trainwright.observe.recorder import Recorder
from trainwright.observe.stop import StopCheck
from trainwright.observe.store import Writer

from .twice import ALWAYS

HANDLERS = {
    name: owner
    for owner in (Recorder, Reader)
    for name, f in vars(owner).items()
    if hasattr(f, "__wrapped__") and name not in ("_finish", "_adopt")
}


class Broken(RuntimeError):
    """What the tests raise inside of us."""


def train(steps=12):
    """A training that touches everything that is hooked."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 3))
    adam = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(adam, 5)
    scaler = torch.amp.GradScaler("cpu")
    data = torch.utils.data.TensorDataset(torch.randn(48, 6), torch.randint(0, 3, (48,)))
    loader = torch.utils.data.DataLoader(data, batch_size=8)
    cross_entropy = nn.CrossEntropyLoss()
    net.load_state_dict(net.state_dict())
    done = 0
    while done < steps:
        for x, y in loader:
            loss = cross_entropy(net(x), y)
            adam.zero_grad()
            scaler.scale(loss).backward()
            scaler.unscale_(adam)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            scaler.step(adam)
            scaler.update()
            done += 1
        schedule.step()
        with torch.no_grad():
            cross_entropy(net(x), y)
    return torch.cat([p.detach().flatten() for p in net.parameters()]), torch.rand(1)


def watched(*, what=signals.ALL, record=None, stop_after=None):
    """Train under a recorder of our making; returns its result, what was said and the run."""
    said = []
    recorder = Recorder(
        record or Writer(None), overhead=ALWAYS, what=what, say=said.append, stop_after=stop_after
    )
    try:
        with attach(recorder):
            result = train()
    finally:
        run = recorder.finish({}, lambda facts: {})
    return result, said, run


def same(result):
    return all(torch.equal(a, b) for a, b in zip(result, train(), strict=True))


@pytest.mark.parametrize("signal", signals.ALL, ids=str)
def test_a_failing_signal_is_said_once_and_harms_nothing(signal):
    def fail(training):
        raise Broken("ours")

    broken = Signal(signal.name, signal.summary, signal.unit, signal.at, fail, signal.each_step)
    what = tuple(broken if s is signal else s for s in signals.ALL)
    result, said, run = watched(what=what)
    assert same(result)
    assert signal not in run
    assert [f["where"] for f in run.facts["own_failures"]] == [signal.name]
    assert len(said) == 1
    assert "your run goes on" in said[0]
    assert all(s in run for s in signals.ALL if s not in (signal, signals.step_time)), (
        "one failure took others along"
    )


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_failing_hook_is_said_once_and_harms_nothing(handler, monkeypatch):
    def fail(self, *args, **kwargs):
        raise Broken("ours")

    fail.__name__ = handler
    monkeypatch.setattr(HANDLERS[handler], handler, guarded(fail))
    result, said, run = watched()
    assert same(result)
    assert [f["where"] for f in run.facts["own_failures"]] in ([handler], [])
    assert len(said) == len(run.facts["own_failures"])


def test_the_handlers_that_are_broken_above_are_the_ones_there_are():
    assert {
        "_before_backward",
        "_after_step",
        "_before_step",
        "_loss_called",
        "_layer_ran",
        "_layer_grad",
    } <= set(HANDLERS)


@pytest.mark.parametrize(
    "error", [sqlite3.OperationalError("database or disk is full"), OSError(30, "read-only")]
)
def test_a_disk_that_cannot_be_written_is_said_once_and_nothing_is_lost(error, monkeypatch):
    monkeypatch.setattr(recorder_module, "FLUSH_S", 0.0)

    class Full(Writer):
        def flush(self):
            raise error

    result, said, run = watched(record=Full(None))
    assert same(result)
    assert len(said) == 1
    assert "writing the record" in said[0]
    assert len(run[signals.loss].steps) == 12


def test_check_stops_the_script_and_only_with_its_own_exception():
    with pytest.raises(StopCheck):
        watched(stop_after=5)


def test_a_script_that_catches_everything_is_stopped_at_its_next_step():
    stops = 0
    recorder = Recorder(Writer(None), stop_after=2)
    with attach(recorder):
        net = nn.Linear(2, 1)
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(5):
            try:
                net(torch.ones(1, 2)).sum().backward()
                sgd.step()
            except BaseException as error:  # as scripts do
                stops += isinstance(error, StopCheck)
    recorder.finish({}, lambda facts: {})
    assert stops == 4
