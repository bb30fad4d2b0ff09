"""Descent: the ill-conditioned valley, AdaGrad's stall, warm restarts, the edge of stability."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import log
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainwright import curvature, schedule

from .claim import Row, mean
from .digits import Data, dense, digits, steps, test_error

Optimise = Callable[[Iterable[Tensor]], torch.optim.Optimizer]


def rows(seeds: int, fast: bool) -> Iterator[Row]:
    """The claims about descent; the slow ones only if not `fast`."""
    yield zigzag()
    yield from iterations()
    yield from adagrad(seeds)
    yield edge_of_stability(seeds)
    if not fast:
        yield warm_restarts(seeds)


def zigzag() -> Row:
    """Steepest descent with an exact line search on a quadratic of ten dimensions."""
    scales = np.logspace(0, 2, 10)
    x = np.random.default_rng(0).normal(size=10)
    taken: list[np.ndarray[tuple[int], np.dtype[np.float64]]] = []
    for _ in range(60):
        g = scales * x
        taken.append(-(g @ g) / (g @ (scales * g)) * g)
        x = x + taken[-1]

    def cosine(lag: int) -> float:
        a, b = taken[-1], taken[-1 - lag]
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    return Row(
        "Akaike 1959",
        "steepest descent with exact line search ends up zig-zagging in a plane: each step at right angles to the one "
        "before and along the one before that",
        "10 dimensions, condition number 100, after 60 steps: cosine of a step to the one before, to the second before",
        f"{cosine(1):.1e}, {cosine(2):.5f}",
        "first below 1e-6 in size, second above 0.99",
        abs(cosine(1)) < 1e-6 and cosine(2) > 0.99,
    )


def iterations() -> Iterator[Row]:
    """Steps to a millionth of the distance against the condition number, each at its best rate."""

    def needed(kappa: float, momentum: bool) -> int:
        scales = torch.tensor([1.0, kappa], dtype=torch.float64)
        w = torch.ones(2, dtype=torch.float64, requires_grad=True)
        root = kappa**0.5
        if momentum:
            sgd = torch.optim.SGD([w], lr=(2 / (1 + root)) ** 2, momentum=((root - 1) / (root + 1)) ** 2)
        else:
            sgd = torch.optim.SGD([w], lr=2 / (1 + kappa))
        count = 0
        while w.detach().norm() > 1e-6 * 2**0.5:
            w.grad = scales * w.detach()
            sgd.step()
            count += 1
        return count

    kappas = (10.0, 30.0, 100.0, 300.0, 1000.0)
    for name, momentum, slope, says in (
        (
            "gradient descent",
            False,
            1.0,
            "at the best fixed rate the distance shrinks by (κ − 1)/(κ + 1) a step",
        ),
        (
            "momentum",
            True,
            0.5,
            "with the best momentum it shrinks by (√κ − 1)/(√κ + 1), the cure of the narrow valley",
        ),
    ):
        counts = [needed(kappa, momentum) for kappa in kappas]
        fitted = float(np.polyfit(np.log(kappas), np.log(counts), 1)[0])
        yield Row(
            "Polyak 1964",
            says + f": steps grow as κ{'' if slope == 1 else ' to the power ½'}",
            f"torch.optim.SGD, {name}: steps to 1e-6 for κ = 10, 30, 100, 300, 1000, and the fitted power of κ",
            f"{', '.join(map(str, counts))}: {fitted:.2f}",
            f"power within 0.1 of {slope}",
            abs(fitted - slope) < 0.1,
        )


def adagrad(seeds: int) -> Iterator[Row]:
    """The rate that AdaGrad has left, and what it can still learn."""
    makers: dict[str, Optimise] = {
        "AdaGrad": lambda p: torch.optim.Adagrad(p, lr=0.1),
        "RMSProp": lambda p: torch.optim.RMSprop(p, lr=0.01),
    }
    powers: dict[str, list[float]] = {name: [] for name in makers}
    late: dict[str, list[float]] = {name: [] for name in makers}
    for seed in range(seeds):
        for name, optimise in makers.items():
            generator = torch.Generator().manual_seed(seed)
            w = torch.zeros(20, requires_grad=True)
            optimizer = optimise([w])

            early, scales = half_way(optimizer, w, 1.0, 200, generator), [left(optimizer, w)]
            half_way(optimizer, w, 1.0, 3800, generator)
            scales.append(left(optimizer, w))
            powers[name].append(log(scales[1] / scales[0]) / log(4000 / 200))
            late[name].append(half_way(optimizer, w, 0.0, 4000, generator) / early)
    yield Row(
        "Zeiler 2012",
        "section 2.2.2: AdaGrad's sum of squared gradients keeps growing, so its rate falls throughout training",
        "noisy quadratic: power of the step with which the effective rate falls from step 200 to step 4000",
        "; ".join(f"{name} {mean(found)}" for name, found in powers.items()),
        "AdaGrad within 0.1 of −½ (as 1/√t), RMSProp within 0.1 of 0",
        abs(mean(powers["AdaGrad"]).value + 0.5) < 0.1 and abs(mean(powers["RMSProp"]).value) < 0.1,
    )
    yield Row(
        "Zeiler 2012",
        "section 2.2.2: the rate eventually goes to zero, which stops training",
        "the target moves at step 4000: steps to half way there, over the steps that the first such way took",
        "; ".join(f"{name} {mean(found)}" for name, found in late.items()),
        "AdaGrad above 5, and above three times RMSProp's",
        mean(late["AdaGrad"]).low > max(5, 3 * mean(late["RMSProp"]).high),
    )


def half_way(
    optimizer: torch.optim.Optimizer, w: Tensor, target: float, most: int, generator: torch.Generator
) -> int:
    """Steps until the weights' mean is half way to the target, with noisy gradients; all `most` are made."""
    found, begin = most, w.detach().mean().item()
    for count in range(1, most + 1):
        w.grad = w.detach() - target + torch.randn(len(w), generator=generator)
        optimizer.step()
        if found == most and abs(w.detach().mean().item() - begin) > abs(target - begin) / 2:
            found = count
    return found


