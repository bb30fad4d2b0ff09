"""What watching costs: time of a watched step over a bare one, interleaved step by step, and peak memory.

    python bench/watch_cost.py            # all models, all variants that are installed: some 15 minutes
    python bench/watch_cost.py --fast     # two models, ours and the control: under a minute

A model trains in one process, five steps watched and five bare in turns, which goes first drawn at random; the
clock is this thread's CPU time, so that other processes do not count. One model, because two copies of the
same one differ by up to 4 % for good, by where their weights happen to lie in memory; only tools that cannot
be silenced get a copy of their own beside the bare one. The figure is the ratio of the sums (the cost of watching is
spread unevenly over steps) with a 95 % bootstrap interval over turns. "bare" is the control: a variant that does
nothing. Peak memory is measured in processes of their own: the whole resident set, interpreter and torch
included. Results go to bench/results/watch_cost.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).parent
TURN = 5
"""Steps watched, or bare, in a row: a reading leaves caches cold for the step after it, too."""
Step = Callable[[], Tensor]


def mlp() -> tuple[nn.Module, Tensor, Tensor]:
    """335 thousand weights, batch 64."""
    net = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 384), nn.ReLU(), nn.Linear(384, 10))
    return net, torch.randn(64, 256), torch.randint(0, 10, (64,))


def cnn() -> tuple[nn.Module, Tensor, Tensor]:
    """Seven convolutions with batch norm on 32 x 32 pictures, batch 64."""

    def block(i: int, o: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]

    sizes = [(3, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 2)]
    layers = [m for i, o, s in sizes for m in block(i, o, s)]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    return net, torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))


class Tagger(nn.Module):
    """Two LSTM layers of 256 and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(64, 256, 2, batch_first=True)
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(x)[0][:, -1])
        return out


def lstm() -> tuple[nn.Module, Tensor, Tensor]:
    """Two LSTM layers of 256, 32 sequences of 32."""
    return Tagger(), torch.randn(32, 32, 64), torch.randint(0, 10, (32,))


class Block(nn.Module):
    """A pre-norm transformer block as in GPT."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        z: Tensor = x + self.down(nn.functional.gelu(self.up(self.norm2(x))))
        return z


class GPT(nn.Module):
    """Four blocks of width 128 on 256 tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(256, 128), nn.Embedding(64, 128)
        self.blocks = nn.Sequential(*(Block(128, 4) for _ in range(4)))
        self.norm, self.head = nn.LayerNorm(128), nn.Linear(128, 256, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.tokens(x) + self.places(torch.arange(x.shape[1]))
        out: Tensor = self.head(self.norm(self.blocks(h))).flatten(0, 1)
        return out


def gpt() -> tuple[nn.Module, Tensor, Tensor]:
    """A GPT-style stack, 4 x 64 tokens."""
    return GPT(), torch.randint(0, 256, (4, 64)), torch.randint(0, 256, (256,))


def deep() -> tuple[nn.Module, Tensor, Tensor]:
    """Sixty linear layers of 64: as many hooks for as little arithmetic as can be."""
    net = nn.Sequential(*(m for _ in range(60) for m in (nn.Linear(64, 64), nn.ReLU())), nn.Linear(64, 10))
    return net, torch.randn(64, 64), torch.randint(0, 10, (64,))


MODELS = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "gpt": gpt, "deep": deep}
PAIRS = {"mlp": 3000, "cnn": 150, "lstm": 150, "gpt": 400, "deep": 800}


def training(name: str) -> Step:
    """One step of a model's training, as anybody writes it."""
    torch.manual_seed(0)
    net, x, y = MODELS[name]()
    adam = torch.optim.Adam(net.parameters(), lr=1e-4)
    loss_of = nn.CrossEntropyLoss()

    def step() -> Tensor:
        loss: Tensor = loss_of(net(x), y)
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    step.model, step.optimizer = net, adam  # type: ignore[attr-defined]
    return step


class Variant:
    """Something that watches, on only while its own steps are made; where it cannot be `silenced`, it has a
    model of its own."""

    def __init__(
        self,
        on: Callable[[], object] = lambda: None,
        off: Callable[[], object] = lambda: None,
        notes: Callable[[], dict[str, object]] = dict,
        *,
        silenced: bool = False,
    ):
        self.on, self.off, self.notes, self.silenced = on, off, notes, silenced


DEAF = ("zeroed", "loss_called", "before_backward", "after_backward")


