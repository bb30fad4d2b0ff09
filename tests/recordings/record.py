"""Train what is recorded, and keep a small record of it.

    python tests/recordings/record.py                      # all of them
    python tests/recordings/record.py deep-sigmoid nan     # these

A recording is a folder with `train.py`, a plain PyTorch script; `rank0.sqlite`, what was seen when it ran;
and `expected.json`, what is found in it. To add one, write its `train.py`, record it, and run `accept.py`.

A record is made anew only on purpose: when the script changes, or when the observer sees more. A change to a
rule is judged on the records that there are.
"""

from __future__ import annotations

import os
import runpy
import shutil
import sqlite3
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from judging import HERE, names

SCRIPT, RECORD = "train.py", "rank0.sqlite"
EVERY_STEP = 100.0
"""A budget at which every step is read, so that the record does not depend on how busy the machine is."""


def main() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # more threads add up in another order, and change the last bits
    asked = sys.argv[1:] or names(HERE)
    if unknown := [name for name in asked if not (HERE / name / SCRIPT).is_file()]:
        raise SystemExit(f"There is no {' and no '.join(str(HERE / name / SCRIPT) for name in unknown)}.")
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh:  # each from scratch
        for name, kib in zip(asked, fresh.map(record, asked), strict=True):
            print(f"recorded {name}: {kib} KiB", file=sys.stderr)
    print("Next: python tests/recordings/accept.py", file=sys.stderr)


def record(name: str) -> int:
    """Train in an empty folder, so that the script's bare name is recorded; returns the record's size."""
    import trainwright as tw

    kept = HERE / name / RECORD
    with TemporaryDirectory() as folder:
        shutil.copy(HERE / name / SCRIPT, folder)
        os.chdir(folder)
        sys.argv = [SCRIPT]
        with tw.watch(overhead=EVERY_STEP, folder="run"):
            runpy.run_path(SCRIPT, run_name="__main__")
        shrink_(Path("run", RECORD))
        shutil.copy(Path("run", RECORD), kept)
        os.chdir(HERE)  # the folder is about to go
    return kept.stat().st_size >> 10


def shrink_(record: Path) -> None:
    """Smaller pages: those of a record are made for long runs, and stay nearly empty in one of some steps."""
    with closing(sqlite3.connect(record)) as db:
        for statement in (
            "PRAGMA journal_mode = DELETE",  # pages keep their size as long as there is a write-ahead log
            "PRAGMA page_size = 1024",
            "VACUUM",
            "PRAGMA journal_mode = WAL",
        ):
            db.execute(statement)


if __name__ == "__main__":
    main()
