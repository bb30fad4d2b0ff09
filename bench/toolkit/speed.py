"""What the toolkit's per-step functions cost beside torch's own, on 16 million parameters; and changes of a model.

    python bench/toolkit/speed.py            # some minutes
    python bench/toolkit/speed.py --fast     # fewer pairs, no memory: under a minute; writes nothing

Each row is a pair of calls, ours and torch's, on the same model, made in turns in random order in one process (averages
and optimisers have memory of their own); the clock is this thread's CPU time, so that other processes do not count.
The ratio is the median over pairs, with its quartiles; where the lower quartile is at most 1 ours is "no slower". The
rows "twice" are controls. Peak memory is that of a process of its own, above what the model and its
gradients hold. Results go to bench/results/toolkit_speed.json.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import math
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainwright import activation, average, clip, groups, norm, regularize

HERE = Path(__file__).parent
Call = Callable[[], object]


def model() -> nn.Module:
    """15.8 million parameters in 60 tensors, with gradients: five transformer layers of width 512."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
    net = nn.TransformerEncoder(layer, 5, enable_nested_tensor=False)
    for p in net.parameters():
        p.grad = torch.randn_like(p)
    return net


class Side(NamedTuple):
    """What is timed, and what puts things back before each time."""

    run: Call
    before: Call = lambda: None


def refilled(net: nn.Module) -> Call:
    """Puts the gradients back that a clipping shrank; they are kept from its first call on."""
    grads = [p.grad for p in net.parameters() if p.grad is not None]
    kept: list[Tensor] = []

    def refill() -> None:
        if kept:
            torch._foreach_copy_(grads, kept)
        else:
            kept.extend(g.clone() for g in grads)

    return refill


def clipping(by: Callable[[nn.Module], object]) -> Callable[[nn.Module], Side]:
    """A clipping of fresh gradients."""
    return lambda net: Side(lambda: by(net), refilled(net))


def stepping(make: Callable[[nn.Module], torch.optim.Optimizer]) -> Callable[[nn.Module], Side]:
    """A step of an optimiser."""

    def side(net: nn.Module) -> Side:
        return Side(make(net).step)

    return side


def weights(net: nn.Module) -> list[nn.Parameter]:
    """What a penalty is for."""
    return [p for p in net.parameters() if p.ndim > 1]


def adamw(net: nn.Module) -> torch.optim.Optimizer:
    """One group, as torch's tutorials have it."""
    return torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.01, foreach=True)


def grouped(net: nn.Module) -> torch.optim.Optimizer:
    """Ours: weights decay, others do not."""
    return torch.optim.AdamW(groups.decay_groups(net, 0.01), lr=1e-4, foreach=True)


def penalised(net: nn.Module) -> Side:
    """A penalty in the loss, with its gradient."""
    return Side(lambda: regularize.penalty(weights(net), l2=1e-4).backward())


def by_hand(net: nn.Module) -> Side:
    """The same penalty as one writes it."""
    return Side(lambda: (sum(p.square().sum() for p in weights(net)) * 5e-5).backward())  # type: ignore[union-attr]


def averaging(share: Callable[[int], float]) -> Callable[[nn.Module], Side]:
    """An update of our average, after the first."""

    def side(net: nn.Module) -> Side:
        mean = average.Average(net, share)
        mean.update()
        return Side(mean.update)

    return side


def averaging_torch(decay: float | None) -> Callable[[nn.Module], Side]:
    """An update of torch's average, after the first."""

    def side(net: nn.Module) -> Side:
        mean = AveragedModel(net, multi_avg_fn=None if decay is None else get_ema_multi_avg_fn(decay))
        mean.update_parameters(net)
        return Side(lambda: mean.update_parameters(net))

    return side


clip_torch = clipping(lambda net: nn.utils.clip_grad_norm_(net.parameters(), 1.0))
step_torch = stepping(adamw)

