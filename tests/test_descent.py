"""Steepest descent and SAM against closed forms, torch and optax, and by their promises."""

import copy
import subprocess
import sys
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainwright.descent import SteepestDescent, orthogonalize, sam

seeds = st.integers(0, 10**6)
kinds = st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16])


def parameters(seed=0, kind=torch.float64, shapes=((4, 3), (5,), (2, 3, 2))):
    source = torch.Generator().manual_seed(seed)
    found = [nn.Parameter(torch.randn(s, generator=source, dtype=torch.float64).to(kind)) for s in shapes]
    for p in found:
        p.grad = torch.randn(p.shape, generator=source, dtype=torch.float64).to(kind)
    return found


def moved(ps, **arguments):
    """By how much one step moves the parameters."""
    before = [p.detach().clone() for p in ps]
    SteepestDescent(ps, **arguments).step()
    return [p.detach() - b for p, b in zip(ps, before, strict=True)]


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors])


ORDERS = {"l1": (1, float("inf")), "l2": (2, 2), "linf": (float("inf"), 1)}


class TestSteepest:
    @given(seeds, st.sampled_from([*ORDERS]), st.floats(0.01, 10))
    def test_a_step_has_its_length_and_lowers_the_loss_as_far_as_any_can(self, seed, norm, lr):
        ps = parameters(seed)
        gradient = flat([p.grad for p in ps])
        step = flat(moved(ps, lr=lr, norm=norm))
        order, dual = ORDERS[norm]
        assert torch.linalg.vector_norm(step, order).item() == pytest.approx(lr)
        # Hölder: no step of this length does better than minus length times the dual norm.
        assert (gradient @ step).item() == pytest.approx(
            -lr * torch.linalg.vector_norm(gradient, dual).item()
        )

    @given(seeds, st.floats(0.01, 10))
    def test_under_the_spectral_norm_too(self, seed, lr):
        ps = parameters(seed, shapes=((4, 3), (2, 3, 2), (3, 5)))
        gradients = [p.grad.flatten(1) for p in ps]
        steps = [s.flatten(1) for s in moved(ps, lr=lr, norm="spectral", exact=True)]
        for g, s in zip(gradients, steps, strict=True):
            assert torch.linalg.matrix_norm(s, 2).item() == pytest.approx(lr)
            assert (g * s).sum().item() == pytest.approx(-lr * torch.linalg.matrix_norm(g, "nuc").item())

    @given(seeds, st.sampled_from([*ORDERS, "spectral"]))
    def test_the_dual_length_is_that_times_the_dual_norm(self, seed, norm):
        shapes = ((4, 3), (3, 5))
        unit = flat(moved(parameters(seed, shapes=shapes), lr=0.1, norm=norm, exact=True))
        ps = parameters(seed, shapes=shapes)
        gradient = flat([p.grad for p in ps])
        dual = flat(moved(ps, lr=0.1, norm=norm, exact=True, length="dual"))
        torch.testing.assert_close(dual, unit * -(gradient @ unit) / 0.1)

    def test_under_l1_one_coordinate_moves_and_ties_share(self):
        w = nn.Parameter(torch.zeros(4))
        w.grad = torch.tensor([1.0, -3.0, 2.0, 0.0])
        assert moved([w], lr=0.5, norm="l1")[0].tolist() == [0, 0.5, 0, 0]
        w.grad = torch.tensor([3.0, -3.0, 2.0, 0.0])
        assert moved([w], lr=0.5, norm="l1")[0].tolist() == [-0.25, 0.25, 0, 0]

    @pytest.mark.parametrize("norm", [*ORDERS, "spectral"])
    @pytest.mark.parametrize("exact", [True, False])
    def test_where_there_is_no_slope_nothing_moves(self, norm, exact):
        ps = parameters(shapes=((3, 2), (2, 2)))
        for p in ps:
            p.grad.zero_()
        assert flat(moved(ps, lr=1.0, norm=norm, exact=exact)).tolist() == [0] * 10

    @given(seeds, kinds, st.sampled_from([*ORDERS, "spectral"]))
    def test_every_dtype_steps_as_float64_does(self, seed, kind, norm):
        shapes = ((4, 3), (3, 3))
        ps = parameters(seed, kind, shapes)
        wide = [nn.Parameter(torch.zeros(s, dtype=torch.float64)) for s in shapes]
        for p, q in zip(ps, wide, strict=True):
            q.grad = p.grad.double()
            with torch.no_grad():
                p.zero_()
        expected = flat(moved(wide, lr=0.5, norm=norm))
        found = flat(moved(ps, lr=0.5, norm=norm))
        if norm == "l1" and not torch.equal(found != 0, expected != 0):
            pytest.fail("another coordinate")
        assert found.dtype == kind
        torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=0.01)

    def test_meta_parameters_pass(self):
        w = nn.Parameter(torch.empty(3, 2, device="meta"))
        w.grad = torch.empty_like(w)
        for norm in (*ORDERS, "spectral"):
            SteepestDescent([w], lr=0.1, norm=norm, momentum=0.9).step()


