"""A record gives back what was put in, whoever dies meanwhile, and reading it changes nothing."""

import json
import math
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trainwright
from trainwright.core import Run
from trainwright.observe import snapshot, tables
from trainwright.observe.store import FORMAT, UnreadableRun, Writer, load

RECORDINGS = Path(__file__).parents[1] / "recordings"
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(trainwright.__file__).parents[1])}
LAYERS = tuple(f"net.{i}.weight" for i in range(40))


def put(writer: Writer, n: int) -> None:
    """Flush number `n`: one step of two signals, and a fact."""
    writer.add("loss", [n], ("",), [[n / 2]])
    writer.add("grad_norm", [n], LAYERS, [[n + i for i in range(len(LAYERS))]])
    writer.set_facts({"steps": n + 1})
    writer.flush()


def holds(run: Run, flushes: int) -> bool:
    """Whether the run is what `flushes` calls of `put` wrote: all of it, and nothing else."""
    if not flushes:
        return run.series == {} and run.steps == 0
    loss, norms = run.series["loss"], run.series["grad_norm"]
    numbers = np.arange(flushes)
    return (
        run.steps == flushes
        and np.array_equal(loss.steps, numbers)
        and np.array_equal(loss.values, numbers[:, None] / 2)
        and np.array_equal(norms.steps, numbers)
        and norms.places == LAYERS
        and np.array_equal(norms.values, numbers[:, None] + np.arange(len(LAYERS)))
    )


def on_disk(path: Path) -> tuple[bytes, bytes]:
    """The record and its log, as a kill at this moment leaves them."""
    return path.read_bytes(), path.with_name(f"{path.name}-wal").read_bytes()


def written(before: bytes, after: bytes) -> tuple[int, int]:
    """Between which bytes a log was written."""
    padded = np.frombuffer(before.ljust(len(after), b"\0")[: len(after)], np.uint8)
    changed = np.flatnonzero(padded != np.frombuffer(after, np.uint8))
    return int(changed[0]), int(changed[-1]) + 1


def lay(path: Path, record: bytes, log: bytes) -> Path:
    path.write_bytes(record)
    path.with_name(f"{path.name}-wal").write_bytes(log)
    return path


def fingerprint(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}


def write(path: Path, flushes: int = 5) -> Path:
    with closing(Writer(path)) as writer:
        for n in range(flushes):
            put(writer, n)
    return path


readings = st.lists(
    st.tuples(
        st.sampled_from(["loss", "grad_norm"]),
        st.integers(0, 20),
        st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True),
        st.sampled_from([0.5, -3.0, 1e300, math.inf, math.nan]),
        st.booleans(),
    ),
    max_size=25,
)


@given(readings=readings, stored=st.booleans(), closed=st.booleans())
def test_a_run_is_what_was_added_in_whatever_order_and_flushes(readings, stored, closed):
    expected: dict[tuple[str, str], dict[int, float]] = {}
    order: dict[str, list[str]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Writer(Path(folder) / "rank0.sqlite" if stored else None)) as writer,
    ):
        for name, step, places, value, flush in readings:
            order.setdefault(name, []).extend(p for p in places if p not in order.get(name, []))
            for i, place in enumerate(places):
                if not math.isnan(value):
                    with np.errstate(over="ignore"):
                        expected.setdefault((name, place), {})[step] = float(np.float32(value + i))
            writer.add(name, [step], tuple(places), [[value + i for i in range(len(places))]])
            if flush:
                writer.flush()
        if closed:
            writer.close()
        run = writer.run()

    assert {n: list(s.places) for n, s in run.series.items()} == order
    for name, series in run.series.items():
        assert np.all(np.diff(series.steps) > 0)
        for place in series.places:
            steps, values = series.at(place)
            assert dict(zip(steps.tolist(), values.tolist(), strict=True)) == expected.get((name, place), {})


@given(steps=st.integers(0, 40), places=st.sampled_from([1, 7, 300, 1100]), seed=st.integers(0, 9))
def test_blocks_of_any_shape_come_back_bit_by_bit(steps, places, seed):
    values = np.random.default_rng(seed).normal(size=(steps, places)).astype(np.float32)
    names = tuple(map(str, range(places)))
    with closing(Writer(None)) as writer:
        writer.add("loss", range(steps), names, values)
        writer.flush()
        series = writer.run().series["loss"]
    assert series.places == names
    assert np.array_equal(series.values, values)