def trainwright(overhead: float) -> Callable[[str], tuple[Step, Variant]]:
    """trainwright with a budget, deaf in the bare steps: those still pay for six empty calls, some 3 us. (Taking
    the hooks off torch and putting them back makes Python forget what it knows of `nn.Module`, some 1 ms.)"""

    def make(name: str) -> tuple[Step, Variant]:
        from trainwright.observe.attach import attach
        from trainwright.observe.recorder import Recorder
        from trainwright.observe.store import Writer

        recorder = Recorder(Writer(None), overhead=overhead)
        attach(recorder)
        step = training(name)
        armed = [True]

        def on() -> None:
            for name in DEAF:
                vars(recorder).pop(name, None)
            recorder.guard.closed = False
            if armed[0]:
                recorder._arm()
            else:
                recorder._begin_window(read=False)
            recorder._last_end_ns = time.perf_counter_ns()  # what lay between was not watched

        def off() -> None:
            armed[0] = recorder.reader.armed is not None
            recorder.reader.disarm()
            recorder.leave_lane()
            vars(recorder).update(dict.fromkeys(DEAF, lambda *_: None))
            recorder.guard.closed = True

        off()
        armed[0] = True

        def notes() -> dict[str, object]:
            facts = recorder.so_far({}).facts["overhead"]
            return {
                "own account": facts["share"],
                "read steps": facts["sampled"],
                "start-up s": facts["startup_s"],
            }

        return step, Variant(on, off, notes, silenced=True)

    return make


def bare(name: str) -> tuple[Step, Variant]:
    """The control."""
    return training(name), Variant(silenced=True)


def naive(name: str) -> tuple[Step, Variant]:
    """What one writes first: at every step the mean, spread and zeros of each layer's output, the norms of
    gradients."""
    step = training(name)
    net: nn.Module = step.model  # type: ignore[attr-defined]

    def look(module: nn.Module, args: object, output: object) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            x = output.detach()
            _ = x.mean().item(), x.std().item(), (x == 0).float().mean().item()

    for module in net.modules():
        if not module._modules:
            module.register_forward_hook(look)

    def both() -> Tensor:
        loss = step()
        for p in net.parameters():
            if p.grad is not None:
                _ = p.grad.norm().item(), p.detach().norm().item()
        return loss

    return both, Variant()


def anomaly(name: str) -> tuple[Step, Variant]:
    """torch.autograd.set_detect_anomaly(True)."""
    return training(name), Variant(
        lambda: torch.autograd.set_detect_anomaly(True),
        lambda: torch.autograd.set_detect_anomaly(False),
        silenced=True,
    )


def wandb_watch(name: str) -> tuple[Step, Variant]:
    """wandb.watch(log="all") at every step, offline; its service process is not counted."""
    import wandb

    step = training(name)
    run = wandb.init(mode="offline", dir="/tmp", settings=wandb.Settings(silent=True))
    run.watch(step.model, log="all", log_freq=1)  # type: ignore[attr-defined]

    def both() -> Tensor:
        loss = step()
        run.log({"loss": loss.item()})
        return loss

    return both, Variant()


def torch_audit(name: str) -> tuple[Step, Variant]:
    """torch-audit by its autopatch, at every step; it is made for every hundredth or so."""
    from torch_audit import autopatch

    step = training(name)
    autopatch(
        step.model,  # type: ignore[attr-defined]
        optimizer=step.optimizer,  # type: ignore[attr-defined]
        every_n_steps=1,
        reporters=[],
        fail_level="FATAL",
    )
    return step, Variant()


def torchmortem(name: str) -> tuple[Step, Variant]:
    """torchmortem's Autopsy as its page shows it."""
    from torchmortem import Autopsy

    step = training(name)
    autopsy = Autopsy(step.model, optimizer=step.optimizer)  # type: ignore[attr-defined]
    autopsy.__enter__()

    def both() -> Tensor:
        loss = step()
        autopsy.step(loss=loss.item())
        return loss

    return both, Variant()


VARIANTS: dict[str, Callable[[str], tuple[Step, Variant]]] = {
    "bare (control)": bare,
    "trainwright, 2 %": trainwright(0.02),
    "trainwright, 10 %": trainwright(0.10),
    "naive hooks": naive,
    "detect_anomaly": anomaly,
    "wandb.watch(all)": wandb_watch,
    "torch-audit": torch_audit,
    "torchmortem": torchmortem,
}


def compare(name: str, variant: str, pairs: int) -> dict[str, object]:
    """Ratio of the time of steps under a variant over bare ones."""
    step, watch = VARIANTS[variant](name)
    reference = step if watch.silenced else training(name)
    order = random.Random(0)

    def timed(do: Step) -> float:
        start = time.thread_time_ns()
        do()
        return (time.thread_time_ns() - start) / 1e9

    def watched() -> list[float]:
        watch.on()
        seconds = [timed(step) for _ in range(TURN)]
        watch.off()
        return seconds

    warm = max(20, min(120, pairs // 5)) // TURN  # the start-up readings fall here
    turns = []
    for i in range(warm + pairs // TURN):
        bare_first = order.random() < 0.5
        a = [timed(reference) for _ in range(TURN)] if bare_first else []
        b = watched()
        a = a or [timed(reference) for _ in range(TURN)]
        if i >= warm:
            turns.append((a, b))
    times = np.array(turns)  # (turns, bare or watched, steps)
    sums = times.sum(axis=2)
    draw = np.random.default_rng(0).integers(0, len(sums), (2000, len(sums)))
    ratios = sums[draw, 1].sum(axis=1) / sums[draw, 0].sum(axis=1)
    plain = np.median(times, axis=(0, 2))
    return {
        "model": name,
        "variant": variant,
        "pairs": pairs,
        "bare ms": round(float(plain[0]) * 1e3, 3),
        "ratio": round(float(sums[:, 1].sum() / sums[:, 0].sum()), 4),
        "interval": [round(float(q), 4) for q in np.quantile(ratios, [0.025, 0.975])],
        "of medians": round(float(plain[1] / plain[0]), 4),
        **watch.notes(),
    }


def peak(name: str, watched: bool, steps: int) -> int:
    """Peak resident set of a process that trains, in bytes."""
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(HERE)!r})
import watch_cost, torch
torch.set_num_threads(1)
{"import trainwright as tw; watch = tw.watch().__enter__()" if watched else ""}
step = watch_cost.training({name!r})
for _ in range({steps}): step()
{"watch.__exit__(None, None, None)" if watched else ""}
# Not ru_maxrss: that of a child begins with the peak of the process that started it.
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-2]) * 1024


