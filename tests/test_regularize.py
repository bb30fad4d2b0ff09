"""Regularisers against scikit-learn, torch and closed forms, and by their promises."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet, Lasso
from torch import nn
from torch.nn import functional as F

from trainwright.regularize import (
    Sparsity,
    classical_dropout,
    cross_entropy,
    decay_,
    dropout_,
    l1_prox_,
    max_norm_,
    penalty,
    pull_,
    pull_penalty,
    sparsity,
)

seeds = st.integers(0, 10**6)
kinds = st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16])


def quadratic(dimension: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Eigenvalues, a rotated Hessian with them, and where its loss is least."""
    torch.manual_seed(0)
    q, _ = torch.linalg.qr(torch.randn(dimension, dimension, dtype=torch.float64))
    curvatures = torch.logspace(-2, 2, dimension, dtype=torch.float64)
    return curvatures, q @ torch.diag(curvatures) @ q.T, torch.randn(dimension, dtype=torch.float64)


def regression(samples: int = 60, inputs: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    x = torch.randn(samples, inputs, dtype=torch.float64)
    return x, x[:, 0] * 3 - x[:, 3] * 2 + 0.1 * torch.randn(samples, dtype=torch.float64)


class TestShrinking:
    def test_l2_shrinks_direction_i_of_a_quadratic_by_its_share_of_curvature(self):
        curvatures, hessian, best = quadratic()
        strength = 0.5
        w = nn.Parameter(torch.zeros_like(best))
        lbfgs = torch.optim.LBFGS([w], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

        def loss():
            lbfgs.zero_grad()
            value = (w - best) @ hessian @ (w - best) / 2 + penalty(w, l2=strength)
            value.backward()
            return value

        lbfgs.step(loss)
        _, directions = torch.linalg.eigh(hessian)
        found = (directions.T @ w.detach()) / (directions.T @ best)
        assert found.numpy() == pytest.approx((curvatures / (curvatures + strength)).numpy(), abs=1e-6)

    def test_decoupled_decay_reaches_the_same_place_under_gradient_descent(self):
        curvatures, hessian, best = quadratic()
        w, lr, strength = nn.Parameter(torch.zeros_like(best)), 1e-2, 0.5
        for _ in range(5000):
            gradient = hessian @ (w.detach() - best)
            decay_(w, strength, lr=lr)
            with torch.no_grad():
                w.sub_(lr * gradient)
        _, directions = torch.linalg.eigh(hessian)
        found = (directions.T @ w.detach()) / (directions.T @ best)
        assert found.numpy() == pytest.approx((curvatures / (curvatures + strength)).numpy(), abs=1e-6)

    @pytest.mark.parametrize("strength", [0.05, 0.5, 5.0])
    def test_proximal_l1_finds_the_lasso_of_scikit_learn(self, strength):
        x, y = regression()
        w, lr = nn.Parameter(torch.zeros(x.shape[1], dtype=torch.float64)), 0.1
        sgd = torch.optim.SGD([w], lr=lr)
        for _ in range(800):
            sgd.zero_grad()
            ((x @ w - y).square().mean() / 2).backward()
            sgd.step()
            l1_prox_(w, strength * len(x), lr=lr, samples=len(x))
        expected = Lasso(alpha=strength, fit_intercept=False, tol=1e-12, max_iter=10**5).fit(x, y).coef_
        assert w.detach().numpy() == pytest.approx(expected, abs=1e-7)
        assert ((w == 0).numpy() == (expected == 0)).all()

    def test_with_weight_decay_it_finds_the_elastic_net(self):
        x, y = regression()
        alpha, ratio, lr = 0.4, 0.7, 0.1
        w = nn.Parameter(torch.zeros(x.shape[1], dtype=torch.float64))
        sgd = torch.optim.SGD([w], lr=lr, weight_decay=alpha * (1 - ratio))
        for _ in range(800):
            sgd.zero_grad()
            ((x @ w - y).square().mean() / 2).backward()
            sgd.step()
            l1_prox_(w, alpha * ratio, lr=lr)
        net = ElasticNet(alpha=alpha, l1_ratio=ratio, fit_intercept=False, tol=1e-12, max_iter=10**5)
        assert w.detach().numpy() == pytest.approx(net.fit(x, y).coef_, abs=1e-7)
        loss = (x @ w - y).square().mean() / 2 + penalty(w, l1=alpha * ratio, l2=alpha * (1 - ratio))
        before = loss.item()
        for scale in (0.999, 1.001):  # the penalty's minimum is the prox's fixed point
            moved = w.detach() * scale
            value = (x @ moved - y).square().mean() / 2
            assert before <= value + penalty(moved, l1=alpha * ratio, l2=alpha * (1 - ratio))

    def test_an_l1_penalty_in_the_loss_gives_no_zero_and_the_prox_does(self):
        x, y = regression()
        zeros = {}
        for prox in (False, True):
            w = nn.Parameter(torch.full((x.shape[1],), 0.1, dtype=torch.float64))
            sgd = torch.optim.SGD([w], lr=0.05)
            for _ in range(500):
                sgd.zero_grad()
                loss = (x @ w - y).square().mean() / 2
                (loss if prox else loss + penalty(w, l1=0.3)).backward()
                sgd.step()
                if prox:
                    l1_prox_(w, 0.3, lr=0.05)
            zeros[prox] = int((w == 0).sum())
        assert zeros == {False: 0, True: 10}

    def test_coupled_l2_is_the_weight_decay_of_adam_and_decoupled_that_of_adamw(self):
        def trained(make, coupled=0.0, decoupled=0.0):
            torch.manual_seed(3)
            net, x = nn.Linear(5, 3), torch.randn(20, 5)
            optimizer = make(net.parameters())
            for _ in range(30):
                optimizer.zero_grad()
                loss = net(x).sin().square().mean()
                (loss + penalty(net.parameters(), l2=coupled) if coupled else loss).backward()
                if decoupled:
                    decay_(net.parameters(), decoupled, lr=0.01)
                optimizer.step()
            return net.weight.detach()

        adam = lambda p: torch.optim.Adam(p, lr=0.01)  # noqa: E731
        coupled = trained(adam, coupled=0.3)
        decoupled = trained(adam, decoupled=0.3)
        torch_adam = trained(lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.3))
        torch_adamw = trained(lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.3))
        torch.testing.assert_close(coupled, torch_adam, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(decoupled, torch_adamw, rtol=0, atol=0)
        assert (coupled - decoupled).abs().max() > 0.01

    def test_coupled_l2_is_the_weight_decay_of_sgd(self):
        x, y = regression()
        ours, theirs = (nn.Parameter(torch.ones(x.shape[1], dtype=torch.float64)) for _ in range(2))
        for w, decay in ((ours, 0.0), (theirs, 30 / 60)):
            sgd = torch.optim.SGD([w], lr=0.05, momentum=0.9, weight_decay=decay)
            for _ in range(20):
                sgd.zero_grad()
                loss = (x @ w - y).square().mean()
                (loss if decay else loss + penalty(w, l2=30, samples=60)).backward()
                sgd.step()
        torch.testing.assert_close(ours, theirs)


class TestSoftThreshold:
    @given(seeds, kinds, st.floats(0, 2))
    def test_what_lies_inside_becomes_exactly_zero_and_the_rest_moves_by_the_limit(self, seed, kind, limit):
        torch.manual_seed(seed)
        w = nn.Parameter(torch.randn(40).to(kind))
        before = w.detach().clone()
        l1_prox_([w], limit)
        bound = torch.tensor(limit, dtype=kind)
        assert (w[before.abs() <= bound] == 0).all()
        slow = before.sign() * (before.abs().double() - float(bound)).clamp(min=0)
        eps = torch.finfo(kind).eps
        torch.testing.assert_close(w.detach().double(), slow.double(), rtol=eps, atol=2 * eps)
        assert (w * before >= 0).all()

    def test_many_tensors_of_many_kinds_go_in_one_call(self):
        ps = [nn.Parameter(torch.ones(3, dtype=d)) for d in (torch.float32, torch.float64, torch.bfloat16)]
        back = l1_prox_(iter(ps), 0.25)
        assert [p.tolist() for p in back] == [[0.75] * 3] * 3
        assert all(a is b for a, b in zip(back, ps, strict=True))

    def test_frozen_ones_stay_and_shared_ones_count_once(self):
        frozen, shared = nn.Parameter(torch.ones(2), requires_grad=False), nn.Parameter(torch.ones(2))
        l1_prox_([frozen, shared, shared], 0.25)
        assert frozen.tolist() == [1, 1]
        assert shared.tolist() == [0.75, 0.75]

    def test_meta_tensors_pass(self):
        w = nn.Parameter(torch.empty(3, 2, device="meta"))
        assert l1_prox_(w, 0.1)[0] is w
        assert penalty(w, l1=1.0, l2=1.0).device.type == "meta"
        assert decay_(w, 0.1, lr=0.1)[0] is w

    def test_not_a_number_stays_one(self):
        w = nn.Parameter(torch.tensor([float("nan"), float("inf"), 1.0]))
        l1_prox_(w, 0.5)
        assert str(w.tolist()) == "[nan, inf, 0.5]"


class TestPenalty:
    @given(seeds, kinds, st.floats(0.01, 10), st.floats(0.01, 10), st.integers(1, 1000))
    def test_is_the_sum_written_out(self, seed, kind, l1, l2, samples):
        torch.manual_seed(seed)
        ps = [nn.Parameter(torch.randn(5, 3).to(kind)), nn.Parameter(torch.randn(7))]
        found = penalty(ps, l1=l1, l2=l2, samples=samples)
        slow = sum((l1 * p.double().abs() + l2 / 2 * p.double() ** 2).sum() for p in ps) / samples
        assert found.item() == pytest.approx(slow.item(), rel=1e-4)
        assert found.dtype in (torch.float32, torch.float64)
        found.backward()
        slope = (l1 * ps[1].sign() + l2 * ps[1]) / samples
        torch.testing.assert_close(ps[1].grad, slope.detach(), rtol=1e-4, atol=1e-6)

    def test_weights_that_are_zero_have_no_slope_of_nan(self):
        w = nn.Parameter(torch.zeros(4))
        penalty(w, l1=1.0, l2=1.0).backward()
        assert w.grad.tolist() == [0, 0, 0, 0]

    def test_half_precision_does_not_overflow(self):
        w = nn.Parameter(torch.full((4096,), 100.0, dtype=torch.float16))
        assert penalty(w, l2=2.0).item() == pytest.approx(4096 * 1e4)


class TestSparsity:
    def test_is_counted_by_name_and_for_the_whole(self):
        net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 1))
        with torch.no_grad():
            net[0].weight[:2] = 0
        found = sparsity(net)
        assert found["0.weight"] == Sparsity(8, 16)
        assert found[""] == Sparsity(8, 25)
        assert found[""].share == 8 / 25
        assert sparsity(nn.ReLU()) == {"": Sparsity(0, 0)}
        assert sparsity(nn.ReLU())[""].share == 0


