"""Formulas that textbooks, notes and code get wrong, and what each version does, measured.

    python bench/toolkit/often_wrong.py            # under 30 s
    python bench/toolkit/often_wrong.py --fast     # one seed: seconds; writes nothing

Each row states a quantity, the range that it must lie in for the version to do what the formula is for, and the
median over seeds. "holds" is whether every seed lies in the range. Results go to
bench/results/toolkit_often_wrong.json; `tests/test_often_wrong.py` runs the same functions.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import sqrt
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from trainwright import activation, init, regularize

HERE = Path(__file__).parent
SEEDS = 5
DEPTH = 10
KEPT = (0.1, 10.0)
"""A signal or a gradient is kept over ten layers if it is within a decade of what it was."""
Activation = Callable[[Tensor], Tensor]


class Row(NamedTuple):
    """One version of one formula, and what was measured of it."""

    formula: str
    version: str
    quantity: str
    low: float
    high: float
    measured: float

    @property
    def holds(self) -> bool:
        return self.low <= self.measured <= self.high


def everything(seed: int) -> Iterator[Row]:
    """All rows for one seed."""
    for measure in (
        naive_uniform,
        spread_or_variance,
        he_factors,
        one_norm,
        exact_zeros,
        dropout_scale,
        batch_variance,
        fans_of_torch,
    ):
        torch.manual_seed(seed)
        yield from measure()


def naive_uniform() -> Iterator[Row]:
    """U(-1/n, 1/n) or U(-1/sqrt n, 1/sqrt n), on ten tanh layers."""
    for version, bound in (
        ("U(−1/n, 1/n), as in the formula", lambda n: 1 / n),
        ("U(−1/√n, 1/√n), as in the code", lambda n: 1 / sqrt(n)),
        ("U(−√3/√n, √3/√n): Xavier's variance 1/n", lambda n: sqrt(3 / n)),
    ):
        layers = [torch.empty(256, 256).uniform_(-bound(256), bound(256)) for _ in range(DEPTH)]
        signal, _ = through(layers, torch.tanh)
        yield Row("naive uniform start", version, "std after 10 tanh layers / before", *KEPT, signal)


def spread_or_variance() -> Iterator[Row]:
    """N(0, s) read as standard deviation s or as variance s, with Xavier's 2 / (n_in + n_out)."""
    spread = 2 / (256 + 256)
    for version, std in (
        ("normal_(0, 2/(n_in+n_out)): the variance as std", spread),
        ("normal_(0, √(2/(n_in+n_out)))", sqrt(spread)),
    ):
        signal, _ = through([torch.randn(256, 256) * std for _ in range(DEPTH)], torch.tanh)
        yield Row(
            "Xavier's N(0, σ) for N(0, σ²)", version, "std after 10 tanh layers / before", *KEPT, signal
        )


def he_factors() -> Iterator[Row]:
    """Normal std of f·sqrt(2/(n_in+n_out)) with f = 1 sigmoid, 4 tanh, sqrt 2 ReLU, against each one's own."""
    formula = "normal std f·√(2/(n_in+n_out)), f = 1 sigmoid, 4 tanh, √2 ReLU"
    square, narrowing = [256] * (DEPTH + 1), [2048, 1024, 512, 256, 128, 64]

    def he(n: int, m: int) -> float:
        return sqrt(2 / n)

    def mean_fan(f: float) -> Callable[[int, int], float]:
        return lambda n, m: f * sqrt(2 / (n + m))

    relu = [("f = √2", mean_fan(sqrt(2))), ("He: √(2/n_in)", he)]
    for version, std in relu:
        signal, _ = through(normal(square, std), torch.relu)
        yield Row(formula, f"ReLU, equal widths, {version}", "rms after 10 layers / before", 0.5, 2.0, signal)
    for version, std in relu:
        signal, _ = through(normal(narrowing, std), torch.relu)
        yield Row(
            formula, f"ReLU, widths halving, {version}", "rms after 5 layers / before", 0.7, 1.4, signal
        )
    for version, f in (
        ("f = 4", 4.0),
        ("f = 1 (Xavier)", 1.0),
        ("by quadrature", activation.gain(torch.tanh)),
    ):
        weights = normal(square, mean_fan(f))
        signal, gradient = through(weights, torch.tanh)
        yield Row(formula, f"tanh, {version}", "gradient at the first of 10 layers / last", *KEPT, gradient)
        yield Row(
            formula, f"tanh, {version}", "share of units saturated (|h| > 0.97)", 0, 0.1, saturated(weights)
        )
        yield Row(formula, f"tanh, {version}", "rms after 10 layers / before", *KEPT, signal)
    for version, f in (("f = 1", 1.0), ("f = 4, which is the sigmoid's", 4.0)):
        _, gradient = through(normal(square, mean_fan(f)), torch.sigmoid)
        yield Row(
            formula, f"sigmoid, {version}", "gradient at the first of 10 layers / last", 1e-3, 1e3, gradient
        )


