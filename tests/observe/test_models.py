"""Models of all kinds: nothing is changed by watching them, and their parts are found and named."""

import copy
import io
import pickle
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import trainwright as tw
from trainwright.signals import activation_std, dead_units, grad_norm, loss, update_ratio

from .twice import bits, text, twice


def learn(net, steps=6, *, inputs=4, classes=3, after=lambda i: None, **options):
    """Train on random classes."""
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, **options)
    for i in range(steps):
        x, y = torch.randn(8, inputs), torch.randint(0, classes, (8,))
        sgd.zero_grad()
        F.cross_entropy(net(x), y).backward()
        sgd.step()
        after(i)
    return net


def small():
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cells = kind(5, 8, num_layers=2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.cells(x)[0][:, -1])


class ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(5, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        state = torch.zeros(len(x), 8)
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
        return self.head(state)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU, ByHand], ids=lambda k: k.__name__)
def test_recurrent_layers_are_seen(kind):
    def train():
        net = ByHand() if kind is ByHand else Recurrent(kind)
        adam = torch.optim.Adam(net.parameters())
        for _ in range(5):
            loss = F.cross_entropy(net(torch.randn(4, 6, 5)), torch.randint(0, 3, (4,)))
            adam.zero_grad()
            loss.backward()
            adam.step()
        return net

    run = twice(train)

    inner = "cell" if kind is ByHand else "cells"
    assert run[activation_std].places == (inner, "head")
    assert text(run.facts["modules"][inner]["site"]).startswith(f"self.{inner} = ")
    assert f"{inner}.weight_hh" in "".join(run[grad_norm].places)
    assert run.facts["modules"][inner]["activation"] is None  # its gates are meant to saturate


def test_packed_sequences_are_looked_into():
    def train():
        cells, head = nn.LSTM(5, 8), nn.Linear(8, 3)
        net = nn.ModuleDict({"cells": cells, "head": head})
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(4):
            packed = nn.utils.rnn.pack_sequence([torch.randn(6, 5), torch.randn(3, 5)])
            sgd.zero_grad()
            F.cross_entropy(head(cells(packed)[1][0][0]), torch.tensor([0, 2])).backward()
            sgd.step()
        return net

    run = twice(train)

    assert run[activation_std].places == ("cells", "head")


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=False)
        self.embed = nn.Embedding(11, 8)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.out = nn.Linear(8, 11, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.out(self.encoder(self.embed(x), mask=mask, is_causal=True))


def language_model():
    net = Attentive()
    adam = torch.optim.AdamW(net.parameters(), lr=1e-3)
    answers = []
    for _ in range(5):
        x = torch.randint(0, 11, (4, 7))
        loss = F.cross_entropy(net(x[:, :-1]).flatten(0, 1), x[:, 1:].flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()
        net.eval()  # here torch takes a path of its own through the encoder, unless there are hooks on it
        with torch.no_grad():
            answers.append(net(x))
        net.train()
    return net, answers


def test_attention_and_tied_weights_are_seen():
    run = twice(language_model)

    facts = run.facts
    assert facts["roots"] == ["Attentive"]
    assert "embed.weight" in facts["parameters"]
    assert "out.weight" not in facts["parameters"]  # the same one
    assert {"embed", "encoder.layers.0.linear1", "encoder.layers.1.norm2", "out"} <= set(
        run[activation_std].places
    )
    assert "encoder.layers.0.linear1" in run[dead_units].places
    assert facts["losses"][0]["classes"] == 11
    assert facts["eval_during_training"] == []


def test_a_copied_model_is_found():
    run = twice(lambda: learn(copy.deepcopy(small())))

    assert run.facts["roots"] == ["Sequential"]
    assert run[activation_std].places == ("0", "1", "2")


def test_an_unpickled_model_is_found_at_the_line_of_its_class():
    kept = pickle.dumps(Recurrent(nn.GRU))

    def train():
        net = pickle.loads(kept)
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(4):
            sgd.zero_grad()
            F.cross_entropy(net(torch.randn(4, 6, 5)), torch.randint(0, 3, (4,))).backward()
            sgd.step()
        return net

    run = twice(train)

    assert run.facts["roots"] == ["Recurrent"]
    assert text(run.facts["modules"][""]["site"]) == "class Recurrent(nn.Module):"
    assert run[activation_std].places == ("cells", "head")


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_activations_are_not_run_more_often(reentrant):
    def train():
        calls = []
        first = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5))
        last = nn.Linear(16, 3)
        first.register_forward_hook(lambda *_: calls.append(1))
        sgd = torch.optim.SGD([*first.parameters(), *last.parameters()], lr=0.1)
        for _ in range(6):
            x = torch.randn(8, 4, requires_grad=True)
            hidden = checkpoint(first, x, use_reentrant=reentrant)
            sgd.zero_grad()
            F.cross_entropy(last(hidden), torch.randint(0, 3, (8,))).backward()
            sgd.step()
        return first, last, torch.tensor(len(calls))

    run = twice(train)

    assert run.facts["steps"] == 6
    assert len(run[loss].steps) == 6
    assert len(run.facts["roots"]) == 2
    assert len(run[grad_norm].places) == 4


class WithLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, y):
        return F.cross_entropy(self.layer(x), y)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_model_that_computes_its_loss_can_be_scripted_and_trained():
    def train():
        net = WithLoss()
        scripted = torch.jit.script(net)
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(6):
            sgd.zero_grad()
            scripted(torch.randn(8, 4), torch.randint(0, 3, (8,))).backward()
            sgd.step()
        return net

    run = twice(train)

    assert (run.facts["steps"], len(run[loss].steps)) == (6, 6)
    assert set(run[grad_norm].places) == {"layer.weight", "layer.bias"}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace"])
def test_the_model_may_be_scripted_or_traced_in_the_middle(how):
    def train():
        net, code = small(), []

        def after(i):
            made = torch.jit.script(net) if how == "script" else torch.jit.trace(net, torch.ones(2, 4))
            graph = re.sub(r"___torch_mangle_\d+\.", "", f"{made.code}\n{made.inlined_graph}")
            code.append(torch.tensor(bytearray(graph.encode())))

        learn(net, after=after)
        return net, code

    assert twice(train).facts["steps"] == 6


def test_copies_and_files_made_in_the_middle_are_as_without_watching():
    def train():
        net, kept = small(), []

        def after(i):
            file = io.BytesIO()
            torch.save(net, file)
            copied = copy.deepcopy(net)
            learn(copied, 2)
            kept.append(copied)
            kept.append(pickle.loads(pickle.dumps(net)))
            kept.append(torch.tensor(bytearray(file.getvalue())))
            kept.append(torch.load(io.BytesIO(file.getvalue()), weights_only=False))

        learn(net, 3, after=after)
        return net, kept

    twice(train)


def test_a_moving_average_of_the_model_is_not_taken_for_a_model_that_is_trained():
    def train():
        net = small()
        average = torch.optim.swa_utils.AveragedModel(net)
        return learn(net, after=lambda i: average.update_parameters(net)), average

    run = twice(train)

    assert run.facts["roots"] == ["Sequential"]
    assert set(run.facts["parameters"]) == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_parametrised_weights_are_named_and_read():
    def train():
        return learn(
            nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 8)), nn.Tanh(), nn.Linear(8, 3))
        )

    run = twice(train)

    assert "0.parametrizations.weight.original0" in run[grad_norm].places
    assert "0.parametrizations.weight.original1" in run[update_ratio].places


def test_layers_that_find_their_size_in_the_first_batch_are_read():
    def train():
        net = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
        net(torch.ones(2, 4))
        return learn(net)

    run = twice(train)

    assert run.facts["parameters"]["0.weight"]["shape"] == [8, 4]
    assert len(run[grad_norm].steps) == 6


def test_lazy_layers_may_be_given_to_the_optimiser_before_they_know_their_size():
    run = twice(lambda: learn(nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))))

    assert run.facts["parameters"]["0.weight"]["shape"] == [8, 4]
    assert run.facts["steps"] == 6


def test_sparse_gradients_do_no_harm():
    def train():
        words, head = nn.Embedding(50, 4, sparse=True), nn.Linear(4, 3)
        sparse, dense = torch.optim.SparseAdam(words.parameters()), torch.optim.Adam(head.parameters())
        for _ in range(6):
            x, y = torch.randint(0, 50, (8,)), torch.randint(0, 3, (8,))
            for optimizer in (sparse, dense):
                optimizer.zero_grad()
            F.cross_entropy(head(words(x)), y).backward()
            for optimizer in (sparse, dense):
                optimizer.step()
        return words, head

    run = twice(train)

    assert [o["type"] for o in run.facts["optimizers"]] == ["SparseAdam", "Adam"]
    assert run.facts["parameters"]["words.weight"]["got_gradient"]


