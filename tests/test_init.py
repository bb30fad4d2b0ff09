"""Starting weights: what each function promises, on nets of every kind, and that nothing else of a model is touched."""

import copy
import importlib.util
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from trainwright import activation, init

spec = importlib.util.spec_from_file_location(
    "init_nets", Path(__file__).parents[1] / "bench" / "toolkit" / "init_nets.py"
)
nets = importlib.util.module_from_spec(spec)
spec.loader.exec_module(nets)

LAYERS = {
    "linear": (lambda: nn.Linear(48, 96), (256, 48)),
    "narrowing": (lambda: nn.Linear(96, 48), (256, 96)),
    "conv": (lambda: nn.Conv2d(16, 32, 3, padding=1), (8, 16, 12, 12)),
    "strided": (lambda: nn.Conv2d(16, 32, 4, 2, 1), (8, 16, 12, 12)),
    "grouped": (lambda: nn.Conv2d(16, 32, 3, padding=1, groups=4), (8, 16, 12, 12)),
    "depthwise": (lambda: nn.Conv1d(64, 64, 5, padding=2, groups=64), (8, 64, 40)),
    "transposed": (lambda: nn.ConvTranspose2d(32, 16, 4, 2, 1), (8, 32, 8, 8)),
    "transposed, grouped": (lambda: nn.ConvTranspose2d(32, 16, 3, 1, 1, groups=4), (8, 32, 12, 12)),
    "conv3d": (lambda: nn.Conv3d(4, 12, 3, padding=1), (2, 4, 8, 8, 8)),
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def snapshot(model):
    return {n: t.clone() for n, t in (*model.named_parameters(), *model.named_buffers())}


def same(model, before):
    return all(torch.equal(t, before[n]) for n, t in (*model.named_parameters(), *model.named_buffers()))


def outputs(model, *batch):
    """Standard deviation of what each layer puts out, by name."""
    found = {}

    def keep(name):
        return lambda m, i, o: found.__setitem__(name, o.detach().float().std().item())

    hooks = [
        m.register_forward_hook(keep(n))
        for n, m in model.named_modules()
        if isinstance(m, (nn.Linear, nn.modules.conv._ConvNd, nn.Embedding, nets.Sum))
    ]
    with torch.no_grad():
        model(*batch)
    for hook in hooks:
        hook.remove()
    return found


def decades(model, x, y):
    """Between the largest and the smallest norm of a weight's gradient."""
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    norms = [p.grad.norm().item() for p in model.parameters() if p.ndim > 1]
    model.zero_grad()
    return math.log10(max(norms) / (min(norms) + 1e-38))


class TestFans:
    @pytest.mark.parametrize("make", [m for m, _ in LAYERS.values()], ids=list(LAYERS))
    def test_are_what_ones_add_up_to(self, make):
        layer = make()
        with torch.no_grad():
            layer.weight.fill_(1)
            layer.bias.zero_()
        place = 24  # far from the borders
        shape = (1, layer.weight.shape[1]) if isinstance(layer, nn.Linear) else (1, layer.in_channels)
        shape += (1,) * 0 if isinstance(layer, nn.Linear) else (2 * place,) * (layer.weight.ndim - 2)
        shape = shape if layer.weight.ndim < 5 else (*shape[:2], 16, 16, 16)
        x = torch.ones(shape, requires_grad=True)
        y = layer(x)
        y.sum().backward()
        inside = (..., *(slice(6, -6),) * (x.ndim - 2))
        fan_in, fan_out = y[inside].mean().item(), x.grad[inside].mean().item()
        assert init.fans(layer) == pytest.approx((fan_in, fan_out))

    def test_are_torchs_for_a_linear_layer(self):
        layer = nn.Linear(7, 3)
        assert init.fans(layer) == nn.init._calculate_fan_in_and_fan_out(layer.weight)

    def test_refuse_what_has_none(self):
        with pytest.raises(TypeError, match="got LayerNorm; it needs a linear layer"):
            init.fans(nn.LayerNorm(3))


class TestSingleLayers:
    @pytest.mark.parametrize("name", LAYERS)
    @pytest.mark.parametrize("distribution", ["normal", "uniform"])
    def test_he_keeps_the_second_moment_through_relu(self, name, distribution):
        make, shape = LAYERS[name]
        layer = init.scaled_(make(), math.sqrt(2), distribution=distribution)
        x = torch.randn(shape)
        inside = (..., *(slice(1, -1),) * (x.ndim - 2))
        assert layer(x)[inside].relu().square().mean().item() == pytest.approx(1, abs=0.25)

    @pytest.mark.parametrize("name", LAYERS)
    def test_fan_out_keeps_the_gradient(self, name):
        make, shape = LAYERS[name]
        layer = init.scaled_(make(), mode="fan_out")
        x = torch.randn(shape, requires_grad=True)
        y = layer(x)
        y.backward(torch.randn_like(y))
        inside = (..., *(slice(1, -1),) * (x.ndim - 2))
        assert x.grad[inside].square().mean().item() == pytest.approx(1, abs=0.25)

    @pytest.mark.parametrize(
        ("mode", "reference"),
        [("fan_in", nn.init.kaiming_normal_), ("average", nn.init.xavier_normal_)],
    )
    def test_the_spread_is_torchs_where_torch_is_right(self, mode, reference):
        ours, theirs = nn.Linear(300, 500), nn.Linear(300, 500)
        init.scaled_(ours, math.sqrt(2) if mode == "fan_in" else 1.0, mode)
        reference(theirs.weight)
        assert ours.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.02)
        assert ours.bias.abs().sum() == 0

    @pytest.mark.parametrize("name", LAYERS)
    def test_orthogonal_keeps_variance_also_where_a_layer_widens(self, name):
        make, shape = LAYERS[name]
        layer = init.orthogonal_(make(), gain=1.5)
        x = torch.randn(shape)
        inside = (..., *(slice(1, -1),) * (x.ndim - 2))
        # A transposed convolution's stride spreads its taps over several outputs.
        taps = math.prod(layer.stride) if isinstance(layer, nn.ConvTranspose2d) else 1
        assert layer(x)[inside].var().item() * taps == pytest.approx(2.25, rel=0.2)

    def test_orthogonal_rows_are_orthogonal_within_each_group(self):
        layer = init.orthogonal_(nn.Conv2d(16, 16, 3, groups=4))
        rows = layer.weight.detach().reshape(4, 4, 36)
        assert torch.allclose(rows @ rows.mT, torch.eye(4).expand(4, 4, 4), atol=1e-5)

    @given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
    def test_orthogonal_is_torchs_times_the_widening(self, out, inputs, seed):
        torch.manual_seed(seed)
        layer = init.orthogonal_(nn.Linear(inputs, out))
        sizes = torch.linalg.svdvals(layer.weight.detach())
        assert torch.allclose(sizes, torch.full_like(sizes, max(1.0, math.sqrt(out / inputs))), atol=1e-4)

    @pytest.mark.parametrize("layer", [nn.Conv1d(8, 8, 3, padding=1), nn.Conv3d(4, 9, 3, padding=1)], ids=str)
    def test_delta_orthogonal_keeps_every_length(self, layer):
        x = torch.randn(2, layer.in_channels, *(5,) * (layer.weight.ndim - 2))
        y = init.delta_orthogonal_(layer)(x)
        assert torch.allclose(y.norm(dim=1), x.norm(dim=1), rtol=1e-4)

    @pytest.mark.parametrize(
        ("call", "sentence"),
        [
            (lambda: init.scaled_(nn.Linear(2, 2), 0.0), "gain=0.0"),
            (lambda: init.scaled_(nn.Linear(2, 2), mode="fan"), "mode='fan'"),
            (lambda: init.orthogonal_(nn.Linear(2, 2), -1.0), "gain=-1.0"),
            (lambda: init.delta_orthogonal_(nn.Conv1d(2, 2, 2)), "odd kernel sizes"),
            (lambda: init.delta_orthogonal_(nn.Conv1d(4, 2, 3)), "out_channels >= in_channels"),
            (lambda: init.delta_orthogonal_(nn.Conv1d(2, 2, 3), 0.0), "gain=0.0"),
            (lambda: init.orthogonal_(nn.Linear(2, 2, device="meta")), "to_empty"),
            (lambda: init.recurrent_(nn.LSTM(2, 2, device="meta")), "to_empty"),
        ],
    )
    def test_wrong_arguments_are_refused(self, call, sentence):
        with pytest.raises(ValueError, match=sentence):
            call()

    @pytest.mark.parametrize(
        "call", [init.orthogonal_, init.delta_orthogonal_, init.recurrent_, init.scaled_]
    )
    def test_other_modules_are_refused(self, call):
        with pytest.raises(TypeError, match="got Embedding; it needs"):
            call(nn.Embedding(3, 3))

    @pytest.mark.parametrize("call", [init.orthogonal_, init.scaled_])
    def test_a_generator_decides_the_draw_and_torchs_state_stays(self, call):
        before = torch.get_rng_state()
        a, b = (call(nn.Linear(8, 8), generator=torch.Generator().manual_seed(3)) for _ in range(2))
        layer = nn.Linear(8, 8)
        torch.set_rng_state(before)
        call(layer, generator=torch.Generator().manual_seed(4))
        assert torch.equal(a.weight, b.weight)
        assert not torch.equal(a.weight, layer.weight)
        assert torch.equal(torch.get_rng_state(), before)

    def test_weight_norm_keeps_its_form(self):
        layer = init.orthogonal_(parametrizations.weight_norm(nn.Linear(8, 8)))
        assert torch.allclose(layer.weight @ layer.weight.T, torch.eye(8), atol=1e-5)
        assert layer.parametrizations.weight.original0.shape == (8, 1)


