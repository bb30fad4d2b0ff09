"""Starting weights: what the first step looks like, what training reaches, and what a thousand layers cost.

    python bench/toolkit/init.py            # all: about an hour on one core
    python bench/toolkit/init.py --fast     # eight nets at the first step, no training: under 40 seconds

**First step.** On a batch of digits, in each net's own loss. `std` is the smallest and largest standard deviation of
what a layer puts out: linear layers and convolutions (before their activation), embeddings, and the stream after each
sum; the last layer of a branch is left out, being small on purpose. `decades` is log10 of the largest over the smallest
norm of the loss's gradient with respect to a weight, over all linear, convolutional, recurrent and attention weights.
Embeddings are given apart (`tables`): a table's gradient is spread over its rows, so it compares with no matrix.

**Reached.** Mean training loss over the last fifth of a fixed number of steps, for each start at the best of the given
rates, mean over seeds; SGD with momentum for plain nets, AdamW for the others. `inf` did not stay finite. Constant
predictions give 2.303. `lsuv` is the paper's: orthogonal, then every layer to unit variance, branches too; `xavier` and
`he` are `torch.nn.init`'s on every linear and convolutional weight with zero biases. `torch` is what the modules come
with.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from init_nets import ACTIVATIONS, NETS, Attention, Down, Net, Sum, Swap, mlp
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from trainwright import init

RESULTS = Path(__file__).parents[1] / "results" / "toolkit_init.json"
WEIGHTED = nn.Linear | nn.modules.conv._ConvNd
Row = dict[str, object]
Batch = tuple[Tensor, Tensor]

digits = load_digits()
PLAIN = [(a, d, [0.003, 0.01]) for a in ("relu", "gelu", "tanh", "sigmoid") for d in (10, 30)]
PLAIN += [(a, 100, [0.001, 0.003]) for a in ("relu", "tanh", "sigmoid")]
PICTURES = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1)
CLASSES = torch.tensor(digits.target)


def data(kind: str) -> Batch:
    """All digits, as a net takes them."""
    x = (PICTURES - PICTURES.mean()) / PICTURES.std()
    if kind == "vectors":
        flat = PICTURES.flatten(1)
        return (flat - flat.mean(0)) / (flat.std(0) + 0.01), CLASSES
    if kind == "same":
        return x, x
    if kind == "tokens":
        levels = PICTURES.long().flatten(1)
        return levels[:, :-1], levels[:, 1:]
    return x, CLASSES


def loss_of(kind: str, output: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(output, y) if kind == "same" else F.cross_entropy(output, y)


def torchs(net: nn.Module, x: Tensor) -> None:
    """Nothing: what the modules come with."""


def by(draw: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Tensor], None]:
    def start(net: nn.Module, x: Tensor) -> None:
        for m in net.modules():
            if isinstance(m, WEIGHTED):
                draw(m.weight)
                if m.bias is not None:
                    nn.init.zeros_(m.bias)

    return start


@torch.no_grad()
def lsuv(net: nn.Module, x: Tensor) -> None:
    """The paper's: orthogonal, then each layer to unit variance in the order in which they run."""
    by(nn.init.orthogonal_)(net, x)
    seen: set[nn.Module] = set()

    def scale(m: nn.Module, _: object, output: Tensor) -> Tensor:
        std = output.std()
        if m in seen or std == 0:
            return output
        seen.add(m)
        m.weight.div_(std)  # type: ignore[operator]
        return output / std

    hooks = [m.register_forward_hook(scale) for m in net.modules() if isinstance(m, WEIGHTED)]
    net.eval()(x)
    net.train()
    for hook in hooks:
        hook.remove()


def ours(net: nn.Module, x: Tensor) -> None:
    init.model_(net, x)