class TestPull:
    def net(self):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))

    def test_moves_each_trainable_weight_its_share_of_the_way_back(self):
        net = self.net()
        start = {n: p.detach() + 1 for n, p in net.named_parameters() if not n.startswith("1.")}
        start["gone.weight"] = torch.ones(9)
        net[0].bias.requires_grad_(False)
        before = copy.deepcopy(net)
        assert pull_(net, start, 0.5, lr=0.1) is net
        torch.testing.assert_close(net[0].weight, before[0].weight + 0.05)
        assert torch.equal(net[0].bias, before[0].bias)  # frozen
        assert torch.equal(net[1].weight, before[1].weight)  # a new head

    @pytest.mark.parametrize("strength", [0.1, 1.0])
    def test_the_penalty_on_a_quadratic_ends_between_start_and_best_by_curvature(self, strength):
        curvatures, hessian, best = quadratic()
        net = nn.Linear(len(best), 1, bias=False, dtype=torch.float64)
        origin = torch.arange(len(best), dtype=torch.float64)
        start = {"weight": origin[None].clone()}
        lbfgs = torch.optim.LBFGS(
            net.parameters(), max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe"
        )

        def loss():
            lbfgs.zero_grad()
            away = net.weight[0] - best
            value = away @ hessian @ away / 2 + pull_penalty(net, start, strength)
            value.backward()
            return value

        lbfgs.step(loss)
        _, directions = torch.linalg.eigh(hessian)
        share = curvatures / (curvatures + strength)
        expected = share * (directions.T @ best) + (1 - share) * (directions.T @ origin)
        assert (directions.T @ net.weight[0].detach()).numpy() == pytest.approx(expected.numpy(), abs=1e-5)

    def test_live_weights_are_no_start(self):
        net = self.net()
        with pytest.raises(ValueError, match=r"live weights of `0.weight` as their own start"):
            pull_(net, net.state_dict(), 0.1, lr=0.1)

    def test_other_names_and_other_shapes_are_refused_and_nothing_moves(self):
        net = self.net()
        before = copy.deepcopy(net.state_dict())
        wrapped = {f"module.{n}": p.clone() for n, p in net.state_dict().items()}
        with pytest.raises(ValueError, match=r"'module.0.weight'"):
            pull_(net, wrapped, 0.1, lr=0.1)
        with pytest.raises(ValueError, match=r"\(2, 2\) for `1.weight`"):
            pull_(net, {"0.weight": torch.zeros(4, 3), "1.weight": torch.zeros(2, 2)}, 0.1, lr=0.1)
        assert all(torch.equal(before[n], p) for n, p in net.state_dict().items())