def test_layers_in_a_python_list_are_taken_in():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(4, 4) for _ in range(2)]
            self.out = nn.Linear(4, 3)

        def forward(self, x):
            for layer in self.layers:
                x = torch.relu(layer(x))
            return self.out(x)

    run = twice(lambda: learn(Hidden()))

    outside = [n for n, p in run.facts["parameters"].items() if p["optimizer"] is None]
    assert len(outside) == 4
    assert text(run.facts["modules"][outside[0].rpartition(".")[0]]["site"]).startswith("self.layers = [")


def test_functional_calls_and_vmap_do_no_harm():
    def train():
        net = small()
        weights = {n: p.detach().clone().requires_grad_() for n, p in net.named_parameters()}
        adam = torch.optim.Adam(weights.values(), lr=1e-2)
        x, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
        for _ in range(5):
            adam.zero_grad()
            F.cross_entropy(torch.func.functional_call(net, weights, (x,)), y).backward()
            adam.step()
            torch.func.vmap(lambda row: torch.func.functional_call(net, weights, (row,)))(x)
            torch.func.grad(lambda w: F.cross_entropy(torch.func.functional_call(net, w, (x,)), y))(weights)
        return list(weights.values())

    run = twice(train)

    assert (run.facts["steps"], len(run[loss].steps)) == (5, 5)


def test_a_dispatch_mode_of_the_users_sees_nothing_of_ours():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Log(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.seen = []

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.seen.append(str(function))
            return function(*args, **(kwargs or {}))

    def train():
        net, log = small(), Log()
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(5):
            sgd.zero_grad()
            with log:
                loss = F.cross_entropy(net(torch.randn(8, 4)), torch.randint(0, 3, (8,)))
            loss.backward()
            sgd.step()
        return net, torch.tensor(bytearray(" ".join(log.seen).encode()))

    run = twice(train)

    assert (run.facts["steps"], len(run[loss].steps)) == (5, 5)
    assert len(run[grad_norm].steps) == 5


class Odd(nn.Linear):
    """Torch itself asks a module for its hash, and nothing more."""

    def __hash__(self):
        return hash((type(self), self.in_features))

    def __eq__(self, other):
        raise TypeError("compare me not")


class Unhashable(nn.Linear):
    __hash__ = None


def test_a_model_with_its_own_idea_of_equality_is_watched():
    run = twice(lambda: learn(nn.Sequential(Odd(4, 8), nn.ReLU(), Odd(8, 3))))

    assert "0.weight" in run[grad_norm].places


def test_a_module_that_torch_cannot_list_does_not_keep_us_from_finding_others():
    strange, net = nn.Sequential(Unhashable(4, 3)), small()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    with tw.watch() as watch:
        F.cross_entropy(net(torch.randn(8, 4)), torch.zeros(8).long()).backward()
        sgd.step()

    assert watch.run().facts["roots"] == ["Sequential"]
    assert watch.run().facts["own_failures"] == []
    assert len(strange) == 1


def test_a_wrapper_around_the_model_leaves_no_mark_in_the_names():
    run = twice(lambda: learn(nn.DataParallel(small())))

    assert run.facts["roots"] == ["DataParallel"]
    assert set(run.facts["parameters"]) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert run[activation_std].places == ("0", "1", "2")


def test_two_trainings_at_once_do_no_harm_and_leave_the_same_bits():
    from threading import Thread

    def train():
        nets = [small(), small()]
        data = torch.randn(8, 4), torch.randint(0, 3, (8,))

        def fit(net):
            sgd = torch.optim.SGD(net.parameters(), lr=0.1)
            for _ in range(10):
                sgd.zero_grad()
                F.cross_entropy(net(data[0]), data[1]).backward()
                sgd.step()

        threads = [Thread(target=fit, args=(net,)) for net in nets]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return nets

    assert twice(train).facts["own_failures"] == []
    assert bits([torch.ones(1)]) != bits([torch.zeros(1)])  # the comparison itself
