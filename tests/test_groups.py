"""Who decays, who learns how fast, who is forgotten, and who is frozen."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from trainwright import groups


class RootMeanSquare(nn.Module):
    """A norm of another library, known by nothing but its shape."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x / x.square().mean(-1, keepdim=True).sqrt() * self.weight


class Everything(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.bag = nn.EmbeddingBag(11, 8)
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 8))
        self.class_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.relative_position_bias_table = nn.Parameter(torch.zeros(9, 2))
        self.norms = nn.ModuleList(
            [
                nn.BatchNorm2d(8),
                nn.SyncBatchNorm(8),
                nn.InstanceNorm1d(8, affine=True),
                nn.LayerNorm((4, 8)),
                nn.GroupNorm(2, 8),
            ]
        )
        self.norms.extend([nn.RMSNorm(8), RootMeanSquare(8)])
        self.layer_scale = nn.Parameter(torch.ones(8, 1, 1))
        self.gamma = nn.Parameter(torch.ones(1, 8))
        self.fixup = nn.Parameter(torch.zeros(1))
        self.prelu = nn.PReLU(8)
        self.linear = nn.Linear(8, 1)
        self.conv = nn.Conv2d(8, 8, 1, groups=8)
        self.up = nn.ConvTranspose1d(8, 8, 3)
        self.lstm = nn.LSTM(8, 4, bidirectional=True, proj_size=2)
        self.cell = nn.GRUCell(8, 4)
        self.attention = nn.MultiheadAttention(8, 2, add_bias_kv=True)
        self.normed = parametrizations.weight_norm(nn.Linear(8, 8))
        self.orthogonal = parametrizations.orthogonal(nn.Linear(8, 8))
        self.own = nn.Parameter(torch.zeros(8, 3))
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight


DECAYED = {
    "linear.weight",
    "conv.weight",
    "up.weight",
    *(f"lstm.weight_{kind}_l0{way}" for kind in ("ih", "hh", "hr") for way in ("", "_reverse")),
    "cell.weight_ih",
    "cell.weight_hh",
    "attention.in_proj_weight",
    "attention.out_proj.weight",
    "normed.parametrizations.weight.original0",
    "orthogonal.parametrizations.weight.original",
    "own",
}


def of(model, found):
    names = {p: name for name, p in model.named_parameters()}
    return {group["weight_decay"]: {names[p] for p in group["params"]} for group in found}