ROWS: dict[str, tuple[str, Callable[[nn.Module], Side], Callable[[nn.Module], Side]]] = {
    "clip_grad_norm_ twice (control)": ("clip_grad_norm_", clip_torch, clip_torch),
    "clip.by_norm_, clips": (
        "clip_grad_norm_",
        clipping(lambda n: clip.by_norm_(n.parameters(), 1.0)),
        clip_torch,
    ),
    "clip.by_norm_, nothing to clip": (
        "clip_grad_norm_",
        clipping(lambda n: clip.by_norm_(n.parameters(), 1e9)),
        clipping(lambda n: nn.utils.clip_grad_norm_(n.parameters(), 1e9)),
    ),
    'clip.by_norm_(nonfinite="keep")': (
        "clip_grad_norm_",
        clipping(lambda n: clip.by_norm_(n.parameters(), 1.0, nonfinite="keep")),
        clip_torch,
    ),
    "clip.by_value_, clips": (
        "clip_grad_value_",
        clipping(lambda n: clip.by_value_(n.parameters(), 1.0)),
        clipping(lambda n: nn.utils.clip_grad_value_(n.parameters(), 1.0)),
    ),
    "clip.by_value_, nothing to clip": (
        "clip_grad_value_",
        clipping(lambda n: clip.by_value_(n.parameters(), 1e9)),
        clipping(lambda n: nn.utils.clip_grad_value_(n.parameters(), 1e9)),
    ),
    "clip.adaptive_": ("clip_grad_norm_", clipping(lambda n: clip.adaptive_(n, output=None)), clip_torch),
    "AdamW twice (control)": ("AdamW(foreach=True).step", step_torch, step_torch),
    "AdamW(decay_groups(...)).step": ("AdamW(foreach=True).step", stepping(grouped), step_torch),
    "regularize.l1_prox_": (
        "AdamW(foreach=True).step",
        lambda n: Side(lambda: regularize.l1_prox_(weights(n), 1e-6)),
        step_torch,
    ),
    "regularize.decay_": (
        "AdamW(foreach=True).step",
        lambda n: Side(lambda: regularize.decay_(weights(n), 1e-6, lr=1e-4)),
        step_torch,
    ),
    "regularize.penalty, with backward": ("sum of p.square().sum(), with backward", penalised, by_hand),
    "Average(ema).update": (
        "AveragedModel(ema).update_parameters",
        averaging(average.ema(0.999)),
        averaging_torch(0.999),
    ),
    "Average(equal).update": (
        "AveragedModel(swa).update_parameters",
        averaging(average.equal),
        averaging_torch(None),
    ),
}


def seconds(side: Side) -> float:
    """CPU time of one call."""
    side.before()
    start = time.thread_time_ns()
    side.run()
    return (time.thread_time_ns() - start) / 1e9


def compare(name: str, pairs: int) -> dict[str, object]:
    """Ours over torch's, pair by pair."""
    against, ours, torchs = ROWS[name]
    net = model()
    one, other = ours(net), torchs(net)
    order, times = random.Random(0), []
    for _ in range(3):
        seconds(one), seconds(other)
    for _ in range(pairs):
        if order.random() < 0.5:
            a, b = seconds(one), seconds(other)
        else:
            b = seconds(other)
            a = seconds(one)
        times.append((a, b))
    ratios = np.array([a / b for a, b in times])
    low, mid, high = (round(float(q), 3) for q in np.quantile(ratios, [0.25, 0.5, 0.75]))
    return {
        "ours": name,
        "torch's": against,
        "pairs": pairs,
        "ours ms": round(median(a for a, _ in times) * 1e3, 2),
        "torch's ms": round(median(b for _, b in times) * 1e3, 2),
        "ratio": mid,
        "quartiles": [low, high],
        "no slower": low <= 1,
    }


def peak(name: str, side: str) -> int:
    """Most resident MiB in five calls above what the model and its gradients hold; `side` is "ours" or "torch's"."""
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
import speed, torch

def resident(what):
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith(what)).split()[1])