def trained(make, steps=25, widths=(6, 6), bias=True):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(*widths, bias=bias), nn.Tanh(), nn.Linear(*widths, bias=bias))
    x, y = torch.randn(30, 6), torch.randn(30, 6)
    optimizer = make(net.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in net.parameters()])


class TestAgainstOthers:
    @pytest.mark.parametrize("momentum", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
    def test_l2_with_the_dual_length_is_gradient_descent(self, momentum):
        ours = trained(lambda p: SteepestDescent(p, lr=0.05, norm="l2", length="dual", **momentum))
        theirs = trained(lambda p: torch.optim.SGD(p, lr=0.05, **momentum))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("nesterov", [True, False])
    def test_spectral_with_momentum_is_muon(self, nesterov):
        ours = trained(
            lambda p: SteepestDescent(p, lr=0.02, norm="spectral", momentum=0.95, nesterov=nesterov),
            steps=5,
            bias=False,
        )
        theirs = trained(
            lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=0.0, momentum=0.95, nesterov=nesterov),
            steps=5,
            bias=False,
        )
        start = trained(lambda p: torch.optim.SGD(p, lr=0.0), steps=0, bias=False)
        assert (ours - theirs).norm() < 0.02 * (ours - start).norm()  # theirs is in bfloat16

    @given(seeds)
    def test_linf_and_l2_are_those_of_optax(self, seed):
        for norm, theirs in (
            ("linf", optax.sign_sgd(0.1)),
            ("l2", optax.chain(optax.normalize_by_update_norm(), optax.scale(-0.1))),
        ):
            ps = parameters(seed, torch.float32)
            arrays = [jnp.asarray(p.grad.numpy()) for p in ps]
            expected, _ = theirs.update(arrays, theirs.init(arrays))
            for found, array in zip(moved(ps, lr=0.1, norm=norm), expected, strict=True):
                assert found.numpy() == pytest.approx(np.asarray(array), abs=1e-6)

    def test_a_diagonal_valley_is_one_step_for_sign_descent_and_zigzags_for_the_gradient(self):
        curvatures = torch.tensor([1.0, 100.0])
        for norm, steps in (("linf", 1), ("l2", 50)):
            w = nn.Parameter(torch.tensor([1.0, 1.0]))
            descent = SteepestDescent(
                [w],
                lr=1.0 if norm == "linf" else 1.9 / 100,
                norm=norm,
                length="unit" if norm == "linf" else "dual",
            )
            signs = []
            for _ in range(steps):
                descent.zero_grad()
                (curvatures * w.square()).sum().div(2).backward()
                descent.step()
                signs.append(w[1].item())
            if norm == "linf":
                assert w.tolist() == [0, 0]
            else:
                assert all(a * b < 0 for a, b in pairwise(signs))
                assert w[0] > 0.3


class TestOrthogonal:
    @given(seeds, st.integers(1, 6), st.integers(1, 6))
    def test_exact_gives_singular_values_of_one_and_keeps_the_directions(self, seed, rows, columns):
        torch.manual_seed(seed)
        m = torch.randn(rows, columns, dtype=torch.float64)
        found = orthogonalize(m, exact=True)
        assert torch.linalg.svdvals(found).numpy() == pytest.approx(1)
        assert (found * m).sum().item() == pytest.approx(torch.linalg.matrix_norm(m, "nuc").item())

    def test_directions_without_weight_stay_without(self):
        m = torch.outer(torch.arange(1.0, 4), torch.ones(5))
        found = orthogonalize(m, exact=True)
        assert torch.linalg.svdvals(found).tolist() == pytest.approx([1, 0, 0], abs=1e-6)
        torch.testing.assert_close(found, m / m.norm())

    @given(seeds, st.integers(1, 40), st.integers(1, 40))
    def test_iterations_bring_singular_values_near_one(self, seed, rows, columns):
        torch.manual_seed(seed)
        m = torch.randn(rows, columns)
        before, after = torch.linalg.svdvals(m), torch.linalg.svdvals(orthogonalize(m))
        large = before > before.max() / 100
        assert after.max() < 1.25
        assert after[large].min() > 0.6
        assert torch.linalg.svdvals(orthogonalize(m, exact=True)).max() < 1.001

    def test_wide_and_tall_are_the_same_turned(self):
        m = torch.randn(3, 7)
        torch.testing.assert_close(orthogonalize(m.T), orthogonalize(m).T)


def classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


class TestSam:
    x, y = torch.randn(16, 3, generator=torch.Generator().manual_seed(1)), torch.arange(16) % 2

    def test_the_gradient_is_that_of_the_loss_at_the_radius_up_the_slope(self):
        net = nn.Linear(3, 2)
        loss = lambda: nn.functional.cross_entropy(net(self.x), self.y)  # noqa: E731
        loss().backward()
        first = [p.grad.clone() for p in net.parameters()]
        norm = torch.cat([g.flatten() for g in first]).norm()
        twin = copy.deepcopy(net)
        with torch.no_grad():
            for p, g in zip(twin.parameters(), first, strict=True):
                p.add_(g, alpha=float(0.05 / norm))
        nn.functional.cross_entropy(twin(self.x), self.y).backward()
        with sam(net, 0.05):
            loss().backward()
        for p, q in zip(net.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad)

    def test_on_a_quadratic_it_is_the_closed_form(self):
        hessian, w = torch.tensor([1.0, 9.0]), nn.ParameterList([nn.Parameter(torch.tensor([2.0, 1.0]))])
        (hessian * w[0].square()).sum().div(2).backward()
        g = w[0].grad.clone()
        with sam(w, 0.3):
            (hessian * w[0].square()).sum().div(2).backward()
        torch.testing.assert_close(w[0].grad, hessian * (w[0].detach() + 0.3 * g / g.norm()))

    def test_training_with_it_is_that_of_optax(self):
        torch.manual_seed(0)
        a, w = torch.randn(20, 4, dtype=torch.float64), nn.ParameterList([nn.Parameter(torch.ones(4))])
        a = a.float()
        rows = jnp.asarray(a.numpy())

        def loss(v):
            return jnp.tanh(rows @ v).mean() + 0.5 * (v**2).sum()

        base = optax.contrib.sam(
            optax.sgd(0.1), optax.chain(optax.contrib.normalize(), optax.sgd(0.2)), sync_period=2
        )
        values = jnp.ones(4)
        state = base.init(values)
        sgd = torch.optim.SGD(w.parameters(), lr=0.1)
        for _ in range(5):
            for _ in range(2):
                change, state = base.update(jax.grad(loss)(values), state, values)
                values = optax.apply_updates(values, change)
            sgd.zero_grad()
            (torch.tanh(a @ w[0]).mean() + 0.5 * w[0].square().sum()).backward()
            with sam(w, 0.2):
                (torch.tanh(a @ w[0]).mean() + 0.5 * w[0].square().sum()).backward()
            sgd.step()
        assert w[0].detach().numpy() == pytest.approx(np.asarray(values), abs=1e-5)

    def test_weights_and_buffers_are_as_before_to_the_bit(self):
        net = classifier()
        nn.functional.cross_entropy(net(self.x), self.y).backward()
        before = copy.deepcopy(net.state_dict())
        with sam(net, 0.5):
            assert not torch.equal(net[0].weight, before["0.weight"])
            nn.functional.cross_entropy(net(self.x), self.y).backward()
        assert all(torch.equal(v, before[n]) for n, v in net.state_dict().items())
        assert net[1].num_batches_tracked == 1  # batch norm counted the first pass only

    def test_an_error_inside_puts_them_back_too(self):
        net = classifier()
        nn.functional.cross_entropy(net(self.x), self.y).backward()
        before = copy.deepcopy(net.state_dict())
        with pytest.raises(RuntimeError, match="shape"), sam(net, 0.5):
            net(self.x.T)
        assert all(torch.equal(v, before[n]) for n, v in net.state_dict().items())

    def test_the_scale_of_mixed_precision_does_not_change_the_direction(self):
        found = []
        for scale in (1.0, 1024.0):
            net = nn.Linear(3, 2)
            with torch.no_grad():
                net.weight.fill_(0.1)
                net.bias.zero_()
            (nn.functional.cross_entropy(net(self.x), self.y) * scale).backward()
            with sam(net, 0.5):
                (nn.functional.cross_entropy(net(self.x), self.y) * scale).backward()
            found.append(net.weight.grad / scale)
        torch.testing.assert_close(*found)

    @pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.0])
    def test_a_gradient_that_shows_no_way_up_moves_nothing(self, value):
        net = nn.Linear(3, 2)
        for p in net.parameters():
            p.grad = torch.full_like(p, value)
        before = net.weight.detach().clone()
        with sam(net):
            assert torch.equal(net.weight, before)
            net(self.x).sum().backward()

    def test_frozen_layers_stay(self):
        net = classifier()
        net[0].requires_grad_(False)
        nn.functional.cross_entropy(net(self.x), self.y).backward()
        before = net[0].weight.clone()
        with sam(net, 0.5):
            assert torch.equal(net[0].weight, before)
            nn.functional.cross_entropy(net(self.x), self.y).backward()
        assert net[0].weight.grad is None

    def test_a_forgotten_backward_is_said(self):
        net = classifier()
        with pytest.raises(ValueError, match="found no gradients"), sam(net):
            pass
        nn.functional.cross_entropy(net(self.x), self.y).backward()
        with pytest.raises(ValueError, match="ended without gradients"), sam(net):
            pass
        with pytest.raises(ValueError, match="radius=-1"), sam(net, -1):
            pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": 0.0}, "lr=0.0"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"lr": 0.1, "momentum": 1.0}, "momentum=1.0"),
        ({"lr": 0.1, "norm": "l3"}, "norm='l3'"),
        ({"lr": 0.1, "length": "long"}, "length='long'"),
        ({"lr": 0.1, "nesterov": True}, "no velocity"),
        ({"lr": 0.1, "norm": "spectral"}, r"shape \(5,\) under 'spectral'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        SteepestDescent(parameters(), **arguments)


def test_groups_have_norms_of_their_own_and_a_wrong_one_is_not_added():
    matrix, vector = parameters(shapes=((3, 3), (3,)))
    descent = SteepestDescent(
        [{"params": [matrix]}, {"params": [vector], "norm": "linf"}], lr=0.1, norm="spectral"
    )
    before = vector.detach().clone()
    descent.step()
    assert (vector.detach() - before).abs().tolist() == pytest.approx([0.1] * 3)
    with pytest.raises(ValueError, match="under 'spectral'"):
        descent.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
    assert len(descent.param_groups) == 2


def test_sparse_gradients_are_refused():
    table = nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1, 2])).sum().backward()
    with pytest.raises(TypeError, match="sparse=False"):
        SteepestDescent(table.parameters(), lr=0.1).step()


