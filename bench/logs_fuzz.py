"""Ten thousand made-up logs, good, damaged and hostile: `trainwright diagnose` answers each, or says why not.

    python bench/logs_fuzz.py [--cases 10000] [--rows 1000000]

Also times the reading and judging of logs of a million rows. Ends with status 1 on the first failure, which
hypothesis makes as small as it can.
"""

import argparse
import contextlib
import io
import json
import math
import random
import re
import sys
import tempfile
import time
import warnings
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.adapters.test_cli import FILES, FORMATS  # noqa: E402
from trainwright import cli  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as folder:
        judged, refused = fuzz(Path(folder), options.cases)
        print(
            f"{judged + refused:,} logs: {judged:,} judged, {refused:,} refused in one sentence, no traceback"
        )
        for name, text in large(options.rows):
            path = Path(folder) / name
            path.write_text(text)
            begin = time.process_time()
            status, _, _ = diagnose(path, "text")
            spent = time.process_time() - begin
            print(
                f"{name}: {options.rows:,} rows, {path.stat().st_size / 1e6:.0f} MB: {spent:.1f} s, status {status}"
            )


def fuzz(folder: Path, cases: int) -> tuple[int, int]:
    """How many made-up logs were judged, and how many refused."""
    counts = [0, 0]

    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(content=FILES, form=st.sampled_from(FORMATS))
    def answers(content: bytes, form: str) -> None:
        path = folder / "any.log"
        path.write_bytes(content)
        status, out, err = diagnose(path, form)
        assert "a fault of trainwright" not in out, out
        if status == cli.USAGE:
            assert not out, out
            assert re.fullmatch(r"trainwright: [^\n]+\n", err), err
        else:
            assert (status, err) == (0, ""), err
        counts[status == cli.USAGE] += 1

    answers()
    return counts[0], counts[1]


def diagnose(path: Path, form: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of the command."""
    out, err = io.StringIO(), io.StringIO()
    own = sys.__stderr__
    sys.__stderr__ = err  # where trainwright says what it has to say
    try:
        with contextlib.redirect_stdout(out):
            return cli.main(["diagnose", str(path), "--format", form]), out.getvalue(), err.getvalue()
    finally:
        sys.__stderr__ = own


def large(rows: int) -> list[tuple[str, str]]:
    """A table and JSON lines of so many rows, with a validation loss at each thousandth."""
    noise = random.Random(0)
    told = [(i, 2 * math.exp(-3 * i / rows) + noise.random()) for i in range(rows)]
    lines = (f"{i // 1000},{i},{x:.6f},{1.5 if i % 1000 == 999 else ''},0.001\n" for i, x in told)
    table = "epoch,step,train_loss,val_loss,lr\n" + "".join(lines)
    return [
        ("large.csv", table),
        ("large.jsonl", "\n".join(json.dumps({"step": i, "train_loss": x, "lr": 0.001}) for i, x in told)),
    ]


if __name__ == "__main__":
    main()
