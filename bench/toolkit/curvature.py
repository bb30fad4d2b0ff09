"""What the measures of curvature cost, in training steps of the same model on the same batch.

    python bench/toolkit/curvature.py            # four models: some minutes
    python bench/toolkit/curvature.py --fast     # one of them: seconds; writes nothing

A training step is forward, backward and Adam. The clock is this thread's CPU time; the two are measured in turns
and the ratio is of medians. Results go to bench/results/toolkit_curvature.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from trainwright import curvature

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import watch_cost  # noqa: E402 - the same models

Batch = tuple[Tensor, Tensor]


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of one batch."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def measures(model: nn.Module, batch: Batch, adam: torch.optim.Optimizer) -> dict[str, Callable[[], object]]:
    """Name -> the measure, ready to be called."""
    ones = [torch.ones_like(p) for p in model.parameters()]
    end = {name: t.clone() for name, t in model.state_dict().items()}
    return {
        "hessian_vector": lambda: curvature.hessian_vector(model, loss, [batch], ones),
        "along_gradient": lambda: curvature.along_gradient(model, loss, [batch]),
        "eigenvalues, one batch": lambda: curvature.eigenvalues(model, loss, [batch]),
        "eigenvalues, two batches": lambda: curvature.eigenvalues(model, loss, [batch, batch]),
        "stability, Adam": lambda: curvature.stability(model, loss, [batch], adam),
        "trace, 30 products": lambda: curvature.trace(model, loss, [batch]),
        "noise_scale, 16 batches": lambda: curvature.noise_scale(model, loss, halves(batch) * 8, 32),
        "line, 21 points": lambda: curvature.line(model, loss, [batch], end),
    }


def halves(batch: Batch) -> list[Batch]:
    """Two batches out of one, so that there is noise to measure."""
    x, y = batch
    rows = len(y) // len(x)  # a GPT's targets are flat
    middle = len(x) // 2
    return [(x[:middle], y[: middle * rows]), (x[middle:], y[middle * rows :])]


def compare(name: str, rounds: int) -> list[dict[str, object]]:
    """Each measure's median time over that of a training step."""
    torch.manual_seed(0)
    model, *batch = watch_cost.MODELS[name]()
    x, y = batch
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step() -> None:
        adam.zero_grad()
        loss(model, (x, y)).backward()
        adam.step()

    for _ in range(20):
        step()
    rows: list[dict[str, object]] = []
    for what, measure in measures(model, (x, y), adam).items():
        steps, times = [], []
        for _ in range(rounds):
            steps += [timed(step) for _ in range(3)]
            start = time.thread_time()
            found = measure()
            times.append(time.thread_time() - start)
        products = getattr(found, "products", None)
        ratio = median(times) / median(steps)
        rows.append(
            {
                "model": name,
                "measure": what,
                "training step, ms": round(median(steps) * 1e3, 2),
                "training steps": round(ratio, 2),
                "products": products,
                "steps per product": round(ratio / products, 2) if products else None,
            }
        )
    return rows


def timed(do: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.thread_time()
    do()
    return time.thread_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="one model; nothing is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        row
        for name in (("mlp",) if options.fast else ("mlp", "gpt", "cnn", "lstm"))
        for row in compare(name, 3)
    ]
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    Console(width=110).print(table)
    if not options.fast:
        result = {
            "title": "What the measures of curvature cost, in training steps",
            "command": "python bench/toolkit/curvature.py",
            "machine": f"{platform.machine()}, {platform.system()}, CPU only, one thread",
            "torch": torch.__version__,
            "cost": rows,
        }
        target = HERE.parent / "results" / "toolkit_curvature.json"
        target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