class TestMaxNorm:
    @given(seeds, st.sampled_from([torch.float64, torch.float32]), st.floats(0.1, 5))
    def test_is_renorm_on_every_unit(self, seed, kind, limit):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(5, 4), nn.Conv2d(3, 6, 3, groups=3), nn.LSTM(3, 2)).to(kind)
        expected = {
            n: torch.renorm(p.detach(), 2, 0, limit) if p.ndim > 1 else p.detach().clone()
            for n, p in net.named_parameters()
        }
        max_norm_(net, limit)
        for n, p in net.named_parameters():
            torch.testing.assert_close(p.detach(), expected[n], rtol=1e-5, atol=1e-6)

    def test_what_is_short_enough_keeps_every_bit(self):
        net = nn.Linear(5, 4)
        before = net.weight.detach().clone()
        assert torch.equal(max_norm_(net, 100.0).weight, before)

    @pytest.mark.parametrize("groups", [1, 2])
    def test_the_unit_of_a_transposed_convolution_is_its_output_channel(self, groups):
        torch.manual_seed(0)
        net = nn.ConvTranspose2d(4, 6, 3, groups=groups, bias=False)
        max_norm_(net, 0.3)
        for channel in range(6):  # what one output channel is made of: its answer to one pixel of each input
            x = torch.eye(4).view(4, 4, 1, 1)
            assert net(x)[:, channel].norm() <= 0.3 + 1e-6
        assert net(torch.eye(4).view(4, 4, 1, 1))[:, 0].norm().item() == pytest.approx(0.3, abs=1e-6)

    def test_embeddings_frozen_and_flat_parameters_stay(self):
        net = nn.ModuleList([nn.Embedding(3, 2), nn.LayerNorm(4), nn.Linear(2, 2), nn.Linear(2, 2)])
        with torch.no_grad():
            for p in net.parameters():
                p.fill_(9.0)
        net[3].weight.requires_grad_(False)
        max_norm_(net, 1.0)
        changed = {n for n, p in net.named_parameters() if not (p == 9).all()}
        assert changed == {"2.weight"}

    def test_a_zero_row_and_half_precision_pass(self):
        net = nn.Linear(4, 2).half()
        with torch.no_grad():
            net.weight[0] = 0
            net.weight[1] = 300.0  # its square is more than float16 holds
        max_norm_(net, 2.0)
        assert net.weight.tolist() == [[0] * 4, [1] * 4]


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 2))