class TestDecayGroups:
    def test_weights_decay_and_nothing_else(self):
        model = Everything()
        found = of(model, groups.decay_groups(model, 0.1))
        assert found[0.1] == DECAYED
        assert found[0.0] == {name for name, _ in model.named_parameters()} - DECAYED

    def test_each_trainable_parameter_comes_once(self):
        model = Everything()
        model.linear.requires_grad_(False)
        every = [p for group in groups.decay_groups(model, 0.1) for p in group["params"]]
        assert len(every) == len(set(every)) == len([p for p in model.parameters() if p.requires_grad])
        torch.optim.AdamW(every)

    def test_roles_say_why(self):
        role = groups.roles(Everything())
        assert {role[f"norms.{i}.weight"] for i in range(6)} == {"norm"}
        assert role["norms.6.weight"] == role["gamma"] == role["fixup"] == role["prelu.weight"] == "scale"
        assert role["embed.weight"] == role["pos_embed"] == role["class_token"] == "embedding"
        assert (
            role["attention.bias_k"] == role["relative_position_bias_table"] == role["linear.bias"] == "bias"
        )
        assert role["normed.parametrizations.weight.original1"] == "scale"
        assert set(role) == {name for name, _ in Everything().named_parameters()}

    def test_decay_of_a_weight_norms_length_is_decay_of_its_weight(self):
        torch.manual_seed(0)
        layer = parametrizations.weight_norm(nn.Linear(3, 4))
        before = layer.weight.detach().clone()
        sgd = torch.optim.SGD(groups.decay_groups(layer, 0.5), lr=0.1)
        for p in layer.parameters():
            p.grad = torch.zeros_like(p)
        sgd.step()
        assert torch.allclose(layer.weight, 0.95 * before)

    @pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
    def test_the_old_weight_norm_is_known_too(self):
        layer = nn.utils.weight_norm(nn.Linear(3, 4))
        assert groups.roles(layer) == {"bias": "bias", "weight_g": "weight", "weight_v": "scale"}

    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    def test_a_compiled_model_has_the_same_groups(self):
        model = Everything()
        one, other = (groups.decay_groups(m, 0.1) for m in (model, torch.compile(model)))
        assert all(
            p is q
            for a, b in zip(one, other, strict=True)
            for p, q in zip(a["params"], b["params"], strict=True)
        )

    def test_they_decay_as_by_hand(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 1))
        twin = copy.deepcopy(model)
        adam = torch.optim.AdamW(groups.decay_groups(model, 0.1), lr=0.01)
        plain = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.0)
        for _ in range(3):
            for net, optimizer in ((model, adam), (twin, plain)):
                optimizer.zero_grad()
                net(torch.ones(2, 4)).square().sum().backward()
                if optimizer is plain:
                    with torch.no_grad():
                        for layer in (twin[0], twin[2]):
                            layer.weight.mul_(1 - 0.01 * 0.1)
                optimizer.step()
        assert all(torch.allclose(p, q) for p, q in zip(model.parameters(), twin.parameters(), strict=True))

    def test_meta_models_have_groups(self):
        with torch.device("meta"):
            assert len(groups.decay_groups(nn.Linear(2, 2), 0.1)) == 2

    def test_a_group_without_parameters_is_left_out(self):
        assert [g["weight_decay"] for g in groups.decay_groups(nn.LayerNorm(3), 0.1)] == [0.0]
        assert [g["weight_decay"] for g in groups.decay_groups(nn.Linear(3, 3, bias=False), 0.1)] == [0.1]

    def test_what_cannot_be_grouped_is_refused(self):
        flat = nn.Module()
        flat._flat_param = nn.Parameter(torch.zeros(9))
        frozen = nn.Linear(2, 2).requires_grad_(False)
        for model, decay, said in [
            (nn.Linear(2, 2), -0.1, "weight_decay=-0.1"),
            (nn.Linear(2, 2), math.nan, "weight_decay=nan"),
            (frozen, 0.1, "all 2 parameters are frozen"),
            (nn.ReLU(), 0.1, "it has no parameters"),
            (flat, 0.1, "use_orig_params=True"),
            (nn.Sequential(nn.LazyLinear(2)), 0.1, "`0` is lazy"),
        ]:
            with pytest.raises(ValueError, match=said):
                groups.decay_groups(model, decay)


