"""Swapping activations: all the places, nothing else, and nothing at all when it is refused."""

import copy
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainwright.activation import activations, functional, swap_


class Gated(nn.Module):
    """A squeeze-and-excitation block, a cell of a recurrent net and attention in one."""

    def __init__(self):
        super().__init__()
        self.squeeze = nn.Linear(4, 4)
        self.relu, self.excite = nn.ReLU(), nn.Sigmoid()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.softmax = nn.Softmax(-1)
        self.parts = nn.ModuleList([nn.ELU(), nn.ModuleDict({"a": nn.ELU()})])
        self.cell = Cell()

    def forward(self, x):
        x = self.excite(self.relu(self.squeeze(x))) * x
        x = self.attention(x, x, x)[0]
        return self.cell(self.softmax(self.parts[1]["a"](self.parts[0](x))))


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.tanh, self.gate = nn.Tanh(), nn.Sigmoid()

    def forward(self, x):
        return self.tanh(x) * self.gate(x)


def kinds(model):
    return {name: type(m).__name__ for name, m in model.named_modules() if not m._modules}


def test_every_hidden_activation_is_replaced_and_nothing_else():
    model = Gated()
    before = kinds(model)
    assert swap_(model, nn.SiLU) is model
    changed = {name for name, kind in kinds(model).items() if kind != before[name]}
    assert changed == {"relu", "parts.0", "parts.1.a"}
    assert {kinds(model)[name] for name in changed} == {"SiLU"}
    model(torch.randn(2, 3, 4))


def test_gates_are_replaced_where_they_are_named():
    model = swap_(Gated(), nn.Hardsigmoid, old=nn.Sigmoid)
    assert kinds(model) | {"excite": "Hardsigmoid", "cell.gate": "Hardsigmoid"} == kinds(model)
    assert kinds(model)["relu"] == "ReLU"
    assert kinds(swap_(Gated(), nn.ReLU, old=(nn.Tanh, nn.ELU)))["cell.tanh"] == "ReLU"


def test_what_ends_a_sequential_is_the_output_and_stays():
    inner = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), nn.Sequential(nn.Linear(2, 2), nn.Sigmoid(), inner))
    swap_(model, nn.ReLU, old=nn.Sigmoid)
    assert [type(m).__name__ for m in activations(model).values()] == ["ReLU", "ReLU", "Sigmoid"]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch's own, in importing its compiler
@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compiled", "parallel"])
def test_the_output_is_known_through_a_wrapper(wrap):
    model = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1), nn.Tanh())
    swap_(wrap(model), nn.ReLU)
    assert (type(model[1]), type(model[3])) == (nn.ReLU, nn.Tanh)


def test_a_shared_instance_stays_one_but_its_use_as_output_stays_what_it_was():
    act = nn.ReLU()
    model = nn.Sequential(nn.Linear(2, 2), act, nn.Linear(2, 2), act, nn.Linear(2, 2), act)
    swap_(model, nn.GELU)
    assert model[1] is model[3]
    assert isinstance(model[1], nn.GELU)
    assert model[5] is act


def test_names_in_keep_stay():
    model = nn.Sequential(nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    swap_(model, nn.GELU, keep=("2",))
    assert (type(model[0]), type(model[2])) == (nn.GELU, nn.ReLU)


def test_hooks_go_over_and_their_handles_still_remove_them():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    seen = []
    before = model[1].register_forward_pre_hook(lambda *_: seen.append("before"))
    after = model[1].register_forward_hook(lambda *_: seen.append("after"))
    back = model[1].register_full_backward_hook(lambda *_: seen.append("back"))
    swap_(model, nn.GELU)
    x = torch.randn(3, 2, requires_grad=True)
    model(x).sum().backward()
    assert seen == ["before", "after", "back"]
    for handle in (before, after, back):
        handle.remove()
    model(x).sum().backward()
    assert seen == ["before", "after", "back"]


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_goes_over(training):
    model = nn.Sequential(nn.ReLU(), nn.Linear(2, 2)).train(training)
    assert swap_(model, nn.RReLU)[0].training == training


def test_parameters_come_and_go_with_prelu_and_are_where_the_model_is():
    model = nn.Sequential(nn.Linear(2, 2), nn.PReLU(), nn.Linear(2, 2)).double()
    swap_(model, nn.PReLU, old=nn.PReLU)
    assert model[1].weight.dtype == torch.float64
    assert len(list(model.parameters())) == 5
    swap_(model, nn.ReLU)
    assert len(list(model.parameters())) == 4
    with torch.device("meta"):
        away = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    assert swap_(away, nn.PReLU)[1].weight.is_meta


def test_a_swapped_model_computes_what_one_built_so_computes():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))
    built = nn.Sequential(model[0], nn.Mish(), model[2])
    x = torch.randn(4, 3)
    assert torch.equal(swap_(copy.deepcopy(model), nn.Mish)(x), built(x))