def test_a_place_that_a_later_reading_of_the_step_lacks_keeps_its_own(tmp_path):
    with closing(Writer(tmp_path / "rank0.sqlite")) as writer:
        writer.add("loss", [0, 1], ("a", "b"), [[1, 2], [3, 4]])
        writer.add("loss", [1], ("c", "b"), [[5, math.nan]])
        writer.add("loss", [1], ("c",), [[6]])
    series = load(tmp_path).series["loss"]
    assert series.places == ("a", "b", "c")
    assert np.array_equal(series.values, [[1, 2, math.nan], [3, 4, 6]], equal_nan=True)


def test_facts_come_back_as_plain_data_and_the_last_ones_hold(tmp_path):
    with closing(Writer(tmp_path / "rank0.sqlite")) as writer:
        writer.set_facts({"script": "train.py", "steps": 1})
        writer.flush()
        odd = {1: np.float32(0.5), "shape": (3, 4), "path": Path("a/b"), "big": math.inf, "none": None}
        writer.set_facts({"steps": 2, "loaded": [odd], "argv": ["--name", "\udcff é"]})
        before = writer.run().facts
    after = load(tmp_path).facts
    assert before == after
    assert after["steps"] == 2
    assert after["script"] == "train.py"
    assert after["argv"] == ["--name", "\udcff é"]
    assert after["loaded"] == [{"1": 0.5, "shape": [3, 4], "path": "a/b", "big": math.inf, "none": None}]


def test_a_fact_changed_in_place_is_written_again(tmp_path):
    given_up: list[str] = []
    with closing(Writer(tmp_path / "rank0.sqlite")) as writer:
        writer.set_facts({"given_up": given_up})
        writer.flush()
        given_up.append("activations")
    assert load(tmp_path).facts["given_up"] == ["activations"]


def test_readings_of_the_wrong_shape_are_refused_with_both_shapes():
    with (
        closing(Writer(None)) as writer,
        pytest.raises(ValueError, match=r"`loss` .*\(2,\); 1 steps .*\(1, 2\)"),
    ):
        writer.add("loss", [0], ("a", "b"), [1.0, 2.0])


def test_a_record_is_never_continued(tmp_path):
    write(tmp_path / "rank0.sqlite")
    with pytest.raises(FileExistsError, match="never continued"):
        Writer(tmp_path / "rank0.sqlite")


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(OSError, match=r"Cannot make the record `.*rank0.sqlite`: No such file"):
        Writer(tmp_path / "gone" / "rank0.sqlite")


class TestKilled:
    """At every byte: what is on disk is what the kernel had got by then."""

    def test_at_200_random_bytes_all_flushes_before_are_read(self, tmp_path, monkeypatch):
        monkeypatch.setattr(
            tables, "LOG_BYTES", 12 * tables.PAGE_BYTES
        )  # so that the log begins anew now and then
        rng = random.Random(0)
        path = tmp_path / "live.sqlite"
        states = []
        with closing(Writer(path)) as writer:
            for n in range(40):
                states.append(on_disk(path))
                put(writer, n)
        generations = {log[:32] for _, log in states}
        assert len(generations) > 3, "the log was never emptied: the test sees too little"

        for point in range(200):
            done = rng.randrange(1, 39)
            (record, log), (next_record, next_log) = states[done], states[done + 1]
            begin, end = written(log, next_log)
            cut = rng.randint(begin, end)
            torn = next_log[:cut] + (
                rng.randbytes(500) if point % 4 == 0 else log[cut:] if point % 2 else b""
            )
            whole = cut == end
            if point % 10 == 0 and next_record != record:  # ... or while the log moves into the record
                moved = rng.randint(0, len(next_record))
                record, torn, whole = next_record[:moved] + record[moved:], next_log, True
            target = lay(tmp_path / "killed.sqlite", record, torn)
            run = load(target)
            assert holds(run, done + 1) if whole else holds(run, done), (point, done, cut)

    def test_by_a_signal_in_the_middle_of_writing(self, tmp_path):
        script = (
            "import sys; from pathlib import Path; sys.path[:0] = [sys.argv[2]]\n"
            "from test_store import Writer, put\n"
            "writer = Writer(Path(sys.argv[1]))\n"
            "for n in range(10**6):\n    put(writer, n); print(n + 1, flush=True)\n"
        )
        paths = [tmp_path / f"rank{i}.sqlite" for i in range(3)]
        command = [sys.executable, "-c", script]
        writers = [
            subprocess.Popen([*command, p, Path(__file__).parent], stdout=subprocess.PIPE, env=ENVIRONMENT)
            for p in paths
        ]
        for i, (path, writer) in enumerate(zip(paths, writers, strict=True)):
            assert writer.stdout is not None
            for _ in range(20 + 37 * i):
                writer.stdout.readline()
            time.sleep(0.0031 * i)
            writer.send_signal(signal.SIGKILL)
            told = int((writer.stdout.read().split() or [b"0"])[-1]) or 20 + 37 * i
            writer.stdout.close()
            assert writer.wait() == -signal.SIGKILL
            run = load(path)
            assert run.steps in (told, told + 1)
            assert holds(run, run.steps)

    def test_before_the_first_flush_it_has_nothing_and_says_so(self, tmp_path):
        path = tmp_path / "rank0.sqlite"
        with closing(Writer(path)):
            target = lay(tmp_path / "killed.sqlite", *on_disk(path))
        assert load(target).series == {}
        (tmp_path / "empty.sqlite").touch()
        with pytest.raises(UnreadableRun, match="is empty"):
            load(tmp_path / "empty.sqlite")


