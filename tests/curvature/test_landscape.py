"""The loss along lines and on planes."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainwright import curvature
from trainwright.curvature.landscape import Line

from .known import cases, cross_entropy, quadratic, squares


class TestLine:
    def test_the_losses_are_those_of_the_weights_between(self):
        torch.manual_seed(0)
        model, batches = cases()["tanh"]
        start, other = copy.deepcopy(model.state_dict()), cases()["tanh"][0].state_dict()
        end = {k: v + torch.randn_like(v) for k, v in other.items()}
        found = curvature.line(model, cross_entropy, batches, end, points=5)
        for t, value in zip(found.positions, found.losses, strict=True):
            model.load_state_dict({k: (1 - t) * start[k] + t * end[k] for k in start})
            expected = np.mean([cross_entropy(model, b).item() for b in batches])
            assert value == pytest.approx(expected, rel=1e-5)

    def test_from_saved_weights_to_the_present_ones_ends_at_the_present_loss(self):
        model, batches = cases()["tanh"]
        saved = {k: torch.zeros_like(v) for k, v in model.state_dict().items()}
        found = curvature.line(model, cross_entropy, batches[:1], model.state_dict(), start=saved)
        assert found.losses[0] == pytest.approx(math.log(3), rel=1e-6)
        assert found.losses[-1] == cross_entropy(model, batches[0]).item()

    def test_running_statistics_are_interpolated_and_counters_are_not(self):
        seen = []
        net = nn.BatchNorm1d(2).eval()
        end = copy.deepcopy(net.state_dict())
        end["running_mean"] += 1
        end["num_batches_tracked"] += 7

        def loss(net, x):
            seen.append((float(net.running_mean[0]), int(net.num_batches_tracked)))
            return net(x).pow(2).mean()

        curvature.line(net, loss, [torch.ones(4, 2)], end, points=3)
        assert seen == [(0.0, 0), (0.5, 0), (1.0, 0)]

    @given(st.lists(st.floats(-10, 10), min_size=3, max_size=9))
    def test_the_barrier_is_never_below_zero_and_at_most_the_rise_over_the_lower_end(self, losses):
        found = Line(np.linspace(0, 1, len(losses)), np.array(losses))
        assert 0 <= found.barrier <= max(losses) - min(losses[0], losses[-1]) + 1e-9

    def test_two_signs_of_a_deep_net_are_parted_by_a_barrier(self):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 1))
        x = torch.randn(64, 4)
        batch = (x, net(x).detach())
        mirrored = {k: -v if k != "2.bias" else v for k, v in net.state_dict().items()}
        found = curvature.line(net, squares, [batch], mirrored)
        assert found.losses[[0, -1]] == pytest.approx([0, 0], abs=1e-10)
        assert found.barrier > 0.5 * float(batch[1].var())
        assert found.barrier_at == 0.5

    def test_a_loss_that_overflows_on_the_way_is_told_as_it_is(self):
        net = nn.Linear(1, 1)
        end = {k: torch.full_like(v, 1e30) for k, v in net.state_dict().items()}
        found = curvature.line(net, lambda net, x: net(x).pow(2).mean(), [torch.ones(1, 1)], end, points=3)
        assert np.isfinite(found.losses).tolist() == [True, False, False]

    def test_what_does_not_fit_is_refused(self):
        net, x = nn.Linear(2, 1), [torch.ones(1, 2)]

        def loss(net, x):
            return net(x).sum()

        with pytest.raises(ValueError, match="`end` whose names differ from the model's, first at `bias`"):
            curvature.line(net, loss, x, {"weight": torch.ones(1, 2)})
        start = {"weight": torch.ones(1, 3), "bias": torch.ones(1)}
        with pytest.raises(ValueError, match=r"`start` with `weight` of shape \(1, 3\)"):
            curvature.line(net, loss, x, net.state_dict(), start=start)
        with pytest.raises(ValueError, match="points=2"):
            curvature.line(net, loss, x, net.state_dict(), points=2)


class TestPlane:
    def test_the_losses_are_those_of_the_weights_on_the_plane(self):
        matrix = torch.diag(torch.tensor([2.0, 6.0], dtype=torch.float64))
        model, loss = quadratic(matrix)
        nn.init.zeros_(model.w)
        axes = tuple([row] for row in torch.eye(2, dtype=torch.float64))
        found = curvature.plane(model, loss, [matrix], directions=axes, reach=2.0, points=5)
        first, second = np.meshgrid(found.steps, found.steps, indexing="ij")
        assert found.losses == pytest.approx(first**2 + 3 * second**2)
        assert found.steps.tolist() == [-2, -1, 0, 1, 2]

    @given(out=st.integers(1, 5), scale=st.floats(0.01, 100), seed=st.integers(0, 99))
    @settings(max_examples=30, deadline=None)
    def test_each_filter_of_a_direction_is_as_long_as_the_models(self, out, scale, seed):
        net = nn.Sequential(nn.Conv2d(2, out, 3), nn.BatchNorm2d(out), nn.Linear(4, out))
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(scale)
        direction = curvature.random_direction(net, torch.Generator().manual_seed(seed))
        for d, p in zip(direction, net.parameters(), strict=True):
            if p.dim() > 1:
                assert torch.allclose(d.flatten(1).norm(dim=1), p.flatten(1).norm(dim=1), rtol=1e-4)
            else:
                assert not d.any()

    def test_scaling_two_relu_layers_against_each_other_leaves_the_picture_as_it_is(self):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 1, bias=False))
        batch = (torch.randn(32, 4), torch.randn(32, 1))
        scaled = copy.deepcopy(net)
        with torch.no_grad():
            scaled[0].weight.mul_(8)
            scaled[2].weight.div_(8)
        pictures = [
            curvature.plane(m, squares, [batch], points=5, generator=torch.Generator().manual_seed(0)).losses
            for m in (net, scaled)
        ]
        assert pictures[0] == pytest.approx(pictures[1], rel=1e-4)

    def test_what_does_not_fit_is_refused(self):
        net, x = nn.Linear(2, 1), [torch.ones(1, 2)]
        with pytest.raises(ValueError, match="an odd number"):
            curvature.plane(net, lambda net, x: net(x).sum(), x, points=4)
        with pytest.raises(ValueError, match="one tensor for each parameter"):
            curvature.plane(
                net, lambda net, x: net(x).sum(), x, directions=([torch.ones(2)], [torch.ones(2)])
            )
        with pytest.raises(ValueError, match="without a parameter that requires grad"):
            curvature.random_direction(nn.ReLU())