class TestRecurrent:
    @pytest.mark.parametrize(
        "rnn",
        [
            nn.LSTM(8, 16, 2, bidirectional=True),
            nn.LSTM(8, 16, proj_size=4),
            nn.GRU(8, 16),
            nn.RNN(8, 16, nonlinearity="relu", bias=False),
            nn.LSTMCell(8, 16),
            nn.GRUCell(8, 16),
        ],
        ids=str,
    )
    def test_each_gate_is_orthogonal(self, rnn):
        init.recurrent_(rnn)
        for name, p in rnn.named_parameters():
            if "weight_hh" in name:
                for gate in p.detach().split(16):
                    sizes = torch.linalg.svdvals(gate)
                    assert torch.allclose(sizes, sizes[0].expand_as(sizes), atol=1e-5)
            if "bias" in name:
                wanted = torch.zeros_like(p)
                if "LSTM" in type(rnn).__name__ and "bias_ih" in name:
                    wanted[16:32] = 1
                assert torch.equal(p, wanted)

    def test_the_memory_of_an_lstm_lasts_longer_than_torchs(self):
        def gradient(rnn):
            x = torch.randn(30, 8, 8, requires_grad=True)
            rnn(x)[0][-1].square().sum().backward()
            return (x.grad[0].norm() / x.grad[-1].norm()).item()

        assert gradient(init.recurrent_(nn.LSTM(8, 32))) > 100 * gradient(nn.LSTM(8, 32))