class TestReading:
    def test_beside_the_writer_sees_every_flush_and_nothing_half_done(self, tmp_path, monkeypatch):
        path = tmp_path / "rank0.sqlite"
        monkeypatch.setattr(tables, "LOG_BYTES", 6 * tables.PAGE_BYTES)
        with closing(Writer(path)) as writer:
            for n in range(15):
                put(writer, n)
                writer.add("loss", [n + 1], ("",), [[9.0]])
                assert holds(load(tmp_path), n + 1)
                writer._blocks.clear()
                writer._open.clear()

    def test_in_another_process_while_the_log_begins_anew_all_the_time(self, tmp_path):
        script = (
            "import sys; from pathlib import Path; sys.path[:0] = [sys.argv[2]]\n"
            "from test_store import Writer, put, tables\n"
            "tables.LOG_BYTES = 4 * tables.PAGE_BYTES\n"
            "writer = Writer(Path(sys.argv[1]))\n"
            "for n in range(10**6):\n    put(writer, n); print(flush=True)\n"
        )
        path = tmp_path / "rank0.sqlite"
        command = [sys.executable, "-c", script, path, Path(__file__).parent]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as writer:
            try:
                assert writer.stdout is not None
                seen = []
                for _ in range(25):
                    writer.stdout.readline()
                    run = load(path)
                    assert holds(run, run.steps)
                    seen.append(run.steps)
            finally:
                writer.kill()
        assert seen == sorted(seen)
        assert seen[-1] > seen[0] > 0

    @pytest.mark.parametrize("meanwhile", ["moves the log into the record", "begins the log anew"])
    def test_holds_together_whatever_the_writer_does_between_the_copies(
        self, tmp_path, monkeypatch, meanwhile
    ):
        monkeypatch.setattr(tables, "LOG_BYTES", 8 * tables.PAGE_BYTES)
        path = tmp_path / "rank0.sqlite"
        copies = []

        with closing(Writer(path)) as writer:
            for n in range(3):
                put(writer, n)
            done = 3

            def copy_and_write(source: Path, target: Path) -> None:
                nonlocal done
                copyfile(source, target)
                copies.append(source)
                if len(copies) > 1:
                    return
                record, log = on_disk(path)
                while record == path.read_bytes() or (
                    meanwhile[0] == "b" and log[:32] == on_disk(path)[1][:32]
                ):
                    put(writer, done)
                    done += 1

            copyfile = shutil.copyfile
            monkeypatch.setattr(snapshot.shutil, "copyfile", copy_and_write)
            run = load(path)
        assert len(copies) == (4 if meanwhile[0] == "b" else 2)
        assert holds(run, done)

    def test_goes_through_sqlite_itself_where_the_writer_is_too_busy_to_copy(self, tmp_path, monkeypatch):
        monkeypatch.setattr(snapshot, "TRIES", 0)
        with closing(Writer(tmp_path / "rank0.sqlite")) as writer:
            put(writer, 0)
            assert holds(load(tmp_path), 1)
            put(writer, 1)
            assert holds(load(tmp_path), 2)

    @pytest.mark.parametrize("left", ["closed", "live", "killed", "moved"])
    def test_changes_nothing(self, tmp_path, left):
        path = tmp_path / "made" / "rank0.sqlite"
        path.parent.mkdir()
        kept = tmp_path / "kept"
        with closing(Writer(path)) as writer:
            put(writer, 0)
            if left == "live":
                before = fingerprint(path.parent)
                assert holds(load(path.parent), 1)
                assert fingerprint(path.parent) == before
                return
            if left != "closed":
                shutil.copytree(path.parent, kept)  # with the index of the log ...
        if left == "closed":
            shutil.copytree(path.parent, kept)
        if left == "moved":
            (kept / "rank0.sqlite-shm").unlink()  # ... or without
        before = fingerprint(kept)
        assert holds(load(kept), 1)
        assert fingerprint(kept) == before

    def test_a_killed_run_works_where_one_may_only_read(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as made:  # pytest's folders are closed to other users
            folder = Path(made) / "run"
            folder.mkdir()
            with closing(Writer(folder / "live.sqlite")) as writer:
                put(writer, 0)
                lay(folder / "rank0.sqlite", *on_disk(folder / "live.sqlite"))
            (folder / "live.sqlite").unlink()
            for file in folder.iterdir():
                file.chmod(0o444)
            folder.chmod(0o555)
            Path(made).chmod(0o755)
            was = os.geteuid()
            if was == 0:
                os.seteuid(65534)  # root may write everywhere
            try:
                with pytest.raises(OSError, match="Permission denied"):
                    (folder / "file").touch()
                assert holds(load(folder), 1)
            finally:
                if was == 0:
                    os.seteuid(0)
                folder.chmod(0o755)


class TestAFullDisk:
    def test_loses_nothing_and_the_next_flush_tries_again(self, tmp_path):
        path = tmp_path / "rank0.sqlite"
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        with closing(Writer(path)) as writer:
            put(writer, 0)
            size = path.with_name("rank0.sqlite-wal").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            try:
                with pytest.raises(sqlite3.Error):
                    put(writer, 1)
                assert holds(writer.run(), 2)
                assert holds(load(path), 1)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            put(writer, 2)
        assert holds(load(path), 3)

    def test_at_the_end_leaves_the_run_in_memory(self, tmp_path):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        writer = Writer(tmp_path / "rank0.sqlite")
        put(writer, 0)
        writer.add("loss", [1], ("",), [[0.5]])
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
            with pytest.raises(sqlite3.Error):
                writer.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert writer.run().series["loss"].steps.tolist() == [0, 1]


def test_a_forked_child_cannot_touch_the_record(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; sys.path[:0] = [sys.argv[2]]\n"
        "from test_store import Writer, put, holds\n"
        "writer = Writer(Path(sys.argv[1])); put(writer, 0)\n"
        "if os.fork() == 0:\n"
        "    put(writer, 7); writer.close(); assert holds(writer.run(), 1); sys.exit(0)\n"
        "assert os.waitpid(-1, 0)[1] == 0\n"
        "put(writer, 1)\n"
        "os._exit(0)\n"
    )
    command = [sys.executable, "-c", script, tmp_path / "rank0.sqlite", Path(__file__).parent]
    subprocess.run(command, check=True, env=ENVIRONMENT, timeout=60)
    assert holds(load(tmp_path), 2)


def altered(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)
    return path


class TestUnreadable:
    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (lambda p: p / "none", "none` does not exist"),
            (lambda p: p, "is not a run folder"),
            (lambda p: Path(__file__), "is not a record of trainwright"),
            (lambda p: altered(p / "a.sqlite", "CREATE TABLE t (x)"), "SQLite file, but not a record"),
            (
                lambda p: altered(
                    write(p / "rank0.sqlite"),
                    f"PRAGMA user_version = {FORMAT + 1}",
                    "DROP VIEW written_by",
                    "DROP TABLE readings",
                    "CREATE VIEW written_by AS SELECT 'trainwright 9.8.7' AS program",
                ),
                rf"by trainwright 9.8.7 in record format {FORMAT + 1};.*up to format {FORMAT}. Upgrade",
            ),
            (lambda p: altered(write(p / "r.sqlite"), "DROP TABLE readings"), "damaged or cut short"),
            (
                lambda p: altered(write(p / "r.sqlite"), "UPDATE facts SET value = '{'"),
                "damaged or cut short",
            ),
            (
                lambda p: altered(write(p / "r.sqlite"), "UPDATE series SET places = 3"),
                "damaged or cut short",
            ),
            (
                lambda p: altered(write(p / "r.sqlite"), "UPDATE readings SET series = 9"),
                "belong to no series",
            ),
            (lambda p: altered(write(p / "r.sqlite"), "UPDATE readings SET data = x'00'"), "do not fit"),
        ],
    )
    def test_is_one_clear_sentence(self, tmp_path: Path, make: Callable[[Path], Path], says: str):
        with pytest.raises(UnreadableRun, match=says) as error:
            load(make(tmp_path))
        assert "\n" not in str(error.value)

    def test_says_where_a_dangling_link_points_to(self, tmp_path):
        (tmp_path / "last").symlink_to("deleted")
        with pytest.raises(UnreadableRun, match=r"last` points to `.*deleted`, which does not exist"):
            load(tmp_path / "last")

    def test_points_from_the_folder_of_runs_to_the_last_one(self, tmp_path):
        (tmp_path / "last").symlink_to("some")
        with pytest.raises(UnreadableRun, match="last run recorded there is"):
            load(tmp_path)

    def test_is_any_file_that_was_cut_or_changed_but_never_another_error(self, tmp_path):
        rng = random.Random(0)
        whole = write(tmp_path / "rank0.sqlite", 30).read_bytes()
        outcomes = set()
        for i in range(150):
            broken = bytearray(whole[: rng.randrange(len(whole))] if i % 3 == 0 else whole)
            for _ in range(i % 3 * 20):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            (tmp_path / "broken.sqlite").write_bytes(broken)
            try:
                outcomes.add(type(load(tmp_path / "broken.sqlite")))
            except UnreadableRun:
                outcomes.add(UnreadableRun)
        assert outcomes == {Run, UnreadableRun}

    def test_a_record_of_a_run_without_training_is_readable(self, tmp_path):
        with closing(Writer(tmp_path / "rank0.sqlite")) as writer:
            writer.set_facts({"script": "train.py", "steps": 0, "exit_status": 0})
        assert load(tmp_path) == Run({}, {"script": "train.py", "steps": 0, "exit_status": 0})