def cnn(norm: bool = False) -> nn.Sequential:
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 8), nn.ReLU()]
    if norm:
        layers.insert(1, nn.BatchNorm2d(4))
    return nn.Sequential(*layers, nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def rates(net: nn.Module) -> dict[str, float]:
    return {n.removesuffix(".dropout"): m.p for n, m in net.named_modules() if isinstance(m, nn.Dropout)}


PICTURES = torch.randn(3, 1, 8, 8)


class TestPlacingDropout:
    def test_inputs_and_hidden_layers_have_their_rates_and_the_output_none(self):
        assert rates(dropout_(mlp(), torch.randn(3, 4))) == {"0": 0.1, "2": 0.3}

    def test_only_the_dense_part_of_a_cnn_is_thinned(self):
        assert rates(dropout_(cnn(), PICTURES, inputs=0, hidden=0.5)) == {"6": 0.5}
        assert rates(dropout_(cnn(), PICTURES, inputs=0.2, hidden=0.5, last=0.4)) == {
            "0": 0.2,
            "6": 0.5,
            "8": 0.4,
        }

    def test_batch_norm_is_kept_clear_of_it(self):
        net = cnn(norm=True)
        with pytest.raises(
            ValueError, match=r"inputs=0.1 and found no place for it; batch norm `1` runs after"
        ):
            dropout_(net, PICTURES)
        assert rates(net) == {}
        assert rates(dropout_(net, PICTURES, inputs=0)) == {"7": 0.3}

    def test_dropped_units_change_the_output_in_training_only_and_names_stay(self):
        net, x = mlp(), torch.randn(5, 4)
        names, expected = list(net.state_dict()), net(x)
        dropout_(net, x, hidden=0.5)
        assert list(net.state_dict()) == names
        assert net.training
        assert net[0].dropout.training
        assert not torch.equal(net(x), expected)
        assert torch.equal(net.eval()(x), expected)
        twin = pickle.loads(pickle.dumps(copy.deepcopy(net)))
        assert torch.equal(twin(x), expected)
        assert not torch.equal(twin.train()(x), expected)

    def test_a_second_call_sets_new_rates_and_zero_takes_it_out(self):
        net, x = mlp(), torch.randn(5, 4)
        expected = net(x)
        dropout_(dropout_(net, x, hidden=0.5), x, hidden=0.2)
        assert rates(net) == {"0": 0.1, "2": 0.2}
        assert len(net[2]._forward_pre_hooks) == 1
        dropout_(net, x, inputs=0, hidden=0)
        assert rates(net) == {}
        assert torch.equal(net(x), expected)

    def test_order_is_that_of_the_forward_pass_whatever_the_definition(self):
        class Backwards(nn.Module):
            def __init__(self):
                super().__init__()
                self.out, self.mid, self.first = nn.Linear(3, 2), nn.Linear(3, 3), nn.Linear(4, 3)

            def forward(self, x):
                return self.out(F.relu(self.mid(F.relu(self.first(x)))))

        assert rates(dropout_(Backwards(), torch.randn(2, 4))) == {"first": 0.1, "mid": 0.3}

    def test_no_place_is_said_and_skipped_layers_are_none(self):
        small = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 2))
        with pytest.raises(ValueError, match=r"hidden=0.3 and found no place for it. .* last=..."):
            dropout_(small, torch.randn(3, 4))
        assert rates(dropout_(small, torch.randn(3, 4), hidden=0, last=0.5)) == {"0": 0.1, "2": 0.5}
        net = mlp()
        assert rates(dropout_(net, torch.randn(3, 4), hidden=0, skip=[net[2]])) == {"0": 0.1}

    def test_token_numbers_are_not_thinned(self):
        net = nn.Sequential(
            nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 8), nn.Linear(8, 8), nn.Linear(8, 2)
        )
        tokens = torch.randint(0, 9, (5, 3))
        with pytest.raises(ValueError, match=r"inputs=0.1"):
            dropout_(net, tokens)
        assert rates(dropout_(net, tokens, inputs=0)) == {"3": 0.3}

    def test_dropout_that_is_there_is_not_doubled(self):
        net = nn.Sequential(*mlp(), nn.Dropout(0.5))
        with pytest.raises(ValueError, match=r"found `5` \(Dropout\(p=0.5"):
            dropout_(net, torch.randn(3, 4))

    def test_a_model_that_fails_is_left_as_it_was(self):
        net = mlp().train()
        net[3].eval()
        with pytest.raises(RuntimeError):
            dropout_(net, torch.randn(3, 5))
        assert [m.training for m in net] == [True, True, True, False, True]
        assert all(not m._forward_pre_hooks for m in net.modules())


