"""What kind of place the weights are at."""

import pytest
import torch
from torch import nn

from trainwright import curvature

from .known import cases, cross_entropy, quadratic, squares


class TestStandstill:
    @pytest.mark.parametrize(
        ("curvatures", "kind"),
        [
            ((2.0, 1.0), "minimum"),
            ((2.0, -1.0), "saddle"),
            ((-2.0, -1.0), "maximum"),
            ((0.0, 0.0), "flat"),
            ((2.0, 0.0), "minimum"),
            ((2.0, -1e-3), "minimum"),
        ],
    )
    def test_the_kind_is_told_by_the_signs(self, curvatures, kind):
        matrix = torch.diag(torch.tensor(curvatures, dtype=torch.float64))
        model, loss = quadratic(matrix)
        nn.init.zeros_(model.w)
        found = curvature.standstill(model, loss, [matrix])
        assert found.kind == kind
        assert (found.lowest, found.highest) == pytest.approx((min(curvatures), max(curvatures)))
        nn.init.ones_(model.w)
        if any(curvatures):
            assert curvature.standstill(model, loss, [matrix]).kind == "slope"

    def test_dead_units_are_a_flat(self):
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1, bias=False))
        nn.init.constant_(net[0].bias, -100.0)
        assert curvature.standstill(net, squares, [(torch.randn(8, 3), torch.randn(8, 1))]).kind == "flat"


def test_the_change_of_a_step_is_what_the_step_does():
    torch.manual_seed(0)
    model, batches = cases()["tanh"]
    model.double()
    batches = [(x.double(), y) for x, y in batches]
    here = curvature.along_gradient(model, cross_entropy, batches)

    def mean():
        return sum(cross_entropy(model, b) for b in batches) / len(batches)

    before = mean()
    before.backward()
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    assert here.change(1e-3) == pytest.approx((mean() - before).item(), rel=1e-5)
    assert here.change(here.best_rate) < min(
        here.change(0.8 * here.best_rate), here.change(1.2 * here.best_rate)
    )