STARTS: dict[str, Callable[[nn.Module, Tensor], None]] = {
    "torch": torchs,
    "xavier": by(nn.init.xavier_normal_),
    "he": by(lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
    "lsuv": lsuv,
    "model_": ours,
}


def ends(net: nn.Module) -> set[nn.Module]:
    """Layers that end a branch."""
    found: set[nn.Module] = set()
    for m in net.modules():
        if isinstance(m, Sum):
            last = m.branch[-1]
            last = (
                last.inner[-1]
                if isinstance(last, Swap)
                else last.out
                if isinstance(last, Attention)
                else last
            )
            found.add(last)
        if isinstance(m, nn.TransformerEncoderLayer):
            found |= {m.linear2, m.self_attn.out_proj}
    return found


def first_step(net: nn.Module, kind: str, batch: Batch) -> Row:
    """Spread of outputs and of gradients before anything is learned."""
    stds: list[float] = []
    left_out = ends(net)

    states: list[float] = []

    def keep(m: nn.Module, _: object, output: Tensor | tuple[Tensor, ...]) -> None:
        if isinstance(output, Tensor):
            stds.append(float(output.detach().std()))
        else:
            states.append(float(output[0].detach().std()))

    watched = WEIGHTED | nn.RNNBase | nn.Embedding | Sum | Down | nn.TransformerEncoderLayer
    hooks = [
        m.register_forward_hook(keep) for m in net.modules() if isinstance(m, watched) and m not in left_out
    ]
    for m in net.modules():
        m.training = isinstance(m, nn.modules.batchnorm._BatchNorm | nn.RNNBase)
    x, y = batch
    loss = loss_of(kind, net(x), y)
    loss.backward()  # type: ignore[no-untyped-call]
    tables = {id(m.weight) for m in net.modules() if isinstance(m, nn.Embedding)}
    owned = {
        id(p)
        for m in net.modules()
        if list(m.children()) == [] or isinstance(m, nn.MultiheadAttention)
        for p in m.parameters(recurse=False)
    }
    norms = {
        id(p): float(p.grad.norm())
        for p in net.parameters()
        if p.ndim > 1 and id(p) in owned and p.grad is not None
    }
    net.zero_grad()
    net.train()
    for hook in hooks:
        hook.remove()

    def decades(values: list[float]) -> float:
        return round(math.log10(max(values) / max(min(values), 1e-45)), 2)

    row: Row = {
        "std": [round(min(stds), 4), round(max(stds), 3)],
        "decades": decades([n for key, n in norms.items() if key not in tables]),
        "loss": round(loss.item(), 3),
    }
    if states:  # between -1 and 1 by their making, so no weights could give them std 1
        row["states"] = round(states[0], 3)
    return row | ({"decades with tables": decades(list(norms.values()))} if tables else {})


def reached(
    make: Callable[[], nn.Module], kind: str, start: str, rates: list[float], steps: int, seeds: int
) -> Row:
    """The training loss at the best of the rates."""
    x, y = data(kind)
    found = {}
    for rate in rates:
        losses = []
        for seed in range(seeds):
            torch.manual_seed(seed)
            net = make()
            STARTS[start](net, x[:128])
            optimizer = (
                torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
                if kind == "vectors"
                else torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.0)
            )
            order = torch.Generator().manual_seed(seed)
            seen: list[float] = []
            for _ in range(steps):
                pick = torch.randint(len(x), (64 if kind == "vectors" else 32,), generator=order)
                loss = loss_of(kind, net(x[pick]), y[pick])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                seen.append(loss.item())
                if not math.isfinite(seen[-1]):
                    break
            last = seen[-max(1, steps // 5) :]
            losses.append(mean(last) if math.isfinite(seen[-1]) else math.inf)
        found[rate] = mean(losses), [round(v, 4) for v in losses]
    best = min(found, key=lambda r: found[r][0])
    return {"loss": round(found[best][0], 4), "seeds": found[best][1], "rate": best}


def thousand(width: int, repeats: int) -> list[Row]:
    """Seconds to start a plain net of 1,000 layers."""
    net = nn.Sequential(*(m for _ in range(1000) for m in (nn.Linear(width, width), nn.ReLU())))
    x = torch.randn(64, width)

    def seconds(start: Callable[[], object]) -> float:
        times = []
        for _ in range(repeats):
            begin = time.thread_time()
            start()
            times.append(time.thread_time() - begin)
        return median(times)

    base = seconds(lambda: by(nn.init.orthogonal_)(net, x))
    rows: list[Row] = [
        {"start": "torch.nn.init.orthogonal_, each layer", "seconds": round(base, 3), "ratio": 1.0}
    ]
    others: dict[str, Callable[[], object]] = {
        "torch.nn.init.kaiming_normal_, each layer": lambda: by(nn.init.kaiming_normal_)(net, x),
        "init.unit_variance_": lambda: init.unit_variance_(net, x),
        "init.model_": lambda: init.model_(net, x),
    }
    for name, start in others.items():
        took = seconds(start)
        rows.append({"start": name, "seconds": round(took, 3), "ratio": round(took / base, 2)})
    with torch.no_grad():
        signal, stds = x, []
        for m in net:
            signal = m(signal)
            stds += [float(signal.std())] if isinstance(m, nn.Linear) else []
    rows[-1]["std"] = [round(min(stds), 3), round(max(stds), 3)]
    return rows


def show(title: str, rows: list[Row]) -> None:
    table = Table(title=title, title_justify="left")
    names = list(dict.fromkeys(n for row in rows for n in row if n != "seeds"))
    for name in names:
        table.add_column(name, justify="left" if isinstance(rows[0].get(name), str) else "right")
    for row in rows:
        cells = [row.get(n, "") for n in names]
        table.add_row(*(" to ".join(map(str, c)) if isinstance(c, list) else str(c) for c in cells))
    Console(width=150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fast", action="store_true", help="the first step of a few nets, and nothing written"
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--parts", nargs="*", default=["first", "plain", "others"], help="what to measure anew"
    )
    parser.add_argument("--nets", nargs="*", default=None, help="parts of names")
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(1)

    depths = [10, 30] if options.fast else [3, 10, 30, 100]
    activations = ["relu", "tanh", "sigmoid"] if options.fast else list(ACTIVATIONS)
    fast = {"U-Net", "LSTM, 2 layers", "MLP-mixer, 12 blocks", "depthwise separable", "DenseNet, 12 layers"}
    chosen = {
        name: net
        for name, net in NETS.items()
        if (not options.fast or name in fast)
        and (not options.nets or any(part in name for part in options.nets))
    }
    output = options.output or (None if options.fast else RESULTS)
    results: dict[str, Any] = json.loads(output.read_text()) if output is not None and output.exists() else {}
    results |= {
        "title": "Starting weights",
        "command": "python bench/toolkit/init.py",
        "machine": f"{platform.machine()}, {platform.system()}, CPU only, one thread",
        "torch": torch.__version__,
        "method": __doc__,
    }
    if "first" in options.parts:
        results |= first_steps(activations, depths, chosen, options.fast)

    def save() -> None:
        if output is not None:
            output.parent.mkdir(exist_ok=True)
            output.write_text(json.dumps(results, indent=2) + "\n")

    if "plain" in options.parts and not options.fast:
        nets = {f"{a}, {d} layers": (partial(mlp, d, a), "vectors", rates, 110) for a, d, rates in PLAIN}
        table_of_reached(results.setdefault("reached, plain nets", []), nets, options.seeds, save)
    if "others" in options.parts and not options.fast:
        nets = dict(sorted(((n, budget(n, of)) for n, of in chosen.items()), key=lambda net: -net[1][3]))
        table_of_reached(results.setdefault("reached, other nets", []), nets, options.seeds, save)
    save()


def first_steps(
    activations: list[str], depths: list[int], chosen: dict[str, Net], fast: bool
) -> dict[str, list[Row]]:
    """Nothing learned yet."""
    plain: list[Row] = []
    x, y = data("vectors")
    for activation in activations:
        for depth in depths:
            for start in ("torch", "lsuv", "model_"):
                torch.manual_seed(0)
                net = mlp(depth, activation)
                STARTS[start](net, x[:256])
                row = first_step(net, "vectors", (x[:256], y[:256]))
                plain.append({"net": f"{activation}, {depth} layers", "start": start} | row)
    show("First step, plain nets", plain)

    others: list[Row] = []
    for name, of in chosen.items():
        x, y = data(of.data)
        size = 32 if of.data == "tokens" else 128
        for start in ("torch", "model_"):
            torch.manual_seed(0)
            net = of.make()
            STARTS[start](net, x[:size])
            others.append({"net": name, "start": start} | first_step(net, of.data, (x[:size], y[:size])))
    show("First step, other nets", others)

    cost = thousand(16 if fast else 64, 1 if fast else 3)
    show("A plain net of 1,000 layers", cost)
    return {"first step, plain nets": plain, "first step, other nets": others, "a thousand layers": cost}


Budget = tuple[Callable[[], nn.Module], str, list[float], int]


def budget(name: str, of: Net) -> Budget:
    """Rates and steps for a net: fewer for the two that take long."""
    long = "GPT" in name or "100 blocks" in name
    return of.make, of.data, [0.0003, 0.001] if long else [0.001, 0.003], 25 if long else 60


def table_of_reached(rows: list[Row], nets: dict[str, Budget], seeds: int, save: Callable[[], None]) -> None:
    """Add what is not there yet; saved after each row, since all together take long."""
    there = {(row["net"], row["start"]) for row in rows}
    for name, (make, kind, rates, steps) in nets.items():
        for start in STARTS:
            if (name, start) not in there:
                row: Row = {"net": name, "start": start}
                rows.append(row | reached(make, kind, start, rates, steps, seeds) | {"steps": steps})
                print(*rows[-1].values(), sep="  ", flush=True)
                save()
    show("Reached", rows)


if __name__ == "__main__":
    main()