def startup() -> dict[str, object]:
    """Seconds of `trainwright --help`, of importing the package, and whether that imports torch."""

    def seconds(*command: str) -> float:
        def once() -> float:
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            return time.perf_counter() - start

        return round(median(once() for _ in range(7)), 3)

    asks = "import sys, trainwright; print('torch' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    return {
        "python -c pass, s": seconds("-c", "pass"),
        "trainwright --help, s": seconds("-m", "trainwright", "--help"),
        "import trainwright, s": seconds("-c", "import trainwright"),
        "import trainwright imports torch": loaded.stdout.strip() == "True",
    }


def judging() -> dict[str, object]:
    """Seconds to judge a run of ten thousand steps and three hundred places."""
    from trainwright import rules, signals
    from trainwright.core import Run, Series

    rng = np.random.default_rng(0)
    places = tuple(f"layers.{i}.weight" for i in range(300))
    steps = np.arange(10_000)
    series = {}
    for s in signals.ALL:
        whole = s.each_step or s.name.startswith(("prediction", "constant", "accuracy", "majority"))
        here = ("",) if whole else places
        series[s.name] = Series(steps, here, rng.lognormal(size=(len(steps), len(here))).astype(np.float32))
    run = Run(series, {"steps": len(steps)})
    start = time.perf_counter()
    rules.diagnose(run)
    return {"judging 10,000 steps x 300 places, s": round(time.perf_counter() - start, 3)}


@contextmanager
def one_thread() -> Iterator[None]:
    """The clock is of one thread, so there must be only one."""
    torch.set_num_threads(1)
    yield


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--fast", action="store_true", help="two models, ours and the control")
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--variants", nargs="*", default=list(VARIANTS))
    parser.add_argument("--output", type=Path, default=None)
    options = parser.parse_args()
    models, variants = options.models, options.variants
    if options.fast:
        models, variants = ["mlp", "gpt"], ["bare (control)", "trainwright, 2 %"]

    results: dict[str, object] = {
        "title": "What watching costs",
        "command": "make bench-watch",
        "machine": f"{platform.machine()}, {platform.system()}, CPU only, one thread",
        "torch": torch.__version__,
    }
    rows: list[dict[str, object]] = []
    memory: list[dict[str, object]] = []
    missing: dict[str, str] = {}
    with one_thread():
        print(f"{'model':8}{'variant':20}{'bare ms':>9}{'ratio':>8}  95 % interval")
        for name in models:
            for variant in variants:
                if variant in missing:
                    continue
                try:
                    ours = variant.startswith(("bare", "trainwright"))  # what others cost needs fewer pairs
                    row = compare(name, variant, PAIRS[name] // (3 if options.fast else 1 if ours else 6))
                except ImportError as error:
                    missing[variant] = str(error)
                    print(f"{'':8}{variant:20} not installed: {error}")
                    continue
                rows.append(row)
                low, high = row["interval"]  # type: ignore[misc]
                print(
                    f"{name:8}{variant:20}{row['bare ms']:9.2f}{row['ratio']:8.3f}  {low:.3f} to {high:.3f}",
                    flush=True,
                )
    for name in [] if options.fast else models:
        steps = 30
        without, with_ = (median(peak(name, w, steps) for _ in range(3)) for w in (False, True))
        memory.append(
            {"model": name, "bare bytes": without, "watched bytes": with_, "ratio": round(with_ / without, 4)}
        )
        print(
            f"{name:8}peak memory {without / 1e6:.0f} MB bare, {with_ / 1e6:.0f} MB watched: "
            f"{with_ / without:.3f}",
            flush=True,
        )
    others = startup() | judging()
    print(json.dumps(others, indent=2))
    absent = [{"variant": name, "not measured": why} for name, why in missing.items()]
    results |= {"time": rows, "memory": memory, "start-up": [others], "missing": absent}
    output = options.output or (None if options.fast else HERE / "results" / "watch_cost.json")
    if output is not None:
        output.parent.mkdir(exist_ok=True)
        output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