class TestOutputBias:
    @given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
    def test_classes_start_at_their_smoothed_shares(self, ids):
        layer = init.output_bias_(nn.Linear(3, 5), torch.tensor([*ids, -100]))
        shares = torch.bincount(torch.tensor(ids), minlength=5) + 1.0
        assert torch.allclose(layer.bias.softmax(0), shares / shares.sum(), atol=1e-6)

    def test_labels_start_at_their_log_odds(self):
        target = (torch.rand(4000, 3) < torch.tensor([0.02, 0.5, 0.9])).float()
        layer = init.output_bias_(nn.Linear(4, 3), target)
        assert torch.allclose(layer.bias.sigmoid(), torch.tensor([0.02, 0.5, 0.9]), atol=0.03)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
    def test_one_output_takes_zeros_and_ones_of_any_type(self, dtype):
        layer = init.output_bias_(nn.Linear(4, 1), torch.tensor([1, 0, 0, 0]).to(dtype))
        assert layer.bias.sigmoid().item() == pytest.approx(2 / 6)

    def test_values_start_at_their_mean(self):
        layer = init.output_bias_(
            nn.Conv2d(4, 2, 1), torch.randn(8, 2, 5, 5) + torch.tensor([[[30.0]], [[-4.0]]])
        )
        assert layer.bias.tolist() == pytest.approx([30, -4], abs=0.3)

    @pytest.mark.parametrize(
        ("outputs", "target", "sentence"),
        [
            (3, torch.tensor([0, 3]), "class ids up to 3"),
            (3, torch.tensor([-1, -1]), "class ids up to -1"),
            (3, torch.empty(0), "without a single value"),
            (1, torch.tensor([0.5, float("nan")]), "not finite"),
            (3, torch.randn(8, 2), r"shape \(8, 2\)"),
            (1, torch.tensor([0, 1, 2]), "beside 0 and 1"),
        ],
    )
    def test_what_does_not_fit_is_refused_and_nothing_written(self, outputs, target, sentence):
        layer = nn.Linear(4, outputs)
        before = snapshot(layer)
        with pytest.raises(ValueError, match=sentence):
            init.output_bias_(layer, target)
        assert same(layer, before)

    def test_a_layer_without_bias_is_refused(self):
        with pytest.raises(ValueError, match="has no bias"):
            init.output_bias_(nn.Linear(4, 3, bias=False), torch.tensor([0]))


class TestUnitVariance:
    @given(
        depth=st.integers(1, 6), width=st.integers(8, 64), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99)
    )
    def test_every_layer_ends_at_unit_variance(self, depth, width, scale, seed):
        torch.manual_seed(seed)
        net = nn.Sequential(*(m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())))
        for p in net.parameters():
            p.data *= scale
        x = torch.randn(256, width)

        assert init.unit_variance_(net, x) is net

        for layer in net:
            x = layer(x)
            if isinstance(layer, nn.Linear):
                assert x.std().item() == pytest.approx(1, abs=1e-3)

    def test_directions_stay(self):
        net = nets.mlp(4, "relu")
        before = [m.weight.detach().clone() for m in net if isinstance(m, nn.Linear)]
        init.unit_variance_(net, torch.randn(64, 64))
        for old, layer in zip(before, (m for m in net if isinstance(m, nn.Linear)), strict=True):
            assert F.cosine_similarity(old.flatten(), layer.weight.flatten(), dim=0).item() == pytest.approx(
                1
            )

    def test_a_thousand_layers_take_one_pass(self):
        net = nn.Sequential(*(m for _ in range(1000) for m in (nn.Linear(8, 8), nn.Tanh())))
        x = torch.randn(32, 8)
        found = outputs(init.unit_variance_(net, x), x)
        assert len(found) == 1000
        # Not exact: a deep tanh net is chaotic, and what a sum's last bit does grows from layer to layer.
        assert all(s == pytest.approx(1, abs=0.3) for s in found.values())

    def test_a_stream_of_a_hundred_branches_stays_below_twice_its_variance(self):
        net = nn.Sequential(
            nn.Linear(16, 32),
            *(nets.Sum(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)) for _ in range(100)),
        )
        x = torch.randn(128, 16)
        init.unit_variance_(net, x)
        assert 0.9 < net(x).std().item() < 2

    def test_shared_weights_are_set_once(self):
        shared = nn.Linear(16, 16)
        net = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), shared)
        x = torch.randn(64, 16)
        init.unit_variance_(net, x)
        assert shared(x).std().item() == pytest.approx(1, abs=1e-3)


