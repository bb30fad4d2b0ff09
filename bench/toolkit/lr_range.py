"""The range test's suggestion against a grid of trainings, with SGD, momentum and Adam.

    python bench/toolkit/lr_range.py            # twelve problems: half an hour on two slow cores
    python bench/toolkit/lr_range.py --fast     # two problems, one seed: under 40 s, nothing is written

For each problem and optimiser a grid of constant rates, a third of a decade apart, trains a fixed number of steps
from three starting points. The best rate is that of the lowest mean validation loss at the end; as good are those
that miss at most 5 % of what training gained. `times` says by what factor the median suggestion lies off the best
rate, and `off good` off the nearest as good. Regret is the share of the gain that a training at the suggested rate
misses, from the same starting point. Beside the rule that ships stand two others on the same curves: a tenth of the
rate where the loss is lowest, and a third of that where it falls most steeply.

The rule was chosen on six of the first eight problems, with sweeps of 120 steps; what it takes to say nothing, and the
200 steps, with all eight in sight, and "moons" too. No rule was changed after the held-out grids were seen.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn import datasets
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from trainwright import lr_range

HERE = Path(__file__).parent.parent
RATES = [10 ** (k / 3) for k in range(-15, 4)]
"""1e-5 to 10."""


class Problem(NamedTuple):
    """What is learnt from what, by what."""

    model: Callable[[], nn.Module]
    data: Callable[[], tuple[Tensor, Tensor]]
    loss: Callable[[Tensor, Tensor], Tensor]
    steps: int
    batch: int = 32
    held_out: bool = False


def scaled(x: object) -> Tensor:
    """Columns of mean 0 and standard deviation 1."""
    found = torch.as_tensor(np.asarray(x), dtype=torch.float32)
    return (found - found.mean(0)) / (found.std(0) + 1e-6)


def digits() -> tuple[Tensor, Tensor]:
    """1,797 pictures of 8 x 8."""
    x, y = datasets.load_digits(return_X_y=True)
    return torch.as_tensor(x, dtype=torch.float32) / 16, torch.as_tensor(y)


def diabetes() -> tuple[Tensor, Tensor]:
    """442 patients, 10 measures; the target is scaled too."""
    x, y = datasets.load_diabetes(return_X_y=True)
    return scaled(x), scaled(y)[:, None]


def cancer() -> tuple[Tensor, Tensor]:
    """569 tumours, 30 measures, two classes."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    return scaled(x), torch.as_tensor(y)


def text() -> tuple[Tensor, Tensor]:
    """Windows of 16 letters of the descriptions in scikit-learn; the next letters are the target."""
    source = "".join(
        load().DESCR for load in (datasets.load_digits, datasets.load_diabetes, datasets.load_wine)
    ).lower()
    letters = {c: i for i, c in enumerate(sorted(set(source)))}
    windows = torch.tensor([letters[c] for c in source]).unfold(0, 17, 8)
    return windows[:, :-1], windows[:, 1:]


def last_letter() -> tuple[Tensor, Tensor]:
    """The letter after a window of 16."""
    x, y = text()
    return x, y[:, -1]


def friedman() -> tuple[Tensor, Tensor]:
    """1,200 points of Friedman's first function, with noise."""
    x, y = datasets.make_friedman1(1200, 8, noise=0.5, random_state=0)
    return scaled(x), scaled(y)[:, None]


def moons() -> tuple[Tensor, Tensor]:
    """Two interleaved half circles."""
    x, y = datasets.make_moons(1200, noise=0.15, random_state=0)
    return scaled(x), torch.as_tensor(y)


def copies() -> tuple[Tensor, Tensor]:
    """Digits squeezed through a bottleneck and drawn again."""
    x, _ = digits()
    return x, x


def sums() -> tuple[Tensor, Tensor]:
    """Sequences of 12 random numbers; their sum, scaled, is the target."""
    x = torch.randn(1500, 12, 1, generator=torch.Generator().manual_seed(0))
    return x, x.sum(1) / 12**0.5


