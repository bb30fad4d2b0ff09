"""Compiled models: watching adds no graph, no break and no recompilation, and sees what it can."""

import shutil

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.nn import functional as F

from trainwright.observe import watching
from trainwright.signals import activation_std, grad_norm, loss, update_ratio, weight_norm

from .twice import twice

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
COMPILER = shutil.which("g++") or shutil.which("clang++")


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 16)
        self.act = nn.ReLU()
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        return self.last(self.act(self.first(x)))


def net_and_data(steps=6):
    net = Net()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    return net, sgd, [(torch.randn(8, 4), torch.randint(0, 3, (8,))) for _ in range(steps)]


def fit(net, sgd, data):
    for x, y in data:
        sgd.zero_grad()
        F.cross_entropy(net(x), y).backward()
        sgd.step()


def whole(backend, steps=6):
    net, sgd, data = net_and_data(steps)
    fit(torch.compile(net, backend=backend), sgd, data)
    return net


def in_place(backend):
    net, sgd, data = net_and_data()
    net.compile(backend=backend)
    fit(net, sgd, data)
    return net


def loss_inside(backend):
    net, sgd, data = net_and_data()

    @torch.compile(backend=backend, fullgraph=True)
    def loss_of(x, y):
        return F.cross_entropy(net(x), y)

    for x, y in data:
        sgd.zero_grad()
        loss_of(x, y).backward()
        sgd.step()
    return net


def whole_step(backend):
    net, sgd, data = net_and_data()
    criterion = nn.CrossEntropyLoss()

    def step(x, y):
        loss = criterion(net(x), y)
        loss.backward()
        sgd.step()
        sgd.zero_grad()

    step = torch.compile(step, backend=backend)
    for x, y in data:
        step(x, y)
    return net


def only_a_part(backend):
    net, sgd, data = net_and_data()
    net.first = torch.compile(net.first, backend=backend)
    fit(net, sgd, data)
    return net


def growing_batch(backend):
    net, sgd, data = net_and_data()
    data = [(x[: 3 + i], y[: 3 + i]) for i, (x, y) in enumerate(data)]
    fit(torch.compile(net, backend=backend), sgd, data)
    return net


ALL = [whole, in_place, loss_inside, whole_step, only_a_part, growing_batch]


def counted(train):
    """A training that also tells what dynamo made of it."""

    def and_counted():
        torch._dynamo.reset()
        counters.clear()
        trained = train()
        breaks = sorted(counters["graph_break"].values())  # their texts name wrapped functions differently
        made.append((counters["stats"]["unique_graphs"], counters["stats"]["calls_captured"], breaks))
        return trained

    made: list[tuple[int, int, list[int]]] = []
    return and_counted, made


@pytest.mark.parametrize("how", ALL, ids=lambda how: how.__name__)
def test_watching_a_compiled_model_changes_neither_its_bits_nor_its_graphs(how):
    train, made = counted(lambda: how("aot_eager"))

    run = twice(train)

    assert made[0][0] >= 1
    assert made[0] == made[1]
    assert run.facts["compiled"]
    assert run.facts["roots"] == ["OptimizedModule" if how in (whole, growing_batch) else "Net"]
    assert (run.facts["steps"], len(run[loss].steps)) == (6, 6)
    names = {"first.weight", "first.bias", "last.weight", "last.bias"}
    assert (
        set(run[grad_norm].places) == set(run[weight_norm].places) == set(run[update_ratio].places) == names
    )
    assert activation_std not in run
    assert "the model is compiled" in " ".join(run.facts["given_up"])


@pytest.mark.skipif(COMPILER is None, reason="inductor needs a C++ compiler")
def test_inductor_is_left_alone_too():
    train, made = counted(lambda: whole("inductor"))

    run = twice(train)

    assert made[0] == made[1]
    assert len(run[grad_norm].steps) == 6


def probed(train):
    """The record of a training whose steps are run without compilation where they are read."""
    session = watching.Session(
        None, overhead=0.02, stop_after=None, eager_probe=True, say=watching.say_on_stderr
    )
    session.attach()
    torch.manual_seed(1)
    train()
    return session.finish()


@pytest.mark.parametrize("how", [whole, in_place, loss_inside, only_a_part], ids=lambda how: how.__name__)
def test_the_eager_probe_sees_the_layers(how):
    run = probed(lambda: how("aot_eager"))

    assert run.facts["own_failures"] == []
    assert set(run[activation_std].places) == {"first", "act", "last"}
    assert run.facts["losses"][0]["kind"] == "cross_entropy"
    assert run.facts["compiled"]


def test_the_eager_probe_makes_no_further_graph():
    train, made = counted(lambda: whole("aot_eager", steps=150))
    torch.manual_seed(1)
    train()

    run = probed(train)

    assert 5 <= run.facts["overhead"]["sampled"] < 150  # read ones are spread among those that are compiled
    assert made[0] == made[1]
    assert len(run[activation_std].steps) == run.facts["overhead"]["sampled"]
