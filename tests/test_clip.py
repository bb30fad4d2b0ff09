"""Clipping against torch and optax, what happens to gradients that are not finite, and what is refused."""

import math

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from trainwright import clip


def with_gradients(scale=1.0, seed=0, dtype=torch.float32):
    """A net and its gradients, one of which is missing."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6, 5), nn.LayerNorm(5), nn.Linear(5, 1)
    ).to(dtype)
    for p in net.parameters():
        p.grad = (torch.randn_like(p, dtype=torch.float32) * scale).to(dtype)
    net[3].bias.grad = None
    return net


def grads(net):
    return [p.grad for p in net.parameters() if p.grad is not None]


def total(net):
    return torch.cat([g.double().flatten() for g in grads(net)]).norm().item()


class TestByNorm:
    @given(
        st.floats(1e-3, 1e3),
        st.floats(1e-3, 1e3),
        st.integers(0, 9),
        st.sampled_from(["skip", "keep", "raise"]),
    )
    def test_it_is_torchs(self, limit, scale, seed, nonfinite):
        ours, torchs = with_gradients(scale, seed), with_gradients(scale, seed)
        expected = nn.utils.clip_grad_norm_(torchs.parameters(), limit)
        assert torch.allclose(clip.by_norm_(ours.parameters(), limit, nonfinite=nonfinite), expected)
        for a, b in zip(grads(ours), grads(torchs), strict=True):
            assert torch.allclose(a, b, rtol=2e-3 if scale < 0.01 else 1e-4)  # torch adds 1e-6 to the norm

    @given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
    def test_the_norm_ends_at_the_limit_or_stays_and_the_direction_stays(self, limit, scale):
        net = with_gradients(scale)
        before, start = [g.clone() for g in grads(net)], total(net)
        assert clip.by_norm_(net.parameters(), limit).item() == pytest.approx(start, rel=1e-5)
        assert total(net) == pytest.approx(min(limit, start), rel=1e-5)
        for a, b in zip(grads(net), before, strict=True):
            assert F.cosine_similarity(a.flatten(), b.flatten(), dim=0).item() == pytest.approx(1, abs=1e-5)
            if start <= limit * 0.999:
                assert torch.equal(a, b)

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_the_norm_of_half_precision_is_not_rounded_to_half(self, dtype):
        net = with_gradients(100.0, dtype=dtype)
        expected = total(net)
        assert clip.by_norm_(net.parameters(), math.inf).item() == pytest.approx(expected, rel=1e-6)
        clip.by_norm_(net.parameters(), 1.0)
        assert total(net) == pytest.approx(1, rel=0.01)
        big = nn.Parameter(torch.zeros(9, dtype=torch.float16))
        big.grad = torch.full((9,), 6e4, dtype=torch.float16)
        assert clip.by_norm_(big, 1.0).item() == pytest.approx(1.8e5, rel=1e-3)  # above what float16 holds
        assert nn.utils.get_total_norm([big.grad * 9e4]).isinf()

    def test_parameters_count_once_and_those_without_gradient_not_at_all(self):
        net = with_gradients()
        expected = total(net)
        twice = [*net.parameters(), *net.parameters()]
        assert clip.by_norm_(twice, expected / 2).item() == pytest.approx(expected)
        assert total(net) == pytest.approx(expected / 2)
        assert clip.by_norm_([], 1.0) == 0
        assert clip.by_norm_(nn.Linear(2, 2).parameters(), 1.0) == 0

    def test_sparse_gradients_are_clipped_once_summed(self):
        embedding = nn.Embedding(5, 2, sparse=True)
        embedding(torch.tensor([1, 1, 3])).sum().backward()
        dense = nn.Embedding(5, 2)
        dense(torch.tensor([1, 1, 3])).sum().backward()
        assert torch.allclose(
            clip.by_norm_(embedding.parameters(), 1.0), clip.by_norm_(dense.parameters(), 1.0)
        )
        assert torch.allclose(embedding.weight.grad.to_dense(), dense.weight.grad)

    def test_dtypes_may_be_mixed(self):
        net = with_gradients()
        other = nn.Parameter(torch.zeros(7, dtype=torch.float64))
        other.grad = torch.randn(7, dtype=torch.float64)
        expected = math.hypot(total(net), other.grad.norm().item())
        both = [*net.parameters(), other]
        assert clip.by_norm_(both, 1.0).item() == pytest.approx(expected)
        assert clip.by_norm_(both, 1.0).item() == pytest.approx(1)


BY = {
    "norm": lambda net, **how: clip.by_norm_(net.parameters(), 0.1, **how),
    "value": lambda net, **how: clip.by_value_(net.parameters(), 0.1, **how),
    "adaptive": lambda net, **how: clip.adaptive_(net, 0.01, output=None, **how),
}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("by", BY.values(), ids=BY)
class TestNonFinite:
    def test_skip_makes_the_optimiser_do_nothing(self, by, bad):
        net = with_gradients()
        adam = torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5)
        adam.step()  # so that there is momentum
        before = [p.detach().clone() for p in net.parameters()]
        net[3].weight.grad[0, 0] = bad
        assert not by(net).isfinite()
        adam.step()
        assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))

    def test_raise_says_which_and_changes_nothing(self, by, bad):
        net = with_gradients()
        net[3].weight.grad[0, 0] = bad
        before = [g.clone() for g in grads(net)]
        with pytest.raises(ValueError, match=r"1 of 7; the first is number 2, of shape \(5, 6\)"):
            by(net, nonfinite="raise")
        assert all(
            torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(grads(net), before, strict=True)
        )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_keep_leaves_the_gradients_where_torch_spoils_them(bad):
    ours, torchs = with_gradients(), with_gradients()
    for net in (ours, torchs):
        net[3].weight.grad[0, 0] = bad
    before = [g.clone() for g in grads(ours)]
    assert not clip.by_norm_(ours.parameters(), 0.1, nonfinite="keep").isfinite()
    assert all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(grads(ours), before, strict=True))
    nn.utils.clip_grad_norm_(torchs.parameters(), 0.1)
    spoilt = grads(torchs)[0]
    assert (spoilt == 0).all() or spoilt.isnan().all()


class TestByValue:
    @given(st.floats(1e-3, 10), st.integers(0, 9), st.sampled_from(["skip", "keep"]))
    def test_it_is_torchs(self, limit, seed, nonfinite):
        ours, torchs = with_gradients(seed=seed), with_gradients(seed=seed)
        nn.utils.clip_grad_value_(torchs.parameters(), limit)
        largest = max(g.abs().max().item() for g in grads(ours))
        assert clip.by_value_(ours.parameters(), limit, nonfinite=nonfinite).item() == pytest.approx(largest)
        assert all(torch.equal(a, b) for a, b in zip(grads(ours), grads(torchs), strict=True))

    def test_torch_makes_an_infinity_look_harmless(self):
        net = with_gradients()
        net[3].weight.grad[0, 0] = math.inf
        nn.utils.clip_grad_value_(net.parameters(), 0.1)
        assert net[3].weight.grad[0, 0] == pytest.approx(0.1)


class TestAdaptive:
    @given(st.floats(1e-3, 1.0), st.floats(1e-2, 10), st.integers(0, 9))
    @settings(max_examples=8)
    def test_it_is_optaxs(self, limit, scale, seed):
        net = with_gradients(scale, seed)
        named = {name: p for name, p in net.named_parameters() if p.grad is not None}

        def jax_like(name, x):  # optax has outputs last
            return jnp.asarray(x.detach().permute(*range(1, x.ndim), 0).numpy())

        params = {name: jax_like(name, p) for name, p in named.items()}
        updates = {name: jax_like(name, p.grad) for name, p in named.items()}
        agc = optax.adaptive_grad_clip(limit)
        expected, _ = agc.update(updates, agc.init(params), params)
        clip.adaptive_(net, limit, output=None)
        for name, p in named.items():
            assert np.allclose(jax_like(name, p.grad), expected[name], rtol=1e-4, atol=1e-7), name

    def test_what_starts_at_zero_still_learns(self):
        torch.manual_seed(0)
        net = nn.Linear(4, 1)
        nn.init.zeros_(net.weight)
        nn.init.zeros_(net.bias)
        sgd = torch.optim.SGD(net.parameters(), lr=0.5)
        x = torch.randn(64, 4)
        y = x @ torch.tensor([[1.0], [2.0], [-1.0], [0.5]]) + 3
        losses = []
        for _ in range(300):
            sgd.zero_grad()
            loss = F.mse_loss(net(x), y)
            losses.append(loss.item())
            loss.backward()
            clip.adaptive_(net, 0.1, output=None)
            sgd.step()
        assert losses[-1] < 0.01 * losses[0]

    def test_the_output_layer_is_left_alone(self):
        net = with_gradients(1e3)
        before = [g.clone() for g in grads(net)]
        clip.adaptive_(net, 0.01, output=net[5])
        same = [torch.equal(a, b) for a, b in zip(grads(net), before, strict=True)]
        assert same == [False, False, False, False, False, True, True]

    def test_units_of_a_transposed_convolution_lie_along_its_second_axis(self):
        net = nn.ConvTranspose2d(4, 6, 3, bias=False)
        net.weight.grad = torch.randn_like(net.weight) * torch.arange(1, 7)[None, :, None, None]
        clip.adaptive_(net, 0.01, output=None)
        ratios = net.weight.grad.pow(2).sum((0, 2, 3)).sqrt() / net.weight.pow(2).sum((0, 2, 3)).sqrt()
        assert torch.allclose(ratios, torch.full((6,), 0.01))

    def test_it_says_what_share_it_clipped(self):
        net = nn.Linear(3, 4)
        nn.init.ones_(net.weight)
        nn.init.ones_(net.bias)
        net.weight.grad, net.bias.grad = torch.zeros(4, 3), torch.zeros(4)
        assert clip.adaptive_(net, output=None) == 0
        net.weight.grad[1] = 9
        assert clip.adaptive_(net, output=None).item() == pytest.approx(1 / 5)  # four rows and the bias
        assert torch.equal(net.weight.grad[0], torch.zeros(3))

    def test_without_gradients_nothing_is_clipped(self):
        assert clip.adaptive_(nn.Linear(2, 2), output=None) == 0


@pytest.mark.parametrize("by", BY.values(), ids=BY)
class TestScaler:
    def test_gradients_that_are_still_scaled_are_refused(self, by):
        net = nn.Sequential(nn.Linear(3, 1))
        sgd, scaler = (
            torch.optim.SGD(net.parameters(), lr=0.1),
            torch.amp.GradScaler("cpu", init_scale=1024.0),
        )
        for _ in range(2):
            scaler.scale(net(torch.ones(4, 3)).square().mean()).backward()
            before = net[0].weight.grad.clone()
            with pytest.raises(
                ValueError, match=r"still multiplied by the scaler's 1024. Call scaler.unscale_\(optimizer\)"
            ):
                by(net, scaler=scaler)
            assert torch.equal(net[0].weight.grad, before)
            scaler.unscale_(sgd)
            by(net, scaler=scaler)
            scaler.step(sgd)
            scaler.update()
            sgd.zero_grad()

    def test_a_step_that_the_scaler_skips_is_skipped(self, by):
        net = nn.Sequential(nn.Linear(3, 1))
        sgd, scaler = (
            torch.optim.SGD(net.parameters(), lr=0.1),
            torch.amp.GradScaler("cpu", init_scale=1024.0),
        )
        before = net[0].weight.detach().clone()
        scaler.scale(net(torch.full((4, 3), 1e30)).square().mean()).backward()
        scaler.unscale_(sgd)
        assert not by(net, scaler=scaler).isfinite()
        scaler.step(sgd)
        scaler.update()
        assert scaler.get_scale() == 512
        assert torch.equal(net[0].weight, before)

    def test_a_scaler_that_is_off_is_no_hindrance(self, by):
        by(with_gradients(), scaler=torch.amp.GradScaler("cpu", enabled=False))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda net: clip.by_norm_(net.parameters(), 0.0), ValueError, "max_norm=0.0"),
        (lambda net: clip.by_norm_(net.parameters(), math.nan), ValueError, "max_norm=nan"),
        (lambda net: clip.by_value_(net.parameters(), -1.0), ValueError, "limit=-1.0"),
        (
            lambda net: clip.by_norm_(net.parameters(), 1.0, nonfinite="ignore"),
            ValueError,
            "it knows skip, raise, keep",
        ),
        (
            lambda net: clip.by_norm_(net, 1.0),
            TypeError,
            r"got a Sequential; it needs parameters, as `model.parameters\(\)`",
        ),
        (lambda net: clip.adaptive_(net, 0.0, output=None), ValueError, "limit=0.0"),
        (lambda net: clip.adaptive_(net, eps=0.0, output=None), ValueError, "eps=0.0"),
        (lambda net: clip.adaptive_(net, output=nn.Linear(5, 1)), ValueError, "no layer of the Sequential"),
        (lambda net: clip.adaptive_(net, output=net), ValueError, "no layer of the Sequential"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(call, error, said):
    net = with_gradients()
    before = [g.clone() for g in grads(net)]
    with pytest.raises(error, match=said):
        call(net)
    assert all(torch.equal(a, b) for a, b in zip(grads(net), before, strict=True))


def test_sparse_gradients_have_no_units():
    embedding = nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="sparse=False"):
        clip.adaptive_(embedding, output=None)


def test_meta_gradients_are_clipped_without_being_looked_at():
    net = nn.Linear(3, 2, device="meta")
    for p in net.parameters():
        p.grad = torch.empty_like(p)
    assert clip.by_norm_(net.parameters(), 1.0, nonfinite="keep").is_meta