def test_matrices_only_for_orthogonalize():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        orthogonalize(torch.ones(3))


def test_it_resumes_exactly():
    def stepped(ps, descent, count):
        for i in range(count):
            for p in ps:
                p.grad = torch.sin(p.detach() + i)
            descent.step()

    ps = parameters()
    descent = SteepestDescent(ps, lr=0.1, norm="linf", momentum=0.9)
    stepped(ps, descent, 3)
    twins = [nn.Parameter(p.detach().clone()) for p in ps]
    other = SteepestDescent(twins, lr=0.1, norm="linf", momentum=0.9)
    other.load_state_dict(copy.deepcopy(descent.state_dict()))
    stepped(ps, descent, 3)
    stepped(twins, other, 3)
    assert all(torch.equal(p, q) for p, q in zip(ps, twins, strict=True))


RANKS = """
import copy, os
import torch
from torch import distributed as dist, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from trainwright.descent import SteepestDescent, sam

dist.init_process_group("gloo")
worst = 0.0
for norm in ("l2", "linf"):
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
    sharded = copy.deepcopy(whole)
    fully_shard(sharded, mesh=init_device_mesh("cpu", (2,)))
    x = torch.randn(8, 3)
    how = {"lr": 0.05, "norm": norm, "momentum": 0.5, "length": "dual"}
    optimizers = [SteepestDescent(net.parameters(), **how) for net in (whole, sharded)]
    for _ in range(3):
        for net, optimizer in zip((whole, sharded), optimizers):
            optimizer.zero_grad()
            net(x).square().mean().backward()
            with sam(net, 0.1):
                net(x).square().mean().backward()
            optimizer.step()
    for p, q in zip(sharded.parameters(), whole.parameters()):
        worst = max(worst, float((p.full_tensor() - q).abs().max()))
refused = 0
for norm in ("l1", "spectral"):
    try:
        SteepestDescent([p for p in sharded.parameters() if p.ndim > 1], lr=0.05, norm=norm)
    except TypeError:
        refused += 1
os.write(1, f"ended {worst} {refused}\\n".encode())
dist.destroy_process_group()
"""


def test_sharded_parameters_move_as_whole_ones_do(tmp_path):
    (tmp_path / "train.py").write_text(RANKS)
    command = "-m torch.distributed.run --standalone --nproc-per-node=2".split()
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path / "train.py")], capture_output=True, text=True, check=False
    )
    ends = [line.split() for line in done.stdout.splitlines() if line.startswith("ended")]
    assert len(ends) == 2, done.stderr[-2000:]
    for _, worst, refused in ends:
        assert float(worst) < 1e-6
        assert refused == "2"
