"""Published figures at small scale: what each paper says, what comes out here, and whether that agrees.

    python bench/toolkit/papers.py            # all seeds: under 6 minutes
    python bench/toolkit/papers.py --fast     # the quicker claims, two seeds: under a minute; writes nothing

Data are scikit-learn's digits and made-up problems, so no figure is that of the paper; what is looked at is whether
the effect is there. "agrees" is the stated criterion, computed. Brackets are 95 % intervals over seeds. Results go
to bench/results/toolkit_papers.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from reproduced import depth, descending, overfitting
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent.parent / "results"
SEEDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fast", action="store_true", help="the quicker claims, two seeds; nothing is written"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("paper", "says", "measured here", "figures", "criterion", "verdict", show_lines=True)
    rows: list[dict[str, object]] = []
    for part in (depth, overfitting, descending):
        found, before = part.rows(2 if options.fast else SEEDS, options.fast), time.thread_time()
        for row in found:
            rows.append({**row._asdict(), "agrees": "agrees" if row.agrees else "does not"})
            table.add_row(*map(str, rows[-1].values()), style=None if row.agrees else "red")
            print(
                f"{time.thread_time() - before:6.1f} s  {row.paper}: {row.measured}: {row.figures}",
                flush=True,
            )
            before = time.thread_time()
    Console(width=180).print(table)
    if not options.fast:
        result = {
            "title": "Published figures at small scale",
            "command": "python bench/toolkit/papers.py",
            "machine": f"{platform.machine()}, {platform.system()}, CPU only, one thread",
            "torch": torch.__version__,
            "seeds": SEEDS,
            "claims": rows,
        }
        target = RESULTS / "toolkit_papers.json"
        target.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