@pytest.mark.parametrize("steps_per_flush", [1, 14, 50])
def test_a_long_run_stays_compact_and_opens_fast(tmp_path, steps_per_flush):
    """A tenth of 10,000 steps x 300 places x 12 signals in 160 MB, opened in 2 s (bench/store.py: all)."""
    places = tuple(f"net.{i}.weight" for i in range(300))
    values = np.random.default_rng(0).random((1, 300), np.float32)
    with closing(Writer(tmp_path / "rank0.sqlite")) as writer:
        for step in range(1000):
            for number in range(12):
                writer.add(f"signal{number}", [step], places, values)
            if (step + 1) % steps_per_flush == 0:
                writer.flush()
    assert (tmp_path / "rank0.sqlite").stat().st_size < 16e6
    begun = time.thread_time()
    run = load(tmp_path)
    assert time.thread_time() - begun < 0.2
    assert run.series["signal11"].values.shape == (1000, 300)


def test_scalars_of_many_steps_are_one_row_of_a_flush(tmp_path):
    with closing(Writer(tmp_path / "rank0.sqlite")) as writer:
        for step in range(300):
            writer.add("loss", [step], ("",), [[1.0]])
            writer.add("learning_rate", [step], ("0",), [[0.1]])
        writer.flush()
    with closing(sqlite3.connect(tmp_path / "rank0.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM readings").fetchone() == (2,)


def test_format_1_is_read_for_ever():
    """The stored example was written by version 0.1.0 and is never made again."""
    stored = RECORDINGS / "format-1"
    run = load(stored)
    expected = json.loads((stored / "expected.json").read_text(encoding="utf-8"))
    assert dict(run.facts) == expected["facts"]
    assert run.series.keys() == expected["series"].keys()
    for name, series in run.series.items():
        stored_series = expected["series"][name]
        assert series.steps.tolist() == stored_series["steps"]
        assert list(series.places) == stored_series["places"]
        assert np.array_equal(series.values, np.array(stored_series["values"], np.float32), equal_nan=True)