def one_norm() -> Iterator[Row]:
    """Sum of sqrt(theta^2) is the L1 norm."""
    weights = torch.randn(1000, dtype=torch.float64, requires_grad=True)
    value = weights.square().sqrt().sum()
    (gradient,) = torch.autograd.grad(value, weights)
    for name, other in (
        ("L1", weights.abs().sum()),
        ("L2", weights.norm()),
        ("½Σθ²", weights.square().sum() / 2),
    ):
        ratio = float((value / other).detach())
        yield Row("Σ√θ² as L2", f"it is {name}", f"Σ√θ² / {name}", 1 - 1e-9, 1 + 1e-9, ratio)
    for name, like in (("L1: sign(θ)", weights.detach().sign()), ("L2: along θ", weights.detach())):
        cosine = float(F.cosine_similarity(gradient, like, dim=0))
        yield Row("Σ√θ² as L2", f"its gradient is that of {name}", "cosine", 1 - 1e-9, 1 + 1e-9, cosine)


def exact_zeros() -> Iterator[Row]:
    """Which penalty makes weights exactly zero: 5 of 50 inputs matter."""
    x = torch.randn(200, 50)
    truth = torch.zeros(50)
    truth[:5] = torch.tensor([3.0, -2.0, 1.5, 1.0, -1.0])
    y = x @ truth + 0.1 * torch.randn(200)

    def fit(penalty: Callable[[Tensor], Tensor] | None) -> float:
        weights, lr, strength = nn.Parameter(0.1 * torch.randn(50)), 0.05, 0.1
        for _ in range(300):
            loss = (x @ weights - y).square().mean() / 2
            if penalty is not None:
                loss = loss + strength * penalty(weights)
            (gradient,) = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                weights -= lr * gradient
            if penalty is None:
                regularize.l1_prox_(weights, strength, lr=lr)
        return float((weights[5:] == 0).float().mean())

    for version, penalty in (
        ("Σ√θ² in the loss", lambda w: (w.square() + 1e-24).sqrt().sum()),
        ("Σ|θ| in the loss", lambda w: w.abs().sum()),
        ("½Σθ² in the loss", lambda w: w.square().sum() / 2),
        ("soft threshold after the step", None),
    ):
        quantity = "share of 45 needless weights exactly 0"
        yield Row("L1 makes weights zero", version, quantity, 0.9, 1.0, fit(penalty))


def dropout_scale() -> Iterator[Row]:
    """Where dropout scales: the mean in training over the output in testing, for p = 0.5."""
    p, ones = 0.5, torch.ones(400_000)

    def scaled(in_training: float, in_testing: float) -> float:
        mask = torch.rand_like(ones) >= p
        return float((ones * mask * in_training).mean()) / float((ones * in_testing).mean())

    classical = [
        regularize.classical_dropout(ones, p, training=training).mean() for training in (True, False)
    ]
    torch_ratio = float(F.dropout(ones, p, training=True).mean() / F.dropout(ones, p, training=False).mean())
    for version, ratio in (
        ("inverted: 1/(1−p) in training", scaled(1 / (1 - p), 1.0)),
        ("classical: 1−p in testing", scaled(1.0, 1 - p)),
        ("trainwright's classical_dropout", float(classical[0] / classical[1])),
        ("torch: scales in training, so it is inverted", torch_ratio),
        ("both at once", scaled(1 / (1 - p), 1 - p)),
        ("neither", scaled(1.0, 1.0)),
    ):
        yield Row("inverted dropout", version, "mean in training / in testing", 0.99, 1.01, ratio)
    output = float(F.dropout(ones, p, training=True).max())
    yield Row(
        "inverted dropout", "torch in training: what it multiplies kept units by", "factor", 2, 2, output
    )


def batch_variance() -> Iterator[Row]:
    """Batch norm's variance with and without the square."""
    x = 3 + 2 * torch.randn(512, 16)
    centred = x - x.mean(0)
    for version, variance in (
        ("σ² = mean(x − μ)", centred.mean(0)),
        ("σ² = mean((x − μ)²)", centred.square().mean(0)),
        ("torch's batch_norm", None),
    ):
        if variance is None:
            out = F.batch_norm(x, None, None, training=True)
        else:
            out = centred / (variance + 1e-5).abs().sqrt()
        yield Row(
            "batch norm's σ² without the square", version, "std of the output", 0.99, 1.01, float(out.std())
        )