def left(optimizer: torch.optim.Optimizer, w: Tensor) -> float:
    """The optimiser's mean effective rate."""
    state, group = optimizer.state[w], optimizer.param_groups[0]
    square = state["sum"] if "sum" in state else state["square_avg"]
    return float((group["lr"] / (square.sqrt() + group["eps"])).mean())


def warm_restarts(seeds: int) -> Row:
    """Epochs to the final test error of a stepped schedule."""
    epochs, size = 63, 32
    found, figures = [], []
    for seed in range(seeds):
        data = digits(seed, noise=0.3)
        per_epoch = len(data.y) // size
        stepped = [int(epochs * per_epoch * share) for share in (0.3, 0.6, 0.8)]
        before = errors_by_epoch(data, seed, schedule.milestones(stepped, 0.2), epochs, size)
        after = errors_by_epoch(data, seed, schedule.warm_restarts(per_epoch, growth=2), epochs, size)
        enough = before[-1] + 0.5
        first = next(epoch for epoch, error in enumerate(before, 1) if error <= enough)
        ends = [epoch for epoch in (1, 3, 7, 15, 31, 63) if after[epoch - 1] <= enough]
        found.append(first / ends[0] if ends else 0.0)
        figures.append(f"{first}/{ends[0] if ends else '–'}")
    return Row(
        "Loshchilov & Hutter 2017",
        "section 1: warm restarts need 2 to 4 times fewer epochs than the schedules then in use for comparable or "
        "better results",
        "2 × 128 ReLU on noisy digits, restarts after 1, 3, 7, ... epochs against dividing by 5 at 30, 60, 80 % of 63: "
        "first epoch within half a point of the latter's last test error (for restarts: at the end of a cycle)",
        ", ".join(figures),
        "median ratio over seeds at least 2",
        median(found) >= 2,
    )


def errors_by_epoch(
    data: Data, seed: int, factor: Callable[[int], float], epochs: int, size: int
) -> list[float]:
    """Test error after each epoch."""
    torch.manual_seed(seed)
    net = dense([64, 128, 128, 10], nn.ReLU)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.LambdaLR(sgd, factor)
    errors: list[float] = []
    per_epoch = len(data.y) // size
    for step, (x, y) in enumerate(steps(data, epochs, size, seed), 1):
        loss = F.cross_entropy(net(x), y)
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        scheduler.step()
        if step % per_epoch == 0:
            errors.append(test_error(net, data))
    return errors


def half_squares(net: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Half the squared distance to the one-hot labels, mean over samples."""
    return F.mse_loss(net(batch[0]), batch[1]) * batch[1].shape[1] / 2


def edge_of_stability(seeds: int) -> Row:
    """Sharpness over 2 / rate during full-batch gradient descent."""
    starts, ends, falls, rises = [], [], [], []
    for seed in range(seeds):
        data = digits(seed, train=200)
        batch = data.x, F.one_hot(data.y, 10).float()
        torch.manual_seed(seed)
        net = dense([64, 32, 32, 10], nn.Tanh)
        sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        ratios, losses = [], []
        for step in range(3001):
            if step == 0 or step in range(2000, 3001, 250):
                ratios.append(curvature.stability(net, half_squares, [batch], sgd).ratio)
            loss = half_squares(net, batch)
            losses.append(loss.item())
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        starts.append(ratios[0])
        ends.append(median(ratios[1:]))
        falls.append(losses[-1] / losses[2000])
        rises.append(100 * float(np.mean(np.diff(losses) > 0)))
    start, end, fall = mean(starts), mean(ends), mean(falls)
    return Row(
        "Cohen et al. 2021",
        "abstract: in full-batch gradient descent the largest Hessian eigenvalue hovers just above 2 / rate, and the "
        "loss rises over short times yet falls over long ones",
        "2 × 32 tanh on 200 digits, rate 0.1, 3000 steps: largest eigenvalue × rate / 2 (curvature.stability)",
        f"{start} at the start, {end} from step 2000 on; the loss rises in {min(rises):.2g} to {max(rises):.2g} % of "
        f"the steps, and from step 2000 on falls to {fall} of its value",
        "start below 0.8, later within 0.95 to 1.15; in every seed some steps rise and the loss falls",
        start.value < 0.8 and end.low > 0.95 and end.high < 1.15 and min(rises) > 0 and max(falls) < 1,
    )