@pytest.mark.parametrize("activation", ["relu", "gelu", nn.ReLU()], ids=str)
@pytest.mark.parametrize("new", [nn.SiLU, nn.ReLU, nn.GELU, lambda: nn.GELU("tanh")])
def test_the_fast_path_of_a_transformer_follows(activation, new):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, activation=activation, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Linear(8, 1)).eval()
    swap_(model, new)
    x = torch.randn(2, 5, 8)
    slow = model(x)
    with torch.no_grad():
        assert torch.allclose(model(x), slow, atol=1e-5)
    assert type(model[0].layers[1].activation) is type(new())
    assert model[0].layers[0].activation is not model[0].layers[1].activation


def test_the_functions_of_transformer_layers_are_replaced_where_they_are_named():
    model = nn.ModuleList(
        [nn.TransformerDecoderLayer(8, 2, 16, activation="gelu"), nn.ReLU(), nn.Linear(1, 1)]
    )
    swap_(model, nn.SiLU, old=nn.ReLU)
    assert model[0].activation is F.gelu
    swap_(model, nn.Mish, old=nn.GELU)
    assert isinstance(model[0].activation, nn.Mish)


class ByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.act, self.down = nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 3)
        self.dropout, self.norm = nn.Dropout(0.5), nn.BatchNorm1d(3)

    def forward(self, x):
        x = self.down(F.relu(self.act(self.up(x))).tanh_())
        return torch.sigmoid(F.dropout(self.norm(x)))


def test_functions_that_no_swap_reaches_are_listed_by_the_module_that_calls_them():
    model = nn.Sequential(ByHand(), nn.Sequential(nn.SiLU(), nn.Linear(3, 3)))
    x, state, random = torch.randn(5, 3), copy.deepcopy(model.state_dict()), torch.get_rng_state()
    assert functional(model, x) == {"0": ("relu", "tanh", "sigmoid")}
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not model[0]._forward_hooks
    layer = nn.TransformerEncoderLayer(8, 2, batch_first=True)
    assert functional(layer, torch.randn(2, 3, 8)) == {"": ("relu",)}
    assert functional(swap_(layer, nn.GELU), torch.randn(2, 3, 8)) == {}


@pytest.mark.parametrize(
    ("model", "arguments", "error", "said"),
    [
        (nn.Sequential(nn.Linear(2, 2)), {}, ValueError, "no hidden activation .*none.*F.relu"),
        (
            Gated(),
            {"old": nn.Mish},
            ValueError,
            r"no Mish to replace in Gated; its activation modules: `relu` \(ReLU\)",
        ),
        (nn.ReLU(), {}, ValueError, "itself the activation"),
        (Gated(), {"keep": ("rleu",)}, ValueError, r"keep \['rleu'\], but the activations here are \['relu'"),
        (Gated(), {"old": nn.Softmax}, TypeError, "Softmax, which mixes numbers"),
        (Gated(), {"new": nn.GELU()}, TypeError, "it needs what makes one, as `GELU`"),
        (Gated(), {"new": lambda: nn.Linear(2, 2)}, TypeError, "needs an activation module"),
        (Gated(), {"new": lambda: F.relu}, TypeError, "needs an activation module"),
    ],
    ids=lambda v: str(v)[:20],
)
def test_a_refused_swap_leaves_the_model_as_it_was(model, arguments, error, said):
    before = kinds(model)
    with pytest.raises(error, match=said):
        swap_(model, **({"new": nn.GELU} | arguments))
    assert kinds(model) == before


def test_a_large_model_takes_milliseconds():
    times = []
    for _ in range(3):  # a collection of garbage may fall into one
        model = nn.Sequential(*(m for _ in range(150) for m in (nn.Linear(2, 2), nn.ReLU())), nn.Linear(2, 2))
        start = time.thread_time()
        swap_(model, nn.GELU)
        times.append(time.thread_time() - start)
    assert min(times) < 0.05
    assert len(activations(model)) == 150