def fans_of_torch() -> Iterator[Row]:
    """torch.nn.init's fans for transposed and grouped convolutions, against counting the inputs of an output."""
    transposed = nn.ConvTranspose2d(64, 16, 3, bias=False)
    strided = nn.ConvTranspose2d(64, 64, 4, stride=2, bias=False)
    grouped = nn.Conv2d(64, 64, 3, groups=8, bias=False)
    formula = "fans of torch.nn.init"
    for name, layer in (("transposed, stride 1", transposed), ("transposed, stride 2", strided)):
        for version, std in (
            ("fan_in of torch", 1 / sqrt(nn.init._calculate_fan_in_and_fan_out(layer.weight)[0])),
            ("fan_in counted", 1 / sqrt(counted_fan_in(layer))),
            ("fan_in of trainwright's fans", 1 / sqrt(init.fans(layer).fan_in)),
        ):
            nn.init.normal_(layer.weight, std=std)
            yield Row(formula, f"{name}, {version}", "variance out / in", 0.8, 1.25, forward_variance(layer))
    for version, std in (
        ("fan_in of torch", 1 / sqrt(nn.init._calculate_fan_in_and_fan_out(grouped.weight)[0])),
        ("fan_in counted", 1 / sqrt(counted_fan_in(grouped))),
    ):
        nn.init.normal_(grouped.weight, std=std)
        yield Row(formula, f"8 groups, {version}", "variance out / in", 0.8, 1.25, forward_variance(grouped))
    for version, std in (
        ("fan_out of torch", 1 / sqrt(nn.init._calculate_fan_in_and_fan_out(grouped.weight)[1])),
        ("fan_out of trainwright's fans", 1 / sqrt(init.fans(grouped).fan_out)),
    ):
        nn.init.normal_(grouped.weight, std=std)
        back = backward_variance(grouped)
        yield Row(formula, f"8 groups, {version}", "variance of the gradient in / out", 0.8, 1.25, back)


def normal(widths: Sequence[int], std: Callable[[int, int], float]) -> list[Tensor]:
    """Weights from each width to the next."""
    return [torch.randn(m, n) * std(n, m) for n, m in pairwise(widths)]


def through(weights: Sequence[Tensor], function: Activation) -> tuple[float, float]:
    """RMS of the last pre-activation over that of the first, and of the gradient at the first over the last."""
    h = torch.randn(1024, weights[0].shape[1])
    sums: list[Tensor] = []
    for weight in weights:
        sums.append((h @ weight.T).requires_grad_())  # the first needs it, the others have it
        h = function(sums[-1])
    gradients = torch.autograd.grad((h * torch.randn_like(h)).sum(), [sums[0], sums[-1]])
    signal = sums[-1].square().mean().sqrt() / sums[0].square().mean().sqrt()
    total = gradients[0].norm() / gradients[1].norm()
    return signal.item(), total.item()


def saturated(weights: Sequence[Tensor]) -> float:
    """Share of tanh units near an end, over all layers."""
    h = torch.randn(1024, weights[0].shape[1])
    shares = []
    for weight in weights:
        h = torch.tanh(h @ weight.T)
        shares.append(float((h.abs() > 0.97).float().mean()))
    return sum(shares) / len(shares)


def counted_fan_in(layer: nn.Conv2d | nn.ConvTranspose2d) -> float:
    """Mean number of weights that an output away from the border sums over: the layer with ones for everything."""
    kept = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.fill_(1.0)
        count = float(inner(layer(torch.ones(1, layer.in_channels, 24, 24))).mean())
        layer.weight.copy_(kept)
    return count


@torch.no_grad()
def forward_variance(layer: nn.Conv2d | nn.ConvTranspose2d) -> float:
    """Variance of the output away from the border, for inputs of variance 1."""
    return float(inner(layer(torch.randn(16, layer.in_channels, 24, 24))).var())


def backward_variance(layer: nn.Conv2d | nn.ConvTranspose2d) -> float:
    """Variance of the gradient at the input away from the border, for one of variance 1 at the output."""
    x = torch.randn(16, layer.in_channels, 24, 24, requires_grad=True)
    out = layer(x)
    (gradient,) = torch.autograd.grad(out, x, torch.randn_like(out))
    return float(inner(gradient).var())


def inner(images: Tensor) -> Tensor:
    """What lies away from the border."""
    return images[..., 4:-4, 4:-4]


def summarised(seeds: int) -> list[dict[str, object]]:
    """One row for each version: the median over seeds, and whether every seed holds."""
    runs = [list(everything(seed)) for seed in range(seeds)]
    rows: list[dict[str, object]] = []
    for same in zip(*runs, strict=True):
        first = same[0]
        rows.append(
            {
                "formula": first.formula,
                "version": first.version,
                "quantity": first.quantity,
                "measured": float(f"{median(row.measured for row in same):.3g}"),
                "must lie in": f"{first.low:g} to {first.high:g}",
                "holds": "yes" if all(row.holds for row in same) else "no",
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="one seed; nothing is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = summarised(1 if options.fast else SEEDS)
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()), style=None if row["holds"] == "yes" else "red")
    Console(width=160).print(table)
    if not options.fast:
        result = {
            "title": "Formulas that are often wrong",
            "command": "python bench/toolkit/often_wrong.py",
            "machine": f"{platform.machine()}, {platform.system()}, CPU only, one thread",
            "torch": torch.__version__,
            "seeds": SEEDS,
            "versions": rows,
        }
        target = HERE.parent / "results" / "toolkit_often_wrong.json"
        target.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
