"""Starting weights and depth: Glorot & Bengio 2010, He et al. 2015, Mishkin & Matas 2016, Zhang et al. 2019."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import log, sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainwright import init

from .claim import Row, mean
from .digits import dense, digits, linears, start_, test_error, train, train_loss

GLOROT = "Glorot & Bengio 2010"
HE = "He et al. 2015"


def rows(seeds: int, fast: bool) -> Iterator[Row]:
    """The claims about depth; the slow ones only if not `fast`."""
    yield from shrinking(seeds)
    yield sigmoid_saturates(seeds)
    yield thirty_layers(seeds)
    yield diminishing(seeds)
    if not fast:
        yield normalised_is_better(seeds)
        yield layer_sequential(seeds)
        yield without_normalisation(seeds)


def standard(weight: Tensor) -> Tensor:
    """U(-1/sqrt n, 1/sqrt n): the heuristic that Glorot & Bengio call standard."""
    return nn.init.uniform_(weight, -1 / sqrt(weight.shape[1]), 1 / sqrt(weight.shape[1]))


def shrinking(seeds: int) -> Iterator[Row]:
    """Signal and gradient from layer to layer in a tanh net."""
    depth, width = 10, 300

    def factors(draw: Callable[[Tensor], object], seed: int) -> tuple[float, float]:
        """Geometric mean factor from one layer to the next of activations and of gradients, second half."""
        torch.manual_seed(seed)
        h = torch.randn(500, width)
        sums: list[Tensor] = []
        for _ in range(depth):
            weight = torch.empty(width, width)
            draw(weight)
            sums.append((h @ weight.T).requires_grad_())
            h = sums[-1].tanh()
        gradients = torch.autograd.grad((h * torch.randn_like(h)).sum(), sums)
        signal, back = [s.std().item() for s in sums], [g.std().item() for g in gradients]
        half = depth // 2
        return (signal[-1] / signal[half - 1]) ** (1 / half), (back[half - 1] / back[-1]) ** (1 / half)

    for name, draw, says, low, high in (
        (
            "standard",
            standard,
            "eq. 1 and 15: with U(−1/√n, 1/√n), n·Var(W) = 1/3, so variances fall by 3 (spreads by √3) a layer",
            0.55,
            0.61,
        ),
        (
            "normalised",
            nn.init.xavier_uniform_,
            "eq. 16 and section 4.2.2: the normalised start keeps activations and gradients nearly alike over layers",
            0.8,
            1.2,
        ),
    ):
        found = [factors(draw, seed) for seed in range(seeds)]
        forward, backward = (mean(values) for values in zip(*found, strict=True))
        yield Row(
            GLOROT,
            says,
            f"tanh, {depth} × {width}, {name}: factor of the standard deviation from layer to layer",
            f"activations {forward}, gradients {backward}",
            f"both in {low} to {high}" + (" (1/√3 = 0.577)" if name == "standard" else ""),
            all(low <= m.value <= high for m in (forward, backward)),
        )


def sigmoid_saturates(seeds: int) -> Row:
    """The top hidden layer of a sigmoid net goes to 0 first thing."""
    tops, below, losses = [], [], []
    for seed in range(seeds):
        data = digits(seed)
        torch.manual_seed(seed)
        net = start_(dense([64, 300, 300, 300, 300, 10], nn.Sigmoid), standard)
        sgd = torch.optim.SGD(net.parameters(), lr=0.3)
        train(net, data, sgd, epochs=2, batch_size=10, seed=seed)
        means, h = [], data.x
        with torch.no_grad():
            for layer in net:
                h = layer(h)
                if isinstance(layer, nn.Sigmoid):
                    means.append(h.mean().item())
        tops.append(means[-1])
        below.append(min(means[:-1]))
        losses.append(train_loss(net, data))
    top, lower, loss = mean(tops), mean(below), mean(losses)
    return Row(
        GLOROT,
        "section 3.1, figure 2: in a sigmoid net of 4 hidden layers the top one quickly saturates at 0",
        "sigmoid, 4 × 300, SGD, 258 steps of 10 digits: mean activation",
        f"top hidden layer {top}, lowest of the others {lower}, loss {loss}",
        "top below 0.1, others above 0.4, loss still at chance (above 2.25)",
        top.high < 0.1 and lower.low > 0.4 and loss.low > 2.25,
    )


def normalised_is_better(seeds: int) -> Row:
    """Table 1: test error of tanh nets."""
    gains, errors = [], []
    for seed in range(2 * seeds):
        data = digits(seed, train=400)
        pair = []
        for draw in (standard, nn.init.xavier_uniform_):
            torch.manual_seed(seed)
            net = start_(dense([64, 100, 100, 100, 100, 100, 10], nn.Tanh), draw)
            train(net, data, torch.optim.SGD(net.parameters(), lr=0.1), epochs=25, batch_size=20, seed=seed)
            pair.append(test_error(net, data))
        gains.append(pair[0] - pair[1])
        errors.append(pair)
    gain = mean(gains)
    before, after = (mean(values) for values in zip(*errors, strict=True))
    return Row(
        GLOROT,
        "table 1: 5 hidden tanh layers, test error standard → normalised: MNIST 1.76 → 1.64 %, Shapeset "
        "27.15 → 15.60 %",
        "5 × 100 tanh, 400 digits, 25 epochs: test error in %, same seeds",
        f"{before} → {after}; difference {gain}",
        "interval of the difference above 0",
        gain.low > 0,
    )


def he_normal(weight: Tensor) -> Tensor:
    """N(0, 2/n)."""
    return nn.init.kaiming_normal_(weight, nonlinearity="relu")


def thirty_layers(seeds: int) -> Row:
    """He learns where Xavier stands still, even with more epochs."""
    losses: dict[str, list[float]] = {"he": [], "xavier": []}
    for seed in range(seeds):
        data = digits(seed)
        for name, draw in (("he", he_normal), ("xavier", nn.init.xavier_normal_)):
            torch.manual_seed(seed)
            net = start_(dense([64] * 30 + [10], nn.ReLU), draw)
            sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
            losses[name].append(train_loss(train(net, data, sgd, epochs=20, seed=seed), data))
    he, xavier = mean(losses["he"]), mean(losses["xavier"])
    return Row(
        HE,
        "section 2.2, figure 3: of a 30-layer ReLU model, theirs converges; “Xavier” completely stalls, also with "
        "more epochs",
        "plain ReLU, 30 layers of 64 on digits, SGD with momentum, 20 epochs: training loss",
        f"He {he}, Xavier {xavier} (chance: {log(10):.3f})",
        "every Xavier run above 2.29, every He run below 2.1",
        min(losses["xavier"]) > 2.29 and max(losses["he"]) < 2.1,
    )


def diminishing(seeds: int) -> Row:
    """Under Xavier the gradients of the 30-layer net are gone, by 1/sqrt 2 a layer."""
    found = []
    for seed in range(seeds):
        data = digits(seed)
        norms = []
        for draw in (he_normal, nn.init.xavier_normal_):
            torch.manual_seed(seed)
            net = start_(dense([64] * 30 + [10], nn.ReLU), draw)
            F.cross_entropy(net(data.x), data.y).backward()
            norms.append(linears(net)[0].weight.grad.norm().item())  # type: ignore[union-attr]
        found.append(log(norms[1] / norms[0]) / log(2))
    doublings = mean(found)
    return Row(
        HE,
        "section 2.2: under “Xavier” the gradients are all diminishing; a variance of 1/n where ReLU needs 2/n costs "
        "1/√2 a layer",
        "the same nets at the start: log₂ of the first layer's gradient, Xavier over He",
        f"{doublings}",
        "within 2 of −14.5, for the 29 layers above it",
        abs(doublings.value + 14.5) < 2,
    )


def layer_sequential(seeds: int) -> Row:
    """LSUV against He and Xavier on 20 layers, three activations."""
    worst, figures = [], []
    for function, name in ((nn.ReLU, "ReLU"), (nn.Tanh, "tanh"), (nn.ELU, "ELU")):
        errors: dict[str, list[float]] = {"LSUV": [], "He": [], "Xavier": []}
        for seed in range(seeds):
            data = digits(seed)
            for start in errors:
                torch.manual_seed(seed)
                net = dense([64] * 20 + [10], function)
                if start == "LSUV":
                    init.unit_variance_(start_(net, nn.init.orthogonal_), data.x[:256])
                else:
                    start_(net, he_normal if start == "He" else nn.init.xavier_normal_)
                sgd = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
                errors[start].append(test_error(train(net, data, sgd, epochs=8, seed=seed), data))
        best = min(("He", "Xavier"), key=lambda start: sum(errors[start]))
        loss = mean([a - b for a, b in zip(errors["LSUV"], errors[best], strict=True)])
        worst.append(loss)
        figures.append(f"{name}: LSUV {mean(errors['LSUV'])}, {best} {mean(errors[best])}")
    return Row(
        "Mishkin & Matas 2016",
        "abstract: LSUV gives very deep nets with test accuracy better than or equal to standard methods",
        "plain nets of 20 layers of 64, digits, 8 epochs: test error in %, beside the better of He and Xavier",
        "; ".join(figures),
        "for each activation at most 2 points above the better of the two",
        all(loss.value <= 2 for loss in worst),
    )


class Block(nn.Module):
    """x + W2 relu(W1 x), with batch norm after each linear layer if asked for."""

    def __init__(self, width: int, norm: bool) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(width, width), nn.Linear(width, width)
        self.norms = nn.ModuleList([nn.BatchNorm1d(width) if norm else nn.Identity() for _ in range(2)])
        self.biases = nn.Parameter(torch.zeros(4))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norms[0](self.one(x + self.biases[0])).relu()
        out: Tensor = x + self.scale * self.norms[1](self.two(h + self.biases[1]))
        return out


def without_normalisation(seeds: int) -> Row:
    """Fixup on 100 residual blocks beside batch norm, same rate, first epochs."""
    blocks, width = 100, 32
    errors: dict[str, list[float]] = {"He": [], "Fixup": [], "batch norm": []}
    for seed in range(seeds):
        data = digits(seed)
        for start in errors:
            torch.manual_seed(seed)
            residual = [Block(width, start == "batch norm") for _ in range(blocks)]
            net = nn.Sequential(nn.Linear(64, width), *residual, nn.ReLU(), nn.Linear(width, 10))
            start_(net, he_normal)
            if start == "Fixup":
                init.fixup_(net, data.x[:64])
            sgd = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
            errors[start].append(test_error(train(net, data, sgd, epochs=2, seed=seed), data))
    he, fixup, norm = (mean(errors[start]) for start in ("He", "Fixup", "batch norm"))
    return Row(
        "Zhang, Dauphin & Ma 2019",
        "abstract: training residual nets with Fixup is as stable as with normalisation, even for 10,000 layers",
        f"{blocks} residual blocks ({2 * blocks + 2} layers) of {width} on digits, same rate, 2 epochs: test error, %",
        f"He without normalisation {he}, Fixup {fixup}, batch norm {norm}",
        "Fixup at most 2 points above batch norm in each seed, He above 80",
        all(f <= n + 2 for f, n in zip(errors["Fixup"], errors["batch norm"], strict=True))
        and min(errors["He"]) > 80,
    )
