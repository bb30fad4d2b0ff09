"""The limits of the rate against the optimisers of torch."""

import pytest
import torch
from torch import nn

from trainwright import curvature

from .known import quadratic

LIMITS = {
    "sgd": lambda p, lr: torch.optim.SGD(p, lr=lr),
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "dampening": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.8, dampening=0.5),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "decay": lambda p, lr: torch.optim.SGD(p, lr=lr, weight_decay=0.7),
}


class TestStability:
    @pytest.mark.parametrize("kind", LIMITS)
    @pytest.mark.parametrize(("factor", "stable"), [(0.98, True), (1.02, False)])
    def test_just_below_the_limit_sgd_settles_and_just_above_it_blows_up(self, kind, factor, stable):
        torch.manual_seed(0)
        matrix = torch.diag(torch.tensor([3.0, 1.0, 0.2], dtype=torch.float64))
        model, loss = quadratic(matrix)
        ratio = curvature.stability(model, loss, [matrix], LIMITS[kind](model.parameters(), 0.1)).ratio
        sgd = LIMITS[kind](model.parameters(), 0.1 / ratio * factor)
        assert curvature.stability(model, loss, [matrix], sgd).ratio == pytest.approx(factor, rel=1e-3)
        for _ in range(3000):
            sgd.zero_grad()
            loss(model, matrix).backward()
            sgd.step()
            if not model.w.abs().max() < 1e6:
                break
        assert (model.w.abs().max() < 1e-3) == stable

    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            (torch.optim.Adam, {}),
            (torch.optim.Adam, {"betas": (0.5, 0.999), "weight_decay": 0.3}),
            (torch.optim.Adam, {"amsgrad": True}),
            (torch.optim.AdamW, {"weight_decay": 0.0}),
            (torch.optim.RMSprop, {}),
            (torch.optim.RMSprop, {"momentum": 0.8, "centered": True}),
            (torch.optim.Adagrad, {"lr_decay": 1e-7}),
        ],
    )
    @pytest.mark.parametrize(("factor", "stable"), [(0.97, True), (1.03, False)])
    def test_with_its_scale_held_still_an_adaptive_one_does_so_too(self, kind, options, factor, stable):
        torch.manual_seed(0)
        matrix = torch.diag(torch.tensor([3.0, 1.0, 0.2], dtype=torch.float64))
        model, loss = quadratic(matrix)
        optimizer = kind(model.parameters(), lr=1e-9, **options)

        def step():
            optimizer.zero_grad()
            loss(model, matrix).backward()
            optimizer.step()

        step()
        state = optimizer.state[model.w]
        squares = {"exp_avg_sq", "max_exp_avg_sq", "square_avg", "sum"} & state.keys()
        scale = torch.tensor([4.0, 1e4, 1e4], dtype=torch.float64)
        state["step"].fill_(1e5)  # Adam's corrections for a young average are over

        def hold():
            for name in squares:
                state[name].copy_(scale)

        hold()
        found = curvature.stability(model, loss, [matrix], optimizer)
        optimizer.param_groups[0]["lr"] *= factor / found.ratio
        with torch.no_grad():
            model.w.copy_(torch.tensor([1e-3, 0, 0]))
        for name in state.keys() & {"exp_avg", "momentum_buffer", "grad_avg"}:
            state[name].zero_()
        for _ in range(600):
            step()
            hold()
            if not model.w.detach().abs().max() < 10:
                break
        assert bool(model.w.detach()[0].abs() < 1e-6) == stable

    def test_adam_after_one_step_divides_by_the_gradient_and_both_corrections_count(self):
        matrix = torch.tensor([[5.0]], dtype=torch.float64)
        model, loss = quadratic(matrix)
        adam = torch.optim.Adam(model.parameters(), lr=1e-12, betas=(0.9, 0.999), eps=1e-12)
        gradient = 5 * abs(model.w.item())
        loss(model, matrix).backward()
        adam.step()
        found = curvature.stability(model, loss, [matrix], adam)
        assert found.sharpness == pytest.approx(5 / (0.1 * gradient), rel=1e-6)
        assert found.limit == pytest.approx(38 / 1e-12)

    def test_the_decay_that_adamw_makes_apart_is_left_out(self):
        matrix = torch.eye(2, dtype=torch.float64)
        model, loss = quadratic(matrix)
        found = []
        for kind in (torch.optim.Adam, torch.optim.AdamW):
            optimizer = kind(model.parameters(), lr=1e-12, weight_decay=1.0)
            loss(model, matrix).backward()
            optimizer.step()
            optimizer.state[model.w]["exp_avg_sq"].fill_(1.0)
            found.append(curvature.stability(model, loss, [matrix], optimizer).sharpness)
        assert found[0] == pytest.approx(2 * found[1], rel=1e-6)

    def test_slower_groups_curve_less_and_weights_of_no_optimiser_not_at_all(self):
        model = nn.ModuleList([nn.Linear(1, 1, bias=False) for _ in range(3)])

        def loss(model, _):
            return sum(c / 2 * m.weight.pow(2).sum() for c, m in zip((1, 8, 100), model, strict=True))

        groups = [{"params": model[0].parameters(), "lr": 0.4}, {"params": model[1].parameters(), "lr": 0.1}]
        found = curvature.stability(model, loss, [0], torch.optim.SGD(groups))
        assert found.sharpness == pytest.approx(2, rel=1e-4)  # 8 at a quarter of the largest rate
        assert found.limit == pytest.approx(5)

    def test_what_it_does_not_know_is_refused(self):
        net, x = nn.Linear(2, 1), [torch.ones(3, 2)]

        def loss(net, x):
            return net(x).pow(2).mean()

        with pytest.raises(TypeError, match="got Rprop; it knows"):
            curvature.stability(net, loss, x, torch.optim.Rprop(net.parameters()))
        with pytest.raises(ValueError, match="Adam before its first step"):
            curvature.stability(net, loss, x, torch.optim.Adam(net.parameters()))
        with pytest.raises(ValueError, match="none of the model's weights"):
            curvature.stability(net, loss, x, torch.optim.SGD(nn.Linear(2, 1).parameters()))
        with pytest.raises(ValueError, match="rates of zero"):
            curvature.stability(net, loss, x, torch.optim.SGD(net.parameters(), lr=0.0))
        with pytest.raises(ValueError, match="maximises"):
            curvature.stability(net, loss, x, torch.optim.SGD(net.parameters(), maximize=True))
        groups = [{"params": [net.weight], "momentum": 0.9}, {"params": [net.bias]}]
        with pytest.raises(ValueError, match="different momentum"):
            curvature.stability(net, loss, x, torch.optim.SGD(groups, lr=0.1))