class Letters(nn.Module):
    """A transformer of one block over letters."""

    def __init__(self, letters: int = 80, width: int = 32) -> None:
        super().__init__()
        self.letter, self.place = nn.Embedding(letters, width), nn.Embedding(16, width)
        block = nn.TransformerEncoderLayer(width, 2, 64, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, 1, enable_nested_tensor=False)
        self.head = nn.Linear(width, letters)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        hidden = self.blocks(self.letter(x) + self.place.weight[: x.shape[1]], mask=mask, is_causal=True)
        out: Tensor = self.head(hidden)
        return out.transpose(1, 2)


class Sums(nn.Module):
    """A GRU and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(1, 32, batch_first=True), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.gru(x)[0][:, -1])
        return out


class Residual(nn.Module):
    """x + f(norm(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.f(x)
        return out


def cnn() -> nn.Module:
    """Three convolutions with batch norm."""

    def block(i: int, o: int) -> list[nn.Module]:
        return [nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU()]

    layers = [*block(1, 12), nn.MaxPool2d(2), *block(12, 24), *block(24, 24)]
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)
    )


def plain_cnn() -> nn.Module:
    """Three convolutions without norm."""
    layers = [nn.Conv2d(1, 16, 3), nn.LeakyReLU(), nn.Conv2d(16, 16, 3), nn.LeakyReLU(), nn.Conv2d(16, 32, 3)]
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), *layers, nn.LeakyReLU(), nn.Flatten(), nn.Linear(128, 10)
    )


def dense(*sizes: int, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Module:
    """Linear layers with activations between."""
    layers = [m for i, o in pairwise(sizes) for m in (nn.Linear(i, o), act())]
    return nn.Sequential(*layers[:-1])


def residual() -> nn.Module:
    """Four residual blocks with layer norm."""
    blocks = [Residual(48) for _ in range(4)]
    return nn.Sequential(nn.Linear(64, 48), *blocks, nn.LayerNorm(48), nn.Linear(48, 10))


def bag() -> nn.Module:
    """The mean of embedded letters, and two layers."""
    return nn.Sequential(nn.EmbeddingBag(80, 32), nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 80))


PROBLEMS = {
    "digits, mlp": Problem(lambda: dense(64, 128, 128, 128, 10), digits, F.cross_entropy, 300),
    "digits, cnn with batch norm": Problem(cnn, digits, F.cross_entropy, 150),
    "digits, residual with layer norm": Problem(residual, digits, F.cross_entropy, 200),
    "digits, autoencoder": Problem(lambda: dense(64, 48, 12, 48, 64, act=nn.Tanh), copies, F.mse_loss, 300),
    "diabetes, mlp": Problem(lambda: dense(10, 64, 64, 1), diabetes, F.mse_loss, 150),
    "cancer, logistic": Problem(lambda: nn.Linear(30, 2), cancer, F.cross_entropy, 200),
    "sums, gru": Problem(Sums, sums, F.mse_loss, 200),
    "letters, transformer": Problem(Letters, text, F.cross_entropy, 200),
    "digits, cnn without norm": Problem(plain_cnn, digits, F.cross_entropy, 200, held_out=True),
    "friedman, tanh mlp": Problem(
        lambda: dense(8, 64, 64, 64, 1, act=nn.Tanh), friedman, F.mse_loss, 300, held_out=True
    ),
    "letters, bag": Problem(bag, last_letter, F.cross_entropy, 300, held_out=True),
    "moons, gelu mlp": Problem(
        lambda: dense(2, 64, 64, 2, act=nn.GELU), moons, F.cross_entropy, 200, held_out=True
    ),
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    "adam": torch.optim.Adam,
}
GRID_SEEDS, SWEEP_SEEDS = 3, 5


class Data(NamedTuple):
    """Parted in three quarters and one."""

    x: Tensor
    y: Tensor
    val_x: Tensor
    val_y: Tensor