class Classifier(nn.Module):
    """As in libraries of pre-trained models: a body with a stem, blocks and an end, and a head registered first."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)
        self.body = nn.Module()
        self.body.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.body.stem = nn.Linear(4, 4)
        self.body.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)) for _ in range(3)
        )
        self.body.norm = nn.LayerNorm(4)

    def forward(self, x):
        x = self.body.stem(x) + self.body.token[0]
        for block in self.body.blocks:
            x = x + block(x)
        return self.head(self.body.norm(x))


class TestLayerRates:
    @given(st.floats(1e-4, 1), st.floats(0.1, 1), st.integers(2, 6))
    def test_the_rate_falls_by_the_factor_from_part_to_part(self, lr, factor, depth):
        model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(depth)))
        found = groups.layer_rates(model, lr, factor, 0.1)
        assert [g["lr"] for g in found[::2]] == pytest.approx(
            [lr * factor ** (depth - 1 - k) for k in range(depth)]
        )
        assert [g["weight_decay"] for g in found] == [0.1, 0.0] * depth
        assert [g["params"][0] for g in found[::2]] == [layer.weight for layer in model]

    def test_parts_are_in_the_order_of_the_forward_pass_where_a_batch_is_given(self):
        model = Classifier().train()
        names = {m: name for name, m in model.named_modules()}
        layers = [f"body.blocks.{k}.{i}" for k in range(3) for i in (0, 2)]
        assert [names[m] for m in groups.parts(model)] == ["head", "body.stem", *layers, "body.norm"]
        state = torch.get_rng_state()
        order = groups.parts(model, torch.ones(1, 4))
        assert [names[m] for m in order] == ["body.stem", *layers, "body.norm", "head"]
        assert torch.equal(torch.get_rng_state(), state)
        assert model.training
        rates = {p: g["lr"] for g in groups.layer_rates(model, 1.0, 0.5, order=order) for p in g["params"]}
        assert rates[model.head.weight] == 1
        assert rates[model.body.token] == rates[model.body.stem.weight] == 0.5**8
        assert len(rates) == len(list(model.parameters()))

    def test_blocks_stay_whole_and_wrappers_are_opened(self):
        encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)
        model = nn.Sequential(nn.Embedding(9, 8), encoder, nn.Linear(8, 2))
        kinds = [type(m).__name__ for m in groups.parts(nn.DataParallel(model))]
        assert kinds == ["Embedding", *["TransformerEncoderLayer"] * 3, "Linear"]

    def test_a_shared_parameter_learns_as_the_part_that_has_it_first(self):
        model = nn.Sequential(nn.Embedding(4, 4), nn.Linear(4, 4), nn.Linear(4, 4, bias=False))
        model[2].weight = model[0].weight
        rates = {p: g["lr"] for g in groups.layer_rates(model, 1.0, 0.5) for p in g["params"]}
        assert rates[model[0].weight] == 0.25

    def test_what_makes_no_sense_is_refused(self):
        model = nn.Linear(2, 2)
        for arguments, said in [
            ((0.0, 0.5), "lr=0.0"),
            ((math.inf, 0.5), "lr=inf"),
            ((0.1, 0.0), "factor=0.0"),
            ((0.1, 1.5), "factor=1.5"),
            ((0.1, 0.5, -1.0), "weight_decay=-1.0"),
        ]:
            with pytest.raises(ValueError, match=said):
                groups.layer_rates(model, *arguments)
        with pytest.raises(ValueError, match="empty `order`"):
            groups.layer_rates(model, 0.1, 0.5, order=[])


def test_parameters_that_no_optimiser_has_are_named():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[2].requires_grad_(False)
    sgd = torch.optim.SGD([model[0].weight], lr=0.1)
    assert groups.missing(model, sgd) == ["0.bias", "1.weight", "1.bias"]
    assert groups.missing(model, sgd, torch.optim.Adam([model[0].bias, *model[1].parameters()])) == []


class TestFreeze:
    def test_a_frozen_part_stays_bit_for_bit_and_gives_the_same_whatever_train_says(self):
        torch.manual_seed(0)
        body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        model = nn.Sequential(body, nn.Linear(4, 1))
        adam = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
        x = torch.randn(8, 3)
        model(x).sum().backward()  # gradients from before
        assert groups.freeze_(body) is body
        state, expected = copy.deepcopy(body.state_dict()), body(x)
        for _ in range(3):
            model.train()
            adam.zero_grad(set_to_none=False)
            assert torch.equal(body(x), expected)
            model(x).sum().backward()
            adam.step()
        assert all(torch.equal(v, state[k]) for k, v in body.state_dict().items())
        assert model[1].weight.grad is not None

    def test_only_what_trains_is_grouped_and_a_thawed_part_is_missing(self):
        model = nn.Sequential(groups.freeze_(nn.Linear(3, 4)), nn.Linear(4, 1))
        sgd = torch.optim.SGD(groups.decay_groups(model, 0.1), lr=0.1)
        assert groups.missing(model, sgd) == []
        groups.thaw_(model[0])
        assert groups.missing(model, sgd) == ["0.weight", "0.bias"]

    def test_thawing_lets_train_through_again(self):
        model = groups.thaw_(groups.freeze_(nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5)))).train()
        model(torch.randn(9, 3))
        assert model[0].num_batches_tracked == 1
        assert all(m.training for m in model)
        assert not any(m._forward_pre_hooks for m in model.modules())

    def test_integers_are_not_asked_to_have_gradients(self):
        module = nn.Module()
        module.codes = nn.Parameter(torch.zeros(3, dtype=torch.int8), requires_grad=False)
        groups.thaw_(groups.freeze_(module))
        assert not module.codes.requires_grad


def test_other_parametrisations_keep_the_role_of_what_they_make():
    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    layer = nn.Linear(2, 2)
    parametrize.register_parametrization(layer, "weight", Double())
    parametrize.register_parametrization(layer, "bias", Double())
    assert groups.roles(nn.Sequential(layer)) == {
        "0.parametrizations.weight.original": "weight",
        "0.parametrizations.bias.original": "bias",
    }