torch.set_num_threads(1)
net = speed.model()
_, ours, torchs = speed.ROWS[{name!r}]
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = resident("VmRSS")
made = ({"ours" if side == "ours" else "torchs"})(net)
for _ in range(5):
    made.run()
print(resident("VmHWM") - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return round(int(done.stdout) / 1024)


def memory(name: str) -> dict[str, object]:
    """Peak memory of both."""
    return {
        "ours": name,
        "torch's": ROWS[name][0],
        "ours MiB": peak(name, "ours"),
        "torch's MiB": peak(name, "torch's"),
    }


def surgeries(repeats: int) -> list[dict[str, object]]:
    """Milliseconds of CPU time on a model of 300 modules."""
    plain = nn.Sequential(*(m for _ in range(150) for m in (nn.Linear(64, 64), nn.ReLU())), nn.Linear(64, 10))
    mixed = [
        m
        for _ in range(75)
        for m in (nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.SiLU(), nn.Identity())
    ]
    normed, x = nn.Sequential(*mixed), torch.randn(2, 64)
    bare = [m for _ in range(150) for m in (nn.Conv2d(8, 8, 3, padding=1), nn.SiLU())]
    pictures = nn.Sequential(*bare, nn.Flatten(), nn.Linear(128, 10))
    picture = torch.randn(2, 8, 4, 4)
    calls: dict[str, tuple[nn.Module, Callable[[nn.Module], object]]] = {
        "activation.swap_": (plain, lambda m: activation.swap_(m, nn.GELU)),
        "norm.insert_, linear layers": (plain, lambda m: norm.insert_(m, "batch", x)),
        "norm.insert_, convolutions": (pictures, lambda m: norm.insert_(m, "group", picture)),
        "norm.batch_to_group_": (normed, norm.batch_to_group_),
        "norm.freeze_": (normed, norm.freeze_),
        "groups.decay_groups": (normed, lambda m: groups.decay_groups(m, 0.01)),
        "groups.layer_rates": (normed, lambda m: groups.layer_rates(m, 0.1, 0.9)),
    }
    rows: list[dict[str, object]] = []
    for name, (net, call) in calls.items():
        times = []
        for _ in range(repeats):
            fresh = copy.deepcopy(net)
            gc.collect()  # else one of the calls pays for all that the process has made so far
            times.append(seconds(Side(lambda call=call, fresh=fresh: call(fresh))) * 1e3)  # type: ignore[misc]
        modules = sum(1 for m in net.modules() if not m._modules)
        row = {
            "what": name,
            "modules": modules,
            "median ms": round(median(times), 1),
            "worst ms": round(max(times), 1),
        }
        rows.append(row | {"below 50 ms": median(times) < 50})
    return rows


def table(title: str, rows: list[dict[str, object]]) -> Table:
    """Rows of results as a table."""
    made = Table(*rows[0], title=title, title_justify="left")
    for row in rows:
        made.add_row(*(" to ".join(map(str, v)) if isinstance(v, list) else str(v) for v in row.values()))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fast", action="store_true", help="fewer pairs, no memory; nothing is written")
    parser.add_argument("--output", type=Path, default=HERE.parent / "results" / "toolkit_speed.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print_ = Console(width=150).print
    parameters = sum(p.numel() for p in model().parameters())
    times = [compare(name, 8 if options.fast else 60) for name in ROWS]
    print_(table(f"{parameters / 1e6:.1f} million parameters, float32", times))
    cut = surgeries(3 if options.fast else 15)
    print_(table("On a model of 300 modules", cut))
    if options.fast:
        return
    held = [memory(name) for name in ROWS]
    print_(table("Peak memory above the model and its gradients", held))
    results = {
        "title": "What the toolkit costs beside torch's own",
        "command": "python bench/toolkit/speed.py",
        "machine": f"{platform.machine()}, {platform.system()}, CPU only, one thread",
        "torch": torch.__version__,
        "parameters": parameters,
        "time": times,
        "surgery": cut,
        "memory": held,
    }
    assert all(math.isfinite(float(str(row["ratio"]))) for row in times)
    options.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
