"""Norms at the right places, statistics that are those of the data, and statistics that stay."""

import copy
import io
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from trainwright import norm
from trainwright.activation.curve import ELEMENTWISE


class Plain(nn.Module):
    """Residual blocks without norms, registered in an order that is not that of the forward pass."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 3)
        self.last = nn.Conv2d(8, 8, 3, padding=1)
        self.act = nn.ReLU()
        self.middle = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.stem = nn.Conv2d(3, 8, 3)
        self.squeeze, self.excite = nn.Linear(8, 4), nn.Linear(4, 8)

    def forward(self, x):
        x = self.act(self.stem(x))
        y = self.last(F.relu(self.middle(x)))
        gate = torch.sigmoid(self.excite(self.squeeze(y.mean((2, 3))).relu()))
        x = F.relu_(x + y * gate[:, :, None, None])
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def inserted(model):
    return {
        name.removesuffix(".1"): m for name, m in model.named_modules() if isinstance(m, norm.insert.NORMS)
    }


def images(n=4):
    return torch.randn(n, 3, 8, 8)


class TestInsert:
    def test_norms_stand_between_layers_and_activations_gates_and_output_left_out(self):
        model = Plain()
        assert norm.insert_(model, "batch", images()) is model
        assert {name: m.num_features for name, m in inserted(model).items()} == {
            "last": 8,
            "stem": 8,
            "middle": 8,
            "squeeze": 4,
        }
        assert isinstance(inserted(model)["squeeze"], nn.BatchNorm1d)

    def test_a_residual_sum_lies_between_a_layer_and_its_activation(self):
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.short = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 1), nn.Conv2d(3, 6, 3)
                self.head = nn.Linear(6, 2)

            def forward(self, x):
                y = self.b(F.gelu(self.a(x)))
                return self.head(F.gelu(y + self.short(x)).mean((2, 3)))

        assert set(inserted(norm.insert_(Block(), "group", images()))) == {"a", "b", "short"}

    def test_the_input_of_each_activation_is_normalised(self):
        torch.manual_seed(0)
        layers = [m for _ in range(4) for m in (nn.Linear(16, 16), nn.Dropout(0.5), nn.Tanh())]
        model = norm.insert_(
            nn.Sequential(nn.Linear(5, 16), nn.Tanh(), *layers, nn.Linear(16, 2)), "batch", torch.randn(8, 5)
        )
        seen = []
        for m in inserted(model).values():
            m.register_forward_hook(lambda _, args, y: seen.append(y))
        model.train()(torch.randn(512, 5) * 30)
        assert len(seen) == 5
        for y in seen:  # the variance is 1, so the division was by its square root
            assert torch.allclose(y.var(0, correction=0), torch.ones(16), atol=1e-3)
            assert torch.allclose(y.mean(0), torch.zeros(16), atol=1e-5)

    def test_training_takes_the_batch_and_testing_the_population(self):
        torch.manual_seed(0)
        model = norm.insert_(
            nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), "batch", torch.randn(8, 4)
        )
        x, other = torch.randn(32, 4), torch.randn(32, 4) * 5 + 3
        assert not torch.allclose(model.train()(torch.cat([x, other]))[:32], model(x))
        model.eval()
        assert torch.allclose(model(torch.cat([x, other]))[:32], model(x), atol=1e-5)

    @pytest.mark.parametrize(
        ("layer", "x", "kind", "expected"),
        [
            (nn.Linear(4, 48), torch.randn(2, 4), "group", "GroupNorm(16, 48"),
            (nn.Linear(4, 2), torch.randn(2, 4), "group", "GroupNorm(1, 2"),
            (nn.Linear(4, 6), torch.randn(2, 7, 4), "layer", "LayerNorm((6,)"),
            (nn.Conv1d(4, 6, 1), torch.randn(2, 4, 9), "batch", "BatchNorm1d(6"),
            (nn.Conv1d(4, 6, 1), torch.randn(2, 4, 9), "layer", "GroupNorm(1, 6"),
            (nn.Conv2d(4, 7, 1), torch.randn(2, 4, 3, 3), "group", "GroupNorm(1, 7"),
            (nn.ConvTranspose2d(4, 6, 3), torch.randn(2, 4, 3, 3), "batch", "BatchNorm2d(6"),
            (nn.ConvTranspose3d(4, 6, 3), torch.randn(2, 4, 3, 3, 3), "instance", "InstanceNorm3d(6"),
        ],
        ids=str,
    )
    def test_the_norm_fits_the_layer(self, layer, x, kind, expected):
        model = norm.insert_(nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.LazyLinear(1)).eval(), kind, x)
        assert str(model[0][1]).startswith(expected)
        assert not model[0][1].training
        assert model[0][0] is layer

    def test_dtype_and_device_are_those_of_the_layer(self):
        with torch.device("meta"):
            model = nn.Sequential(
                nn.Linear(4, 6, dtype=torch.bfloat16), nn.SiLU(), nn.Linear(6, 2, dtype=torch.bfloat16)
            )
            norm.insert_(model, "layer", torch.randn(2, 4, dtype=torch.bfloat16))
        assert model[0][1].weight.is_meta
        assert model[0][1].weight.dtype == torch.bfloat16

    def test_a_swish_by_hand_is_no_gate(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.up, self.down = nn.Linear(3, 5), nn.Linear(5, 2)

            def forward(self, x):
                x = self.up(x)
                return self.down(x * torch.sigmoid(x))

        assert set(inserted(norm.insert_(Net(), "layer", torch.randn(2, 3)))) == {"up"}

    def test_sigmoid_layers_in_a_row_are_no_gates(self):
        model = nn.Sequential(
            nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 2), nn.Sigmoid()
        )
        assert set(inserted(norm.insert_(model, "batch", torch.randn(2, 3)))) == {"0", "2"}

    @pytest.mark.parametrize("kind", ELEMENTWISE, ids=lambda kind: kind.__name__)
    def test_all_of_torchs_activations_are_seen(self, kind):
        act = kind(0.1, 0.2) if kind is nn.Threshold else kind()
        model = nn.Sequential(nn.Linear(3, 4), act, nn.Linear(4, 2))
        assert set(inserted(norm.insert_(model, "layer", torch.randn(2, 3)))) == {"0"}

    def test_an_activation_of_ones_own_is_seen(self):
        class Squared(nn.Module):
            def forward(self, x):
                return x.clamp(min=0).square()

        model = nn.Sequential(nn.Linear(3, 4), Squared(), nn.Linear(4, 2))
        assert set(inserted(norm.insert_(model, "layer", torch.randn(2, 3)))) == {"0"}

    def test_a_u_net_is_followed_through_its_concatenations(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.out, self.mix = nn.Conv2d(8, 2, 1), nn.Conv2d(16, 8, 3, padding=1)
                self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
                self.down, self.first = (
                    nn.Conv2d(8, 16, 3, stride=2, padding=1),
                    nn.Conv2d(3, 8, 3, padding=1),
                )

            def forward(self, x):
                x = F.leaky_relu(self.first(x))
                y = F.leaky_relu(torch.cat([self.up(F.leaky_relu(self.down(x))), x], 1))
                return self.out(F.leaky_relu(self.mix(y)))

        found = inserted(norm.insert_(Net(), "batch", images()))
        assert {name: m.num_features for name, m in found.items()} == {
            "mix": 8,
            "up": 8,
            "down": 16,
            "first": 8,
        }

    def test_several_outputs_in_a_dictionary_are_outputs(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.encode, self.decode, self.other = nn.Linear(4, 3), nn.Linear(3, 4), nn.Linear(3, 2)

            def forward(self, x):
                z = self.encode(x).relu()
                return {"picture": self.decode(z).sigmoid(), "others": [self.other(z)]}

        assert set(inserted(norm.insert_(Net(), "layer", torch.randn(2, 4)))) == {"encode"}

    def test_a_cell_of_gates_is_refused(self):
        class Cell(nn.Module):
            def __init__(self):
                super().__init__()
                self.x, self.h, self.out = nn.Linear(3, 16), nn.Linear(4, 16), nn.Linear(4, 2)

            def forward(self, x):
                h = c = torch.zeros(len(x), 4)
                for _ in range(3):
                    i, f, g, o = (self.x(x) + self.h(h)).chunk(4, 1)
                    c = c * f.sigmoid() + i.sigmoid() * g.tanh()
                    h = o.sigmoid() * c.tanh()
                return self.out(h)

        with pytest.raises(ValueError, match="`x` is a gate, `h` is a gate, `out` gives the output"):
            norm.insert_(Cell(), "layer", torch.randn(2, 3))

    def test_attention_is_left_alone(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.q, self.k, self.v, self.out = (nn.Linear(4, 4) for _ in range(4))
                self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)
                self.head = nn.Linear(4, 2)

            def forward(self, x):
                x = x + self.out(F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x)))
                return self.head(x + self.down(F.gelu(self.up(x))))

        assert set(inserted(norm.insert_(Net(), "layer", torch.randn(2, 3, 4)))) == {"up"}

    def test_inserting_draws_no_random_number_and_moves_no_mode(self):
        model = Plain().train()
        x, state = images(), torch.get_rng_state()
        norm.insert_(model, "batch", x)
        assert torch.equal(torch.get_rng_state(), state)
        assert all(m.training for m in model.modules())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())

    @pytest.mark.parametrize(
        ("model", "batch", "kind", "said"),
        [
            (
                nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.ReLU()),
                (torch.ones(2, 2),),
                "batch",
                r"norms already: `1`",
            ),
            (nn.Sequential(nn.Linear(2, 3), nn.ReLU()), (torch.ones(2, 2),), "batch", "`0` gives the output"),
            (
                nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1)),
                (torch.ones(2, 2),),
                "batch",
                "`0` meets no activation",
            ),
            (nn.Flatten(), (torch.ones(2, 2),), "batch", "No linear or convolution layer ran"),
            (
                nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)),
                (torch.ones(2, 5, 2),),
                "batch",
                "last axis",
            ),
            (
                nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)),
                (torch.ones(2, 2),),
                "instance",
                "linear layer",
            ),
            (
                nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 1, 1)),
                (torch.ones(2, 2, 1, 1),),
                "instance",
                "make 0",
            ),
            (
                nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 1, 1)),
                (torch.ones(2, 4, 4),),
                "batch",
                "without a batch",
            ),
            (
                nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)),
                (torch.ones(2, 2),),
                "bacth",
                "kind='bacth'",
            ),
            (nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), (), "batch", "no batch"),
        ],
        ids=lambda v: str(v)[:24],
    )
    def test_a_refusal_leaves_the_model_as_it_was(self, model, batch, kind, said):
        before = repr(model)
        with pytest.raises(ValueError, match=said):
            norm.insert_(model, kind, *batch)
        assert repr(model) == before

    def test_a_layer_that_runs_twice_is_refused_batch_norm(self):
        layer = nn.Linear(4, 4)
        model = nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(4, 1))
        with pytest.raises(ValueError, match="`0` runs 2 times"):
            norm.insert_(model, "batch", torch.randn(2, 4))
        norm.insert_(model, "layer", torch.randn(2, 4))
        assert model[0] is model[2]

    def test_a_model_that_reads_weights_itself_is_left_as_it_was(self):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.up, self.down = nn.Linear(3, 5), nn.Linear(5, 2)

            def forward(self, x):
                return self.down(F.relu(self.up(x))) + self.up.weight.sum()

        model = Net()
        with pytest.raises(ValueError, match=r"cannot run with norms .*AttributeError"):
            norm.insert_(model, "layer", torch.randn(2, 3))
        assert isinstance(model.up, nn.Linear)

    def test_a_large_model_takes_milliseconds(self):
        x, times = torch.randn(2, 8), []
        for _ in range(3):  # a collection of garbage may fall into one
            model = nn.Sequential(
                *(m for _ in range(150) for m in (nn.Linear(8, 8), nn.ReLU())), nn.Linear(8, 2)
            )
            start = time.thread_time()
            norm.insert_(model, "batch", x)
            times.append(time.thread_time() - start)
        assert min(times) < 0.1  # some 30 ms: see bench/toolkit/speed.py
        assert len(inserted(model)) == 150


def slow_way(model, x, parts):
    """What reaches each batch norm, kept whole."""
    seen = {m: [] for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    hooks = [m.register_forward_pre_hook(lambda m, args: seen[m].append(args[0])) for m in seen]
    model = model.eval()
    for m in seen:
        m.train()
    with torch.no_grad():
        for part in x.split(parts):
            model(part)
    for hook in hooks:
        hook.remove()
    whole = {m: torch.cat(inputs).transpose(0, 1).flatten(1).double() for m, inputs in seen.items()}
    return [(w.mean(1), w.var(1)) for w in whole.values()]


def convolutions():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(216, 4),
        nn.BatchNorm1d(4),
    )


class TestReestimate:
    @given(st.lists(st.integers(2, 9), min_size=1, max_size=5), st.floats(-1e3, 1e3), st.integers(0, 99))
    @settings(max_examples=15)
    def test_it_is_the_obvious_slow_way_for_batches_of_any_size(self, sizes, mean, seed):
        torch.manual_seed(seed)
        model, x = convolutions(), torch.randn(sum(sizes), 3, 8, 8) + mean
        expected = slow_way(copy.deepcopy(model), x, sizes)
        assert norm.reestimate_(model, x.split(sizes)) is model
        for m, (mean_, var) in zip((model[1], model[6]), expected, strict=True):
            assert torch.allclose(m.running_mean.double(), mean_, rtol=1e-4, atol=1e-4)
            assert torch.allclose(m.running_var.double(), var, rtol=1e-4, atol=1e-4)

    def test_it_is_exact_where_torchs_update_bn_is_not(self):
        torch.manual_seed(0)
        x = torch.randn(1000, 2) * torch.linspace(1, 3, 1000)[:, None] + torch.linspace(0, 9, 1000)[:, None]
        batches = list(x.split(300))  # the means of the batches differ, and the last one is short
        ours, torchs = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
        norm.reestimate_(ours, batches)
        update_bn(batches, torchs)
        assert torch.allclose(ours.running_var, x.var(0), rtol=1e-5)
        assert torch.allclose(ours.running_mean, x.mean(0), rtol=1e-5)
        assert not torch.allclose(torchs.running_var, x.var(0), rtol=0.2)
        assert not torch.allclose(torchs.running_mean, x.mean(0), rtol=0.05)

    def test_testing_then_agrees_with_training_on_the_whole(self):
        torch.manual_seed(0)
        model, x = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)), torch.randn(256, 4) * 4 + 2
        norm.reestimate_(model, x.split(32))
        assert torch.allclose(model.eval()(x), model.train()(x), atol=0.02)

    def test_only_the_statistics_change(self):
        model = convolutions().train()
        model[3].eval()
        state, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
        random = torch.get_rng_state()
        norm.reestimate_(model, [torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))])
        changed = {k for k, v in model.state_dict().items() if not torch.equal(v, state[k])}
        assert changed == {"1.running_mean", "1.running_var", "6.running_mean", "6.running_var"}
        assert [m.training for m in model.modules()] == modes
        assert torch.equal(torch.get_rng_state(), random)

    def test_batches_are_called_as_loaders_give_them(self):
        x = torch.randn(8, 2)
        expected = norm.reestimate_(nn.BatchNorm1d(2), [x]).state_dict()
        for batch, call in [
            ((x, 0), None),
            ([x], None),
            ({"input": x}, None),
            ((0, x), lambda m, b: m(b[1])),
        ]:
            found = norm.reestimate_(nn.BatchNorm1d(2), [batch], call=call).state_dict()
            assert all(torch.equal(found[k], expected[k]) for k in expected)

    @pytest.mark.parametrize(
        ("batches", "said"),
        [
            ([], "saw no values"),
            ([torch.randn(4, 3, 8, 8), torch.full((4, 3, 8, 8), torch.nan)], "`1` is not finite"),
            ([torch.randn(4, 3, 8, 8), torch.randn(1, 3, 8, 8)], r"`6` got one value a channel .*\(1, 4\)"),
        ],
    )
    def test_a_refusal_leaves_the_statistics_as_they_were(self, batches, said):
        model = convolutions()
        state = copy.deepcopy(model.state_dict())
        with pytest.raises(ValueError, match=said):
            norm.reestimate_(model, batches)
        assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
        assert not any(m._forward_pre_hooks for m in model.modules())

    def test_a_model_without_statistics_is_refused_and_frozen_ones_stay(self):
        for model in (
            nn.Linear(2, 2),
            nn.BatchNorm1d(2, track_running_stats=False),
            norm.freeze_(nn.BatchNorm1d(2)),
        ):
            with pytest.raises(ValueError, match="no batch norm with population statistics"):
                norm.reestimate_(model, [torch.randn(4, 2)])

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
    def test_other_dtypes_have_their_statistics_too(self, dtype):
        x = torch.randn(64, 2, dtype=dtype) + 1
        m = norm.reestimate_(nn.BatchNorm1d(2, dtype=dtype), x.split(10))
        assert torch.allclose(
            m.running_var.double(), x.double().var(0), rtol=1e-2 if dtype != torch.float64 else 1e-12
        )


class TestFreeze:
    def test_frozen_statistics_survive_train_and_normalise_by_the_population(self):
        torch.manual_seed(0)
        model = convolutions()
        norm.reestimate_(model, [torch.randn(16, 3, 8, 8) * 2 + 1])
        norm.freeze_(model)
        state, x = copy.deepcopy(model.state_dict()), torch.randn(8, 3, 8, 8)
        model.train()
        model[3].eval()  # the dropout
        y = model(x)
        assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
        assert torch.equal(model(x[:1]), y[:1]) or torch.allclose(model(x[:1]), y[:1], atol=1e-5)
        y.sum().backward()
        assert model[1].weight.grad is not None

    def test_copies_and_pickles_are_frozen_too(self):
        model = norm.freeze_(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        for again in (copy.deepcopy(model), torch.load(file, weights_only=False)):
            again.train()(torch.randn(8, 2))
            assert torch.equal(again[1].running_mean, torch.zeros(2))
            assert again[1].num_batches_tracked == 0
            norm.thaw_(again).train()(torch.randn(8, 2))
            assert again[1].num_batches_tracked == 1
        assert norm.freeze.is_pinned(model[1])

    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    def test_compiled_code_is_frozen_too(self):
        torch._dynamo.reset()
        model = norm.freeze_(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
        compiled = torch.compile(model, backend="eager")
        for _ in range(2):
            compiled.train()
            compiled(torch.randn(8, 2))
        assert torch.equal(model[1].running_mean, torch.zeros(2))

    def test_freezing_twice_is_freezing_once_and_thawing_undoes_it(self):
        model = norm.freeze_(norm.freeze_(nn.BatchNorm1d(2)))
        assert len(model._forward_pre_hooks) == 1
        norm.thaw_(model).train()(torch.randn(8, 2))
        assert model.num_batches_tracked == 1

    def test_what_cannot_be_frozen_is_refused(self):
        with pytest.raises(ValueError, match="`1` keeps no population statistics"):
            norm.freeze_(nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False)))
        with pytest.raises(ValueError, match="no batch norm with population statistics in Linear"):
            norm.freeze_(nn.Linear(2, 2))


class TestBatchToGroup:
    def test_group_norm_takes_the_place_of_batch_norm_and_looks_at_no_other_sample(self):
        model = convolutions().eval()
        scale = model[1].weight
        assert norm.batch_to_group_(model) is model
        assert [type(m) for m in (model[1], model[6])] == [nn.GroupNorm, nn.GroupNorm]
        assert (model[1].num_groups, model[6].num_groups) == (2, 2)
        assert model[1].weight is scale
        assert not model[1].training
        x = images(3)
        assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-5)

    def test_a_norm_that_stands_in_two_places_stays_one(self):
        shared = nn.BatchNorm1d(4, affine=False)
        model = norm.batch_to_group_(nn.Sequential(shared, nn.Linear(4, 4), shared))
        assert model[0] is model[2]
        assert not list(model[0].parameters())

    @pytest.mark.parametrize(
        ("model", "groups", "said"),
        [
            (nn.Linear(2, 2), 32, "no batch norm"),
            (nn.BatchNorm1d(2), 32, "itself the batch norm"),
            (convolutions(), 0, "groups=0"),
            (nn.Sequential(nn.BatchNorm1d(2), nn.LazyBatchNorm1d()), 32, "`1` is a LazyBatchNorm1d"),
        ],
    )
    def test_a_refusal_leaves_the_model_as_it_was(self, model, groups, said):
        before = repr(model)
        with pytest.raises(ValueError, match=said):
            norm.batch_to_group_(model, groups)
        assert repr(model) == before


class TestEnough:
    @given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4))
    def test_batches_of_fewer_samples_are_left_out_and_no_others(self, samples, size, least):
        batches = torch.arange(samples).split(size)
        assert [len(b) for b in norm.enough(batches, least)] == [len(b) for b in batches if len(b) >= least]

    def test_batches_may_be_nested(self):
        batches = [
            (torch.ones(2), {"y": torch.ones(2)}),
            {"x": [torch.ones(1, 3)]},
            [torch.tensor(3.0), torch.ones(5)],
        ]
        assert list(norm.enough(batches)) == [batches[0], batches[2]]

    def test_what_has_no_samples_is_refused(self):
        with pytest.raises(ValueError, match="least=0"):
            norm.enough([], 0)
        with pytest.raises(TypeError, match="holds no tensor"):
            list(norm.enough(["text"]))

    def test_the_left_over_sample_would_have_been_refused(self):
        model, loader = nn.BatchNorm1d(3).train(), torch.randn(9, 3).split(4)
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            [model(x) for x in loader]
        assert len([model(x) for x in norm.enough(loader)]) == 2