def parted(problem: Problem) -> Data:
    """The same parts each time."""
    x, y = problem.data()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    own, other = order[: len(x) * 3 // 4], order[len(x) * 3 // 4 :]
    return Data(x[own], y[own], x[other], y[other])


def validated(problem: Problem, model: nn.Module, data: Data) -> float:
    """Loss on the quarter that does not train; infinity where it is no number."""
    model.eval()
    with torch.no_grad():
        loss = problem.loss(model(data.val_x), data.val_y).item()
    model.train()
    return loss if math.isfinite(loss) else math.inf


def trained(problem: Problem, data: Data, optimizer: str, rate: float, seed: int) -> tuple[float, float]:
    """Validation loss before and after."""
    torch.manual_seed(seed)
    model = problem.model()
    before = validated(problem, model, data)
    steps = OPTIMIZERS[optimizer](model.parameters(), lr=rate)
    draws = torch.Generator().manual_seed(seed)
    for step in range(problem.steps):
        i = torch.randint(len(data.x), (problem.batch,), generator=draws)
        loss = problem.loss(model(data.x[i]), data.y[i])
        steps.zero_grad()
        loss.backward()
        steps.step()
        if step % 10 == 0 and not math.isfinite(loss.item()):
            return before, math.inf
    return before, validated(problem, model, data)


def swept(problem: Problem, data: Data, optimizer: str, seed: int) -> lr_range.RangeTest:
    """A range test from the starting point of that seed."""
    torch.manual_seed(seed)
    model = problem.model()
    loader = DataLoader(TensorDataset(data.x, data.y), problem.batch, shuffle=True)
    return lr_range.range_test(
        model,
        OPTIMIZERS[optimizer](model.parameters(), lr=0.1),
        loader,
        lambda net, batch: problem.loss(net(batch[0]), batch[1]),
    )


def others(found: lr_range.RangeTest) -> dict[str, float]:
    """What two well-known rules say of the same smoothed curve."""
    kept = np.isfinite(found.smoothed)
    x, y = np.log10(found.rates[kept]), found.smoothed[kept]
    lowest = max(int(y.argmin()), 2)
    steepest = int(np.gradient(y, x)[: lowest + 1].argmin())
    return {"minimum / 10": 10 ** (x[lowest] - 1), "steepest / 3": 10 ** x[steepest] / 3}


def factor(a: float, b: float) -> float:
    """How many times one is the other, at least 1."""
    return max(a / b, b / a)


def compare(name: str, optimizer: str, grid_seeds: int, sweep_seeds: int) -> dict[str, object]:
    """One row of the table."""
    torch.set_num_threads(1)
    problem = PROBLEMS[name]
    data = parted(problem)
    rates = [r for r in RATES if (r < 1.1 if optimizer == "adam" else r > 9e-5)]
    ends = {r: [trained(problem, data, optimizer, r, s) for s in range(grid_seeds)] for r in rates}
    means = {r: float(np.mean([after for _, after in runs])) for r, runs in ends.items()}
    best = min(means, key=lambda r: means[r])
    gain = float(np.mean([before for before, _ in ends[best]])) - means[best]
    as_good = [r for r in rates if means[r] <= means[best] + 0.05 * gain]
    found = [swept(problem, data, optimizer, seed) for seed in range(sweep_seeds)]
    suggested = [(seed, f.suggestion) for seed, f in enumerate(found) if f.suggestion is not None]
    regrets = [
        min((trained(problem, data, optimizer, r, seed)[1] - means[best]) / gain, 1.0)
        for seed, r in suggested
    ]
    rules = {"ours": [r for _, r in suggested]}
    for rule in ("minimum / 10", "steepest / 3"):
        rules[rule] = [others(f)[rule] for f in found]
    off = {
        rule: [
            [factor(r, best) for r in given],
            [1.0 if min(as_good) <= r <= max(as_good) else min(factor(r, g) for g in as_good) for r in given],
        ]
        for rule, given in rules.items()
    }
    median = float(np.median(rules["ours"])) if rules["ours"] else None
    return {
        "problem": name,
        "held out": problem.held_out,
        "optimizer": optimizer,
        "best rate": best,
        "as good": [min(as_good), max(as_good)],
        "best loss": means[best],
        "gain": gain,
        "suggestions": rules["ours"],
        "none": [f.reason for f in found if f.suggestion is None],
        "times": None if median is None else factor(median, best),
        "off good": None
        if median is None
        else 1.0
        if min(as_good) <= median <= max(as_good)
        else min(factor(median, g) for g in as_good),
        "regret": float(np.mean(regrets)) if regrets else None,
        "off": off,
        "grid": {f"{r:.3g}": loss for r, loss in means.items()},
    }


def shares(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """How often each rule lies within three times of the best rate, and of one as good."""
    table: list[dict[str, object]] = []
    for part in ("held out", "chosen on", "all"):
        own = [r for r in rows if part == "all" or r["held out"] == (part == "held out")]
        for rule in ("ours", "minimum / 10", "steepest / 3") if own else ():
            best, good = ([f for r in own for f in r["off"][rule][i]] for i in (0, 1))  # type: ignore[index]
            regrets = [r["regret"] for r in own if r["regret"] is not None]
            medians = [r["off good"] for r in own if r["off good"] is not None]
            table.append(
                {
                    "problems": part,
                    "rule": rule,
                    "sweeps": len(best),
                    "within 3 x of the best": round(float(np.mean(np.array(best) <= 3)), 3),
                    "within 3 x of one as good": round(float(np.mean(np.array(good) <= 3)), 3),
                    "mean regret": round(float(np.mean(regrets)), 4) if rule == "ours" else None,  # type: ignore[arg-type]
                    "cases whose median is within 3 x of one as good": f"{sum(m <= 3 for m in medians)} of {len(own)}"  # type: ignore[operator]
                    if rule == "ours"
                    else None,
                }
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="two problems, one seed")
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    names = ["diabetes, mlp", "moons, gelu mlp"] if options.fast else options.problems
    seeds = (1, 2) if options.fast else (GRID_SEEDS, SWEEP_SEEDS)
    cases = [(name, optimizer, *seeds) for name in names for optimizer in OPTIMIZERS]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        rows = []
        for row in pool.map(compare, *zip(*cases, strict=True)):
            rows.append(row)
            print(row["problem"], row["optimizer"], row["times"], row["off good"], row["regret"], flush=True)
    table = Table(title="Suggested rates against grids of trainings")
    for column in (
        "problem",
        "optimizer",
        "best",
        "as good",
        "suggested",
        "none",
        "times",
        "off good",
        "regret",
    ):
        table.add_column(column)
    for r in rows:
        low, high = r["as good"]  # type: ignore[misc]
        given = r["suggestions"]
        assert isinstance(given, list)
        table.add_row(
            f"{r['problem']}{' (held out)' if r['held out'] else ''}",
            str(r["optimizer"]),
            f"{r['best rate']:.2g}",
            f"{low:.2g} to {high:.2g}",
            f"{np.median(given):.2g} ({min(given):.2g} to {max(given):.2g})" if given else "none",
            str(len(r["none"])),  # type: ignore[arg-type]
            *(f"{r[key]:.2f}" if r[key] is not None else "" for key in ("times", "off good", "regret")),
        )
    console = Console(width=150)
    console.print(table)
    summary = shares(rows)
    for line in summary:
        console.print(line)
    output = options.output or (None if options.fast else HERE / "results" / "toolkit_lr_range.json")
    if output is not None:
        result = {
            "title": "Suggested learning rates against grids of trainings",
            "command": "python bench/toolkit/lr_range.py",
            "machine": f"{platform.machine()}, {platform.system()}, CPU only, one thread",
            "torch": torch.__version__,
            "summary": summary,
            "rows": rows,
        }
        output.parent.mkdir(exist_ok=True)
        output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