def nothing_else(model, *batch, **options):
    """`model_`, and the check that it touches weights alone."""
    state, modes = torch.get_rng_state(), {m: m.training for m in model.modules()}
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    flags = {n: (p.requires_grad, id(p), p.grad) for n, p in model.named_parameters()}
    hooks = {m: (dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()}

    assert init.model_(model, *batch, **options) is model

    assert torch.equal(torch.get_rng_state(), state)
    assert {m: m.training for m in model.modules()} == modes
    assert all(torch.equal(b, buffers[n]) for n, b in model.named_buffers())
    assert {n: (p.requires_grad, id(p), p.grad) for n, p in model.named_parameters()} == flags
    assert {m: (dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()} == hooks
    assert all(p.isfinite().all() for p in model.parameters())
    return model


class TestModel:
    @pytest.mark.parametrize("name", nets.ACTIVATIONS)
    @pytest.mark.parametrize("depth", [3, 10, 30])
    def test_signal_and_gradient_keep_their_size_with_any_activation(self, name, depth):
        net, x, y = nets.mlp(depth, name), torch.randn(256, 64), torch.randint(0, 10, (256,))
        nothing_else(net, x)
        assert all(0.5 <= s <= 2 for s in outputs(net, x).values())
        assert decades(net, x, y) < (1.3 if (name, depth) == ("softsign", 30) else 1)

    @pytest.mark.parametrize("name", ["relu", "gelu", "sigmoid", "tanh"])
    def test_a_hundred_layers_keep_them_too(self, name):
        most = 1.2 if name == "tanh" else 1  # tanh bends whatever its sign
        net, x, y = nets.mlp(100, name), torch.randn(128, 64), torch.randint(0, 10, (128,))
        nothing_else(net, x)
        assert all(0.5 <= s <= 2 for s in outputs(net, x).values())
        assert decades(net, x, y) < most

    @pytest.mark.parametrize("activation_", [nn.ReLU, nn.GELU, nn.SiLU, nn.Softplus])
    def test_a_deep_plain_net_starts_linear(self, activation_):
        body = [m for _ in range(12) for m in (nn.Linear(32, 32), activation_())]
        net = init.model_(nn.Sequential(*body, nn.Linear(32, 4)), torch.randn(64, 32))
        a, b = torch.randn(2, 8, 32)
        assert torch.allclose(net(a + b) + net(torch.zeros(1, 32)), net(a) + net(b), atol=1e-3)

    def test_a_shallow_net_does_not(self):
        net = init.model_(nets.mlp(3, "relu"), torch.randn(64, 64))
        a, b = torch.randn(2, 8, 64)
        assert not torch.allclose(net(a + b), net(a) + net(b), atol=0.1)

    @pytest.mark.parametrize(
        "name",
        [
            "plain CNN, 30 layers",
            "U-Net",
            "autoencoder, transposed",
            "depthwise separable",
            "DenseNet, 12 layers",
        ],
    )
    def test_convolutions_of_every_kind_keep_their_size(self, name):
        x = torch.randn(16, 1, 8, 8)
        net = nothing_else(nets.NETS[name].make(), x)
        assert all(0.5 <= s <= 2 for s in outputs(net, x).values())

    def test_a_residual_stream_of_a_hundred_blocks_keeps_its_size(self):
        net, x = nets.resnet_plain(), torch.randn(8, 1, 8, 8)
        nothing_else(net, x)
        streams = [s for n, s in outputs(net, x).items() if isinstance(net.get_submodule(n), nets.Sum)]
        assert len(streams) == 100
        assert 0.5 < min(streams) < max(streams) < 2

    @pytest.mark.parametrize("tied", [False, True])
    def test_a_gpt_keeps_its_stream_and_its_logits(self, tied):
        net, x = nets.GPT(blocks=24, tied=tied), torch.randint(0, 17, (8, 32))
        nothing_else(net, x)
        found = outputs(net, x)
        assert all(0.5 < s < 2 for n, s in found.items() if n.count(".") < 2 and n != "head")
        assert net(x).std().item() == pytest.approx(1, abs=0.01)
        assert (net.head.weight is net.tokens.weight) == tied

    @pytest.mark.parametrize("norm_first", [False, True])
    def test_torchs_own_transformer_is_followed_inside(self, norm_first):
        net, x = nets.Encoder(3, norm_first=norm_first), torch.randn(16, 1, 8, 8)
        before = snapshot(net)
        nothing_else(net, x)
        moved = [n for n, p in net.named_parameters() if not torch.equal(p, before[n]) and p.ndim == 2]
        assert moved == [n for n, p in net.named_parameters() if p.ndim == 2]
        assert 0.3 < net.encoder(net.stem(x.squeeze(1))).std().item() < 2

    @pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
    def test_recurrent_layers_are_set_one_by_one(self, kind):
        net = nothing_else(nets.Recurrent(kind, 3, both_ways=True), torch.randn(16, 1, 8, 8))
        for name, p in net.rnn.named_parameters():
            if "weight_hh" in name:
                for gate in p.detach().split(48):
                    assert torch.allclose(gate @ gate.T, torch.eye(48), atol=1e-4)
        if kind is nn.LSTM:
            assert torch.equal(net.rnn.bias_ih_l2_reverse[48:96], torch.ones(48))
            assert net.rnn.bias_ih_l2_reverse[:48].abs().sum() == 0
        # Layers above the first see small states, which their matrices make up for.
        assert net.rnn.weight_ih_l1.norm() > net.rnn.weight_hh_l1.norm()

    def test_packed_sequences_and_cells_pass(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.lstm, self.cell, self.head = nn.LSTM(4, 8, 2), nn.GRUCell(8, 8), nn.Linear(8, 2)

            def forward(self, x):
                packed = nn.utils.rnn.pack_padded_sequence(x, [5, 3, 2])
                state = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0])[0]
                h = torch.zeros(3, 8)
                for s in state:
                    h = self.cell(s, h)
                return self.head(h)

        net = nothing_else(Net(), torch.randn(5, 3, 4))
        assert torch.equal(net.lstm.bias_ih_l1[8:16], torch.ones(8))
        gate = net.cell.weight_hh[:8].detach()
        assert torch.allclose(gate @ gate.T, torch.eye(8), atol=1e-5)

    def test_parameters_without_modules_are_found(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Parameter(torch.zeros(8, 64)), nn.Parameter(torch.zeros(64, 64))
                self.c, self.d = nn.Parameter(torch.zeros(64, 64)), nn.Parameter(torch.zeros(64, 4))

            def forward(self, x):
                h = torch.tanh(x @ self.a)
                h = torch.tanh(F.linear(h, self.b))
                h = torch.tanh((self.c @ h.T).T)
                return torch.addmm(torch.zeros(4), h, self.d)

        net, x = Net(), torch.randn(128, 8)
        nothing_else(net, x)
        assert (x @ net.a).std().item() == pytest.approx(1, abs=0.01)
        assert net(x).std().item() == pytest.approx(0.55, abs=0.01)
        assert torch.allclose(net.b @ net.b.T / (net.b @ net.b.T)[0, 0], torch.eye(64), atol=1e-4)

    def test_a_parameter_may_be_the_input_of_a_layer(self):
        class Queries(nn.Module):
            def __init__(self):
                super().__init__()
                self.queries, self.read = nn.Parameter(torch.randn(6, 16)), nn.Linear(16, 16)
                self.attention, self.head = nn.MultiheadAttention(16, 2), nn.Linear(16, 2)

            def forward(self, x):
                q = self.read(self.queries).unsqueeze(1).expand(-1, x.shape[1], -1)
                return self.head(self.attention(q, x, x)[0])

        net = Queries()
        before = snapshot(net)
        nothing_else(net, torch.randn(10, 8, 16))
        assert torch.equal(net.queries, before["queries"])
        assert net.read(net.queries).std(correction=0).item() == pytest.approx(1, abs=1e-3)

    def test_weights_that_are_not_followed_are_named(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Parameter(torch.randn(8, 8)), nn.Linear(8, 8)

            def forward(self, x):
                return F.linear(torch.einsum("bi,io->bo", x, self.a), self.b.weight / self.b.weight.std())

        net, x = Net(), torch.randn(32, 8)
        before = snapshot(net)
        net.head = nn.Linear(8, 2)
        net.forward = lambda x: net.head(Net.forward(net, x))
        with pytest.warns(
            UserWarning, match=r"`a` \(used by einsum\), `b.weight` \(used by the forward pass itself\)"
        ):
            init.model_(net, x)
        assert torch.equal(net.a, before["a"])
        assert torch.equal(net.b.weight, before["b.weight"])
        assert net(x).std() > 0.5

    def test_activations_of_your_own_are_seen(self):
        class Swish(nn.Module):
            def forward(self, x):
                return x * torch.sigmoid(1.5 * x)

        body = [m for _ in range(12) for m in (nn.Linear(32, 32), Swish())]
        net = init.model_(nn.Sequential(*body, nn.Linear(32, 4)), torch.randn(64, 32))
        assert torch.equal(net[0].weight[:16], -net[0].weight[16:])

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_other_dtypes_pass(self, dtype):
        net, x = nets.mlp(8, "gelu").to(dtype), torch.randn(128, 64, dtype=dtype)
        nothing_else(net, x)
        assert all(p.dtype == dtype for p in net.parameters())
        assert all(0.5 <= s <= 2 for s in outputs(net, x).values())

    @pytest.mark.parametrize("norm", ["parametrized", "older"])
    @pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
    def test_weight_norm_keeps_its_form(self, norm):
        wrap = parametrizations.weight_norm if norm == "parametrized" else nn.utils.weight_norm
        net = nn.Sequential(
            wrap(nn.Linear(16, 32)), nn.ReLU(), wrap(nn.Conv1d(1, 8, 3)), nn.Flatten(), nn.Linear(240, 4)
        )
        x = torch.randn(64, 16)

        def forward(x):
            return net[4](net[3](net[2](net[1](net[0](x)).unsqueeze(1))))

        net.forward = forward
        names = {n for n, _ in net.named_parameters()}
        init.model_(net, x)
        assert {n for n, _ in net.named_parameters()} == names
        assert net[0](x).std().item() == pytest.approx(1, abs=5e-3)
        assert forward(x).std().item() == pytest.approx(1, abs=5e-3)

    def test_a_spectral_norm_keeps_its_own_scale(self):
        net = nn.Sequential(parametrizations.spectral_norm(nn.Linear(16, 16)), nn.ReLU(), nn.Linear(16, 4))
        x = torch.randn(64, 16)
        init.model_(net, x)
        assert net(x).std().item() == pytest.approx(0.55, abs=0.05)

    def test_norms_start_at_one_and_end_branches_small(self):
        net, x = nets.resnet_norm(), torch.randn(32, 1, 8, 8)
        nothing_else(net, x)
        assert torch.equal(net[1].weight, torch.ones(8))
        assert net[3].bn2.weight[0].item() == pytest.approx(
            3**-0.5 * net[2](net[1](net[0](x))).square().mean().sqrt().item(), rel=0.05
        )
        assert torch.equal(net[3].bn1.weight, torch.ones(8))

    def test_frozen_weights_are_left_alone(self):
        net, x = nets.mlp(6, "relu"), torch.randn(64, 64)
        for p in net[:4].parameters():
            p.requires_grad_(False)
        before = snapshot(net)
        nothing_else(net, x)
        moved = {n for n, p in net.named_parameters() if not torch.equal(p, before[n])}
        assert moved == {n for n in before if int(n.split(".")[0]) >= 4}
        assert net[4](net[:4](x)).std().item() == pytest.approx(1, abs=1e-3)

    def test_a_generator_decides_the_draw(self):
        x = torch.randn(64, 64)
        a, b, c = (
            init.model_(nets.mlp(4, "relu"), x, generator=torch.Generator().manual_seed(seed))
            for seed in (1, 1, 2)
        )
        assert torch.equal(a[0].weight, b[0].weight)
        assert not torch.equal(a[0].weight, c[0].weight)

    def test_models_built_one_after_the_other_differ(self):
        x = torch.randn(64, 64)
        a, b = (init.model_(nets.mlp(3, "relu"), x) for _ in range(2))
        assert not torch.equal(a[0].weight, b[0].weight)

    def test_a_padding_row_stays_zero(self):
        net = nn.Sequential(nn.Embedding(10, 8, padding_idx=2), nn.Linear(8, 3))
        nothing_else(net, torch.randint(0, 10, (32, 5)))
        assert net[0].weight[2].abs().sum() == 0

    def test_dropout_is_off_while_it_looks(self):
        net = nn.Sequential(nn.Linear(64, 64), nn.Dropout(0.9), nn.ReLU(), nn.Linear(64, 4))
        x = torch.randn(256, 64)
        nothing_else(net, x)
        assert net.training
        assert net.eval()(x).std().item() == pytest.approx(0.55, abs=1e-3)

    def test_a_gradient_already_there_stays(self):
        net, x = nets.mlp(3, "relu"), torch.randn(8, 64)
        net(x).sum().backward()
        grad = net[0].weight.grad
        nothing_else(net, x)
        assert net[0].weight.grad is grad

    @pytest.mark.parametrize(
        ("target", "loss"),
        [
            (torch.randint(0, 2, (256,)) * 9, F.cross_entropy),
            (torch.rand(256, 10).lt(0.05).float(), F.binary_cross_entropy_with_logits),
            (torch.randn(256, 10) * 0.1 + 40, F.mse_loss),
        ],
        ids=["classes", "labels", "values"],
    )
    def test_the_output_bias_saves_the_first_steps(self, target, loss):
        x = torch.randn(256, 64)
        with_, without = (init.model_(nets.mlp(4, "relu"), x, target=t) for t in (target, None))
        assert loss(with_(x), target) < 0.6 * loss(without(x), target)
        assert with_(x).std(0).mean() > 0.3

    def test_a_picture_as_target_sets_the_mean(self):
        x = torch.randn(16, 1, 8, 8)
        net = init.model_(nets.UNet(8), x, target=x + 7)
        assert net(x).mean().item() == pytest.approx((x + 7).mean().item(), abs=0.01)

    def test_hand_written_gates_are_not_taken_for_branches(self):
        class Cell(nn.Module):
            def __init__(self):
                super().__init__()
                self.gates, self.head = nn.Linear(24, 64), nn.Linear(16, 2)

            def forward(self, x):
                h = c = torch.zeros(x.shape[1], 16)
                for step in x:
                    i, f, g, o = self.gates(torch.cat([step, h], 1)).chunk(4, 1)
                    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                    h = torch.sigmoid(o) * torch.tanh(c)
                return self.head(h)

        net, x = Cell(), torch.randn(10, 32, 8)
        nothing_else(net, x)
        assert net.gates(torch.cat([x[0], torch.zeros(32, 16)], 1)).std().item() == pytest.approx(1, abs=1e-3)


class TestRefusals:
    CASES = {  # noqa: RUF012
        "no parameters": (lambda: nn.ReLU(), "without parameters"),
        "meta": (lambda: nn.Linear(4, 2, device="meta"), "to_empty"),
        "lazy": (lambda: nn.LazyLinear(4), "no shape yet"),
        "frozen": (lambda: nn.Linear(4, 2).requires_grad_(False), "all 2 of Linear are"),
        "no layer": (lambda: nn.LayerNorm(4), "used no weight that could be seen"),
        "constant": (
            lambda: nn.Sequential(nn.Linear(4, 8), nn.Threshold(1e9, 0.0), nn.Linear(8, 2)),
            "Layer `2` gives",
        ),
        "not finite": (
            lambda: nn.Sequential(nn.Linear(4, 8), Log(), nn.Linear(8, 2)),
            "Layer `2` gives values that",
        ),
    }

    @pytest.mark.parametrize("name", CASES)
    @pytest.mark.parametrize("call", [init.model_, init.unit_variance_])
    def test_say_what_is_wrong_and_leave_the_model_untouched(self, name, call):
        make, sentence = self.CASES[name]
        model = make()
        before = None if name in {"meta", "lazy"} else snapshot(model)
        if name == "constant" and call is init.unit_variance_:
            model[2].weight.data.zero_()
            before = snapshot(model)
        x, state = torch.randn(16, 4), torch.get_rng_state()
        with pytest.raises(ValueError, match=sentence):
            call(model, x)
        assert before is None or same(model, before)
        assert torch.equal(torch.get_rng_state(), state)
        assert all(m.training for m in model.modules())

    def test_an_error_of_the_model_leaves_it_untouched(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.calls = nn.Linear(4, 4), 0
                self.register_buffer("seen", torch.zeros(()))

            def forward(self, x):
                self.calls += 1
                self.seen += 1
                y = self.a(x)
                if self.calls == 2:
                    raise RuntimeError("mine")
                return y

        model = Net()
        before = snapshot(model)
        with pytest.raises(RuntimeError, match="mine"):
            init.model_(model, torch.randn(8, 4))
        assert same(model, before)

    @pytest.mark.parametrize(
        ("model", "target", "sentence"),
        [
            (nn.Linear(4, 2, bias=False), torch.tensor([0, 1] * 4), "without a bias"),
            (nn.Linear(4, 2), torch.tensor([0, 7] * 4), "class ids up to 7"),
            (nn.LSTM(4, 2), torch.tensor([0, 1] * 4), "found 0 output layers"),
        ],
    )
    def test_a_target_that_does_not_fit_is_refused(self, model, target, sentence):
        before = snapshot(model)
        with pytest.raises(ValueError, match=sentence):
            init.model_(model, torch.randn(8, 4), target=target)
        assert same(model, before)

    def test_fixup_needs_branches(self):
        with pytest.raises(ValueError, match="found no branch"):
            init.fixup_(nets.mlp(3, "relu"), torch.randn(8, 64))


class Log(nn.Module):
    def forward(self, x):
        return torch.log(x)


class TestResidual:
    def net(self):
        blocks = [
            nets.Sum(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16))
            for _ in range(16)
        ]
        return nn.Sequential(nn.Linear(4, 16), *blocks, nn.Linear(16, 2))

    def test_fixup_is_its_rule(self):
        net = init.fixup_(self.net(), torch.randn(8, 4))
        first, second, last = (net[3].branch[i].weight.detach() for i in (0, 2, 4))
        assert last.abs().sum() == net[-1].weight.abs().sum() == 0
        he = math.sqrt(2 / 16)
        assert first.square().mean().sqrt().item() == pytest.approx(he * 16 ** (-1 / 4), rel=1e-3)
        assert second.square().mean().sqrt().item() == pytest.approx(he * 16 ** (-1 / 4), rel=1e-3)
        assert net[0].weight.square().mean().sqrt().item() == pytest.approx(math.sqrt(2 / 4), rel=1e-3)

    def test_skip_init_starts_as_the_identity_and_learns(self):
        block, x = init.SkipInit(nn.Linear(4, 4)), torch.randn(8, 4)
        y = x + block(x)
        y.square().sum().backward()
        assert torch.equal(y, x)
        assert block.scale.grad.abs() > 0

    @settings(max_examples=15)
    @given(st.integers(1, 60), st.integers(0, 99))
    def test_a_stream_doubles_its_variance_however_many_branches(self, blocks, seed):
        torch.manual_seed(seed)
        body = [nets.Sum(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(blocks)]
        net, x = nn.Sequential(nn.Linear(32, 64), *body), torch.randn(64, 32)
        init.model_(net, x)
        assert net(x).var().item() == pytest.approx(2, abs=0.7)


class TestLoadMatching:
    def old(self):
        return nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.Linear(64, 10))

    @pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "model."])
    def test_wrappers_names_are_passed_over(self, prefix):
        new, old = self.old(), self.old()
        report = init.load_matching_(new, {prefix + n: t for n, t in old.state_dict().items()})
        assert report.share == 1
        assert all(
            torch.equal(a, b)
            for a, b in zip(new.state_dict().values(), old.state_dict().values(), strict=True)
        )

    def test_a_wrapped_model_takes_plain_names(self):
        new, old = nn.ModuleDict({"net": self.old()}), self.old()
        assert init.load_matching_(new, old.state_dict()).share == 1

    def test_what_does_not_match_is_named_and_counted(self):
        new = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.Linear(64, 3), nn.Linear(3, 3))
        state = self.old().state_dict() | {"extra": torch.zeros(2)}
        report = init.load_matching_(new, state, least=0.5)
        total = sum(p.numel() for p in new.parameters())
        assert report.share == pytest.approx((8 * 64 + 64 + 128) / total)
        assert report.missing == ("3.weight", "3.bias")
        assert report.unexpected == ("extra",)
        assert report.reshaped["2.weight"] == ((3, 64), (10, 64))
        assert "Not in the model: extra." in str(report)

    def test_below_the_stated_share_nothing_is_loaded(self):
        new, old = self.old(), self.old().state_dict()
        del old["0.weight"]
        before = snapshot(new)
        with pytest.raises(ValueError, match=r"at least 90\.0%; nothing loaded"):
            init.load_matching_(new, old)
        assert same(new, before)

    @pytest.mark.parametrize("suffix", ["pt", "safetensors"])
    def test_files_are_read(self, tmp_path, suffix):
        new, old, path = self.old(), self.old(), tmp_path / f"weights.{suffix}"
        if suffix == "pt":
            torch.save({"epoch": 3, "state_dict": old.state_dict()}, path)
        else:
            save_file(old.state_dict(), path)
        assert init.load_matching_(new, path).share == 1
        assert torch.equal(new[0].weight, old[0].weight)

    def test_a_pickle_that_would_run_code_is_not_opened(self, tmp_path):
        flag = tmp_path / "ran"

        class Evil:
            def __reduce__(self):
                return (Path.touch, (flag,))

        torch.save({"weight": Evil()}, tmp_path / "evil.pt")
        with pytest.raises(ValueError, match="holds more than tensors"):
            init.load_matching_(nn.Linear(2, 2), tmp_path / "evil.pt")
        assert not flag.exists()

    def test_a_file_without_weights_is_refused(self, tmp_path):
        torch.save({"epoch": 3}, tmp_path / "x.pt")
        with pytest.raises(ValueError, match="holds no state dict"):
            init.load_matching_(nn.Linear(2, 2), tmp_path / "x.pt")

    @pytest.mark.parametrize(
        ("state", "options", "sentence"),
        [
            (
                {"weight": torch.full((2, 2), float("nan")), "bias": torch.zeros(2)},
                {},
                "not finite for weight",
            ),
            ({"weight": torch.zeros(2, 2), "module.weight": torch.zeros(2, 2)}, {}, "are both `weight`"),
            ({}, {"least": 0.0001}, "0.0% of the model's"),
            ({}, {"least": 2}, "least=2"),
        ],
    )
    def test_what_cannot_be_loaded_is_refused(self, state, options, sentence):
        model = nn.Linear(2, 2)
        before = snapshot(model)
        with pytest.raises(ValueError, match=sentence):
            init.load_matching_(model, state, **options)
        assert same(model, before)

    def test_the_models_dtype_stays(self):
        model = nn.Linear(2, 2).to(torch.bfloat16)
        init.load_matching_(model, nn.Linear(2, 2).state_dict())
        assert model.weight.dtype == torch.bfloat16


def test_the_gain_of_an_activation_is_what_unit_variance_finds():
    for f in (nn.ReLU(), nn.GELU(), nn.Tanh()):
        net = nn.Sequential(nn.Linear(256, 256), copy.deepcopy(f), nn.Linear(256, 256))
        x = torch.randn(1024, 256)
        init.orthogonal_(net[0]), init.orthogonal_(net[2])
        init.unit_variance_(net, x)
        rows = net[2].weight.norm(dim=1).mean().item()
        assert rows == pytest.approx(activation.gain(f), rel=0.03)
