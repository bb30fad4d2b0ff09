"""The range test's suggestion against a grid of trainings, with SGD, momentum and Adam.

    python bench/toolkit/lr_range.py                    # sixteen problems: an hour on one slow core
    python bench/toolkit/lr_range.py --only-suggestions # the grids are those of the last result: half of that
    python bench/toolkit/lr_range.py --fast             # one problem, one seed: under 30 s, nothing is written

For each problem and optimiser a grid of constant rates, a third of a decade apart, trains a fixed number of steps (150
to 600) from three starting points. The best rate is that of the lowest mean validation loss at the end; as good are
those that miss at most 5 % of what training gained. The range test never sees the quarter of the data that validates.
`times` says by what factor the median suggestion lies off the best rate, and `off good` off the nearest as good. Regret
is the share of the gain that a training at the suggested rate misses, from the same starting point; 1 where there is no
suggestion. Cost is the training steps that the test took, sweep and all.

Beside what ships (confirming runs of 150 steps) stand the sweep alone, confirming runs of 50 steps, and two rules on
the sweep's curve: a tenth of the rate where the loss is lowest, and a third of that where it falls most steeply.

Sweep and confirming runs were chosen on the first twelve problems. The last four are held out: they ran once, when all
was fixed. All trainings are short: confirming runs are half as long as the first twelve or as long, and a quarter to
three quarters as long as the last four. What holds for trainings many times as long is not measured.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from lr_range_problems import PROBLEMS, Problem
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from trainwright import lr_range

HERE = Path(__file__).parent.parent
RATES = [10 ** (k / 3) for k in range(-15, 4)]
"""1e-5 to 10."""
WITHIN = 3.0

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    "adam": torch.optim.Adam,
}
GRID_SEEDS, SWEEP_SEEDS = 3, 3
RULES = {"sweep alone": 0, "50 steps": 50, "ours": 150}
"""Steps of each confirming run."""


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


class Found(NamedTuple):
    """What a range test gave, and took."""

    rate: float | None
    result: lr_range.RangeTest
    cost: int


def found(problem: Problem, data: Data, optimizer: str, seed: int, confirm: int) -> Found:
    """A range test from the starting point of that seed."""
    torch.manual_seed(seed)
    model = problem.model()
    loader = DataLoader(TensorDataset(data.x, data.y), problem.batch, shuffle=True)
    count = 0

    def loss(net: nn.Module, batch: list[Tensor]) -> Tensor:
        nonlocal count
        count += torch.is_grad_enabled()
        return problem.loss(net(batch[0]), batch[1])

    start = OPTIMIZERS[optimizer](model.parameters(), lr=0.1)
    result = lr_range.range_test(model, loss, loader, start, confirm=confirm)
    return Found(result.suggestion, result, count)


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


def grid(problem: Problem, data: Data, optimizer: str, seeds: int) -> tuple[dict[str, float], float]:
    """Mean validation loss at the end for each rate, and what the best gained."""
    rates = [r for r in RATES if (r < 1.1 if optimizer == "adam" else r > 9e-5)]
    ends = {r: [trained(problem, data, optimizer, r, s) for s in range(seeds)] for r in rates}
    means = {r: float(np.mean([after for _, after in runs])) for r, runs in ends.items()}
    best = min(means, key=lambda r: means[r])
    gain = float(np.mean([before for before, _ in ends[best]])) - means[best]
    return {f"{r:.3g}": loss for r, loss in means.items()}, gain


def compare(
    name: str, optimizer: str, grid_seeds: int, sweep_seeds: int, known: dict[str, object] | None
) -> dict[str, object]:
    """One row of the table."""
    torch.set_num_threads(1)
    problem = PROBLEMS[name]
    data = parted(problem)
    losses, gain = (known["grid"], known["gain"]) if known else grid(problem, data, optimizer, grid_seeds)
    assert isinstance(losses, dict)
    assert isinstance(gain, float)
    means = {float(r): loss for r, loss in losses.items()}
    best = min(means, key=lambda r: means[r])
    as_good = [r for r in means if means[r] <= means[best] + 0.05 * gain]

    def off_good(rate: float) -> float:
        inside = min(as_good) <= rate <= max(as_good)
        return 1.0 if inside else min(factor(rate, g) for g in as_good)

    def judged(given: list[float | None], costs: list[int], regret: bool) -> dict[str, object]:
        rates = [r for r in given if r is not None]
        median = float(np.median(rates)) if rates else None
        ends = [
            trained(problem, data, optimizer, r, seed)[1] if r is not None else math.inf
            for seed, r in enumerate(given if regret else ())
        ]
        return {
            "suggestions": given,
            "times": None if median is None else factor(median, best),
            "off good": None if median is None else off_good(median),
            "each off best": [math.inf if r is None else factor(r, best) for r in given],
            "each off good": [math.inf if r is None else off_good(r) for r in given],
            "regret": float(np.mean([min((e - means[best]) / gain, 1.0) for e in ends])) if ends else None,
            "cost": float(np.mean(costs)) if costs else None,
        }

    rules: dict[str, object] = {}
    reasons: list[str] = []
    for rule, confirm in RULES.items():
        tests = [found(problem, data, optimizer, seed, confirm) for seed in range(sweep_seeds)]
        rules[rule] = judged([t.rate for t in tests], [t.cost for t in tests], regret=True)
        if rule == "sweep alone":
            for other in ("minimum / 10", "steepest / 3"):
                rules[other] = judged([others(t.result)[other] for t in tests], [], regret=False)
        if rule == "ours":
            reasons = [t.result.reason for t in tests if t.rate is None]
    return {
        "problem": name,
        "held out": problem.held_out,
        "optimizer": optimizer,
        "steps": problem.steps,
        "best rate": best,
        "as good": [min(as_good), max(as_good)],
        "best loss": means[best],
        "gain": gain,
        "none": reasons,
        "rules": rules,
        "grid": losses,
    }


def shares(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """How often each rule lies within three times of the best rate, and of one as good."""
    table: list[dict[str, object]] = []
    for part in ("held out", "chosen on"):
        own = [r["rules"] for r in rows if r["held out"] == (part == "held out")]
        for rule in own[0] if own else ():  # type: ignore[attr-defined]
            cases = [r[rule] for r in own]  # type: ignore[index]
            best, good = ([f for c in cases for f in c[f"each off {what}"]] for what in ("best", "good"))
            regrets = [c["regret"] for c in cases if c["regret"] is not None]
            costs = [c["cost"] for c in cases if c["cost"] is not None]

            def within(key: str, cases: list[dict[str, float | None]] = cases) -> str:
                return f"{sum((c[key] or math.inf) <= WITHIN for c in cases)} of {len(cases)}"

            table.append(
                {
                    "problems": part,
                    "rule": rule,
                    "cases within 3 x of the best": within("times"),
                    "cases within 3 x of one as good": within("off good"),
                    "tests": len(best),
                    "tests within 3 x of the best": round(float(np.mean(np.array(best) <= WITHIN)), 3),
                    "tests within 3 x of one as good": round(float(np.mean(np.array(good) <= WITHIN)), 3),
                    "mean regret": round(float(np.mean(regrets)), 4) if regrets else None,
                    "worst regret of a case": round(max(regrets), 4) if regrets else None,
                    "mean cost in steps": round(float(np.mean(costs))) if costs else None,
                    "most": round(max(costs)) if costs else None,
                }
            )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="one problem, one seed")
    parser.add_argument(
        "--only-suggestions", action="store_true", help="grids from the last result, where it has them"
    )
    parser.add_argument("--problems", nargs="*", default=list(PROBLEMS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    last = HERE / "results" / "toolkit_lr_range.json"
    names = ["diabetes, mlp"] if options.fast else options.problems
    seeds = (1, 1) if options.fast else (GRID_SEEDS, SWEEP_SEEDS)
    known = (
        {(r["problem"], r["optimizer"]): r for r in json.loads(last.read_text())["rows"]}
        if options.only_suggestions
        else {}
    )
    cases = [(name, o, *seeds, known.get((name, o))) for name in names for o in OPTIMIZERS]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        rows = []
        for row in pool.map(compare, *zip(*cases, strict=True)):
            rows.append(row)
            ours = row["rules"]["ours"]  # type: ignore[index]
            print(
                row["problem"],
                row["optimizer"],
                *(ours[k] for k in ("times", "off good", "regret")),
                flush=True,
            )
    table = Table(title="Suggested rates against grids of trainings")
    for column in (
        "problem",
        "optimizer",
        "best",
        "as good",
        "sweep alone",
        "suggested",
        "times",
        "off good",
        "regret",
    ):
        table.add_column(column)
    for r in rows:
        as_good, rules = r["as good"], r["rules"]
        assert isinstance(as_good, list)
        assert isinstance(rules, dict)
        given = {rule: [f"{x:.2g}" if x else "none" for x in rules[rule]["suggestions"]] for rule in RULES}
        table.add_row(
            f"{r['problem']}{' (held out)' if r['held out'] else ''}",
            str(r["optimizer"]),
            f"{r['best rate']:.2g}",
            "{:.2g} to {:.2g}".format(*as_good),
            *(" ".join(given[rule]) for rule in ("sweep alone", "ours")),
            *(
                f"{rules['ours'][key]:.2f}" if rules["ours"][key] is not None else ""
                for key in ("times", "off good", "regret")
            ),
        )
    console = Console(width=160)
    console.print(table)
    summary = shares(rows)
    for line in summary:
        console.print(line)
    output = options.output or (None if options.fast else last)
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