class TestClassicalDropout:
    @pytest.mark.parametrize("p", [0.2, 0.5])
    def test_and_inverted_are_equal_in_expectation(self, p):
        x, source = torch.linspace(-2, 3, 50).repeat(20000, 1), torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        classical = classical_dropout(x, p, training=True, generator=source).mean(0)
        inverted = F.dropout(x, p, training=True).mean(0)
        torch.testing.assert_close(classical, classical_dropout(x, p, training=False)[0], rtol=0, atol=0.05)
        torch.testing.assert_close(inverted, x[0], rtol=0, atol=0.08)
        torch.testing.assert_close(classical, inverted * (1 - p), rtol=0, atol=0.06)

    def test_the_generator_decides_and_torchs_own_is_not_touched(self):
        x, state = torch.ones(100), torch.get_rng_state()
        one, two = (
            classical_dropout(x, 0.5, training=True, generator=torch.Generator().manual_seed(7)) for _ in "12"
        )
        assert torch.equal(one, two)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
    def test_keeps_the_dtype(self, kind):
        x = torch.ones(8, dtype=kind)
        assert {classical_dropout(x, 0.5, training=t).dtype for t in (True, False)} == {kind}


classes = st.integers(2, 6)


class TestCrossEntropy:
    def case(self, seed, count, dims=()):
        source = torch.Generator().manual_seed(seed)
        logits = torch.randn(7, count, *dims, generator=source, dtype=torch.float64).requires_grad_()
        y = torch.randint(0, count, (7, *dims), generator=source)
        y.view(-1)[0] = -100
        weight = torch.rand(count, generator=source, dtype=torch.float64) + 0.1
        q = torch.rand(7, count, *dims, generator=source, dtype=torch.float64).softmax(1)
        return logits, y, weight, q

    @given(seeds, classes, st.sampled_from([(), (3,), (2, 3)]), st.sampled_from(["mean", "sum", "none"]))
    def test_is_torchs_where_torch_has_it_right(self, seed, count, dims, reduction):
        logits, y, weight, q = self.case(seed, count, dims)
        for target, more in (
            (y, {}),
            (y, {"weight": weight}),
            (y, {"label_smoothing": 0.1}),
            (q, {}),
            (q, {"label_smoothing": 0.3}),
        ):
            ours = {k.replace("label_", ""): v for k, v in more.items()}
            found = cross_entropy(logits, target, reduction=reduction, **ours)
            expected = F.cross_entropy(logits, target, reduction=reduction, **more)
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(
                *(torch.autograd.grad(v.sum(), logits, retain_graph=True)[0] for v in (found, expected))
            )

    @given(seeds, classes, st.floats(0, 0.9))
    def test_a_one_hot_row_is_its_index_and_a_row_of_zeros_is_ignored(self, seed, count, smoothing):
        logits, y, weight, _ = self.case(seed, count)
        hot = F.one_hot(y.clamp(min=0), count).double() * (y >= 0)[:, None]
        for reduction in ("mean", "sum", "none"):
            more = {"smoothing": smoothing, "weight": weight, "reduction": reduction}
            torch.testing.assert_close(cross_entropy(logits, y, **more), cross_entropy(logits, hot, **more))

    @given(seeds, classes, st.floats(0, 0.9))
    def test_weights_are_repeated_samples(self, seed, count, smoothing):
        logits, y, _, _ = self.case(seed, count)
        times = torch.arange(1, count + 1)
        repeats = times[y.clamp(min=0)]
        found = cross_entropy(logits, y, smoothing=smoothing, weight=times.double())
        slow = cross_entropy(
            logits.repeat_interleave(repeats, 0), y.repeat_interleave(repeats), smoothing=smoothing
        )
        torch.testing.assert_close(found, slow)
        if smoothing > 0.05 and count > 2:  # torch weighs the uniform part by class
            theirs = F.cross_entropy(logits, y, weight=times.double(), label_smoothing=smoothing)
            assert abs(found.item() - theirs.item()) > 1e-6

    @given(seeds, classes, st.floats(0, 1))
    def test_a_mixed_target_costs_the_mixture_of_its_samples(self, seed, count, share):
        logits, y, weight, _ = self.case(seed, count)
        y = y.clamp(min=0)
        a, b = F.one_hot(y, count).double(), F.one_hot(y.flip(0), count).double()
        more = {"smoothing": 0.1, "weight": weight, "reduction": "none"}
        mixed = cross_entropy(logits, share * a + (1 - share) * b, **more)
        parts = share * cross_entropy(logits, a, **more) + (1 - share) * cross_entropy(logits, b, **more)
        torch.testing.assert_close(mixed, parts)

    def test_nothing_left_costs_nothing_and_ignored_rows_may_be_anything(self):
        logits = torch.full((2, 3), float("nan"), requires_grad=True)
        loss = cross_entropy(logits, torch.tensor([-100, -100]), smoothing=0.1)
        assert loss.item() == 0
        rows = torch.tensor([[1.0, 2.0], [float("nan"), 0.0]])
        assert cross_entropy(rows, torch.tensor([0, -100]), smoothing=0.1).isfinite()

    def test_an_impossible_class_costs_nothing_without_smoothing(self):
        logits = torch.tensor([[0.0, float("-inf")]])
        assert cross_entropy(logits, torch.tensor([0])).item() == 0

    @pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
    def test_half_precision_gives_what_torch_gives(self, kind):
        logits, y, _, _ = self.case(0, 5)
        half = logits.detach().to(kind)
        found = cross_entropy(half, y, smoothing=0.1)
        assert found.dtype == kind
        assert found.item() == pytest.approx(F.cross_entropy(half, y, label_smoothing=0.1).item(), rel=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net: l1_prox_([], 0.1), r"l1_prox_\(\) got no parameters"),
        (lambda net: l1_prox_(net.parameters(), -0.1), "strength=-0.1; it takes a finite number, at least 0"),
        (lambda net: l1_prox_(net.parameters(), float("nan")), "strength=nan"),
        (lambda net: l1_prox_(net.parameters(), 0.1, lr=-1), "lr=-1"),
        (lambda net: l1_prox_(net.parameters(), 0.1, samples=0), "samples=0"),
        (lambda net: penalty(net.parameters()), "l1=0 and l2=0"),
        (lambda net: penalty(net.parameters(), l1=float("inf")), "l1=inf"),
        (lambda net: decay_(net.parameters(), 20, lr=0.1), "lr·strength = 2; above 1"),
        (lambda net: pull_(net, {}, 0.1, lr=0.1), "none of the model's trainable parameters"),
        (lambda net: max_norm_(net, 0.0), "limit=0.0"),
        (lambda net: max_norm_(nn.LayerNorm(3), 1.0), "no trainable weight"),
        (lambda net: dropout_(net, torch.randn(2, 3), hidden=1.0), "hidden=1.0"),
        (lambda net: classical_dropout(torch.ones(2), -0.1, training=True), "p=-0.1"),
        (lambda net: cross_entropy(torch.ones(2, 3), torch.ones(3).long()), r"shape \(2, 3\) and .* \(3,\)"),
        (lambda net: cross_entropy(torch.ones(2, 3), torch.ones(2).long(), smoothing=1.0), "smoothing=1.0"),
        (
            lambda net: cross_entropy(torch.ones(2, 3), torch.ones(2).long(), weight=torch.ones(2)),
            r"\(2,\) weights for 3 classes",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence_and_the_model_stays(call, message):
    net = nn.Linear(3, 3)
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=message):
        call(net)
    assert all(torch.equal(p, before[n]) for n, p in net.state_dict().items())


def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"got torch.int64; it takes tensors of floating point"):
        l1_prox_(torch.ones(2).long(), 0.1)


def test_the_share_of_zeros_grows_with_the_strength():
    x, y = regression()
    shares = []
    for strength in (0.0, 0.1, 1.0, 10.0):
        net = nn.Linear(x.shape[1], 1, bias=False, dtype=torch.float64)
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(200):
            sgd.zero_grad()
            ((net(x)[:, 0] - y).square().mean() / 2).backward()
            sgd.step()
            l1_prox_(net.weight, strength, lr=0.1)
        shares.append(sparsity(net)["weight"].share)
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert np.unique(shares).size >= 3
