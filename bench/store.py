"""What a record costs: bytes on disk, time to open it, and time a sampled step, at two ways of flushing.

    python bench/store.py             # 10,000 sampled steps x 300 places x 12 signals: under a minute

The goal is 160 MB and 2 s. Times are this thread's CPU time, except where a figure says wall. Results go to
bench/results/store.json.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from trainwright.observe.store import Writer, load

STEPS, PLACES, SIGNALS = 10_000, 300, 12


def main() -> None:
    result = {
        "steps": STEPS,
        "places": PLACES,
        "signals": SIGNALS,
        "raw_mb": STEPS * PLACES * SIGNALS * 4 / 1e6,
        "goal": {"mb": 160, "open_s": 2},
        "sqlite": sqlite3.sqlite_version,
        "python": sys.version.split()[0],
        "patterns": [measured(steps_per_flush) for steps_per_flush in (1, 50)],
    }
    text = json.dumps(result, indent=1)
    print(text)
    target = Path(__file__).parent / "results" / "store.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(text + "\n", encoding="utf-8")


def measured(steps_per_flush: int) -> dict[str, float]:
    """One record, written and opened."""
    places = tuple(f"blocks.{i}.attention.weight" for i in range(PLACES))
    values = np.random.default_rng(0).random((1, PLACES), np.float32)
    with TemporaryDirectory() as made:
        folder = Path(made)
        with closing(Writer(folder / "rank0.sqlite")) as writer:
            flush_s: list[float] = []
            begun = time.thread_time()
            for step in range(STEPS):
                for number in range(SIGNALS):
                    writer.add(f"signal_{number}", [step], places, values)
                if (step + 1) % steps_per_flush == 0:
                    writer.set_facts({"steps": step + 1})
                    before = time.perf_counter()
                    writer.flush()
                    flush_s.append(time.perf_counter() - before)
            write_s = time.thread_time() - begun
            killed_mb = size_mb(folder)
        closed_mb = size_mb(folder)
        begun, begun_wall = time.thread_time(), time.perf_counter()
        run = load(folder)
        open_s, open_wall_s = time.thread_time() - begun, time.perf_counter() - begun_wall
    assert run.series["signal_11"].values.shape == (STEPS, PLACES)
    return {
        "steps_per_flush": steps_per_flush,
        "mb": round(closed_mb, 1),
        "mb_if_killed": round(killed_mb, 1),
        "open_s": round(open_s, 2),
        "open_wall_s": round(open_wall_s, 2),
        "us_per_sampled_step": round(write_s / STEPS * 1e6, 1),
        "flush_ms_median": round(float(np.median(flush_s)) * 1e3, 3),
        "flush_ms_99th": round(float(np.quantile(flush_s, 0.99)) * 1e3, 3),
    }


def size_mb(folder: Path) -> float:
    return sum(f.stat().st_size for f in folder.iterdir() if f.suffix != ".sqlite-shm") / 1e6


if __name__ == "__main__":
    main()
