"""`trainwright diagnose` on other tools' logs, whatever stands in them: an answer or one sentence."""

import json
import os
import re
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from trainwright import cli, rules
from trainwright.core import Run
from trainwright.report import data
from trainwright.rules import unwatched

from . import writers
from .writers import events, falling, table, wandb

SCHEMA = json.loads((data.Path(data.__file__).parent / "schema-1.json").read_text())
FORMATS = ("text", "json", "sarif", "github", "html")

BAD_LOGS = {
    "nothing": b"",
    "blank": b"\n\n  \n",
    "binary": b"\x00\x01\x02" * 100,
    "no-columns": b",,,\n1,2,3,4\n",
    "no-rows": b"step,loss\n",
    "no-loss": b"time,size\n1,2\n",
    "no-numbers": b"step,loss\na,b\nc,d\n",
    "one-word": b"hello",
    "an-open-quote": b'loss,"a\n' + b"1,2\n" * 50_000,
    "cut-json": b'{"log_history": [{"loss": 1',
    "deep-json": b"[" * 100_000,
    "deep-line": b'{"loss": 1}\n' + b'{"a":' * 100_000 + b"\n{}\n",
    "long-number": b'[{"loss": ' + b"9" * 5000 + b"}]",
    "json-of-words": b'["a", "b"]',
    "json-null": b"[null]",
    "half-events": events((1, "loss", 1.0))[:20],
    "no-scalars": events(),
    "w&b-of-another-version": b":W&B\xe1\xbe\x09",
    "w&b-without-rows": wandb([]),
}


def diagnose(path, *options):
    return cli.main(["diagnose", str(path), *options])


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(writers.lightning())
    return path


@pytest.mark.parametrize("name", BAD_LOGS)
def test_what_is_no_log_is_refused_in_one_sentence(tmp_path, capfd, name):
    path = tmp_path / "a.log"
    path.write_bytes(BAD_LOGS[name])
    assert diagnose(path) == cli.USAGE
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"trainwright: [^\n]{20,600}\.\n", err), err
    assert "Traceback" not in err


def test_a_file_that_is_none_or_too_large_is_refused(tmp_path, capfd):
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate(3 * 1024**3)
    for name, why in (("pipe", "no ordinary file"), ("large.csv", "3.2 GB"), ("../none", "does not exist")):
        assert diagnose(tmp_path / name) == cli.USAGE
        assert why in capfd.readouterr().err


def test_it_says_what_was_taken_and_what_curves_cannot_tell(log, capsys):
    assert diagnose(log) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "`train_loss_step` for loss, `val_loss` for valid_loss" in out
    assert "curves do not show where a fault lies" in out
    assert "vanishing-gradient" not in out, "a rule that saw nothing is not clean"
    assert "trainwright check" not in out


def test_harm_in_curves_is_found_and_counts(tmp_path, capsys):
    rows = [
        {"step": i, "train_loss": x, "val_loss": x + max(0, i - 15) / 20} for i, x in enumerate(falling(60))
    ]
    (tmp_path / "a.csv").write_text(table(rows))
    assert diagnose(tmp_path / "a.csv", "--fail-on", "harm") == 1
    assert "harm[overfitting]" in capsys.readouterr().out
    rows[50:] = [row | {"train_loss": "nan"} for row in rows[50:]]
    (tmp_path / "a.csv").write_text(table(rows))
    assert diagnose(tmp_path / "a.csv", "--fail-on", "fatal") == 1
    assert "fatal[non-finite]" in capsys.readouterr().out


def test_growing_gradients_are_told_without_a_place(tmp_path, capsys):
    rows = [{"step": i, "loss": 1.5**i, "grad_norm": 1.5**i} for i in range(40)]
    (tmp_path / "a.csv").write_text(table(rows))
    diagnose(tmp_path / "a.csv")
    out = capsys.readouterr().out
    assert "harm[exploding-gradient]" in out
    assert "``" not in out


def test_rules_on_curves_need_nothing_else():
    readable = {
        "loss",
        "valid_loss",
        "accuracy",
        "valid_accuracy",
        "learning_rate",
        "epoch",
        "grad_norm",
        "constant_loss",
    }
    for rule in rules.ALL:
        if rule.name in unwatched.FROM_CURVES:
            assert {signal.name for signal in rule.needs} <= readable, rule.name
    watched = Run({}, {"steps": 3})
    assert unwatched.able(rules.ALL, watched) == rules.ALL


def test_map_names_columns(tmp_path, capfd):
    path = tmp_path / "a.csv"
    path.write_text(table([{"i": i, "train/x, y": x, "val/x": x} for i, x in enumerate(falling(30))]))
    assert diagnose(path) == cli.USAGE
    assert "`i`, `train/x, y`, `val/x`" in capfd.readouterr().err
    assert (
        diagnose(path, "--map", "loss=train/x, y,valid_loss=val/x", "--map", "step=i", "--format", "json")
        == 0
    )
    found = json.loads(capfd.readouterr().out)
    assert found["log"]["taken"] == {"loss": ["train/x, y"], "valid_loss": ["val/x"], "step": ["i"]}
    for wrong, said in (
        ("lss=a", "is none of loss"),
        ("loss", "write SERIES=COLUMN"),
        ("loss=nope", "no column `nope`"),
    ):
        with pytest.raises(SystemExit) if wrong != "loss=nope" else pytest.MonkeyPatch.context():
            assert diagnose(path, "--map", wrong) == cli.USAGE
        assert said in capfd.readouterr().err


def test_rules_that_need_more_than_curves_are_refused_by_name(log, capfd):
    assert diagnose(log, "--select", "dead-units") == cli.USAGE
    assert "curves alone do not tell dead-units" in capfd.readouterr().err


def test_map_on_a_record_of_ours_is_refused(tmp_path, capfd):
    (tmp_path / "rank0.sqlite").write_bytes(b"SQLite format 3\0")
    assert diagnose(tmp_path, "--map", "loss=a") == cli.USAGE
    assert "is no log of another tool" in capfd.readouterr().err


def test_names_that_mean_harm_are_shown_as_text(tmp_path, capsys):
    name = "<img src=x onerror=alert(1)>/\x1b[31m`=cmd|'/c'!A0`/{0}\u202etrain_loss"
    (tmp_path / "a.csv").write_text(table([{name: x} for x in falling(30)]))
    for form in FORMATS:
        assert diagnose(tmp_path / "a.csv", "--format", form) == 0
        out = capsys.readouterr().out
        assert "<img" not in out or form != "html"
        assert "\x1b" not in out
        assert "\u202e" not in out


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_hundred_thousand_rows_take_no_more_than_their_share(tmp_path, capsys, form):
    n = 100_000
    rows = [
        {"epoch": i // 1000, "step": i, "train_loss": x, "lr": 0.1}
        for i, x in enumerate(1 / np.arange(1.0, n + 1))
    ]
    path = tmp_path / f"a.{form}"
    path.write_text(table(rows) if form == "csv" else "\n".join(map(json.dumps, rows)))
    begin = time.process_time()
    assert diagnose(path) == 0
    assert time.process_time() - begin < 1.5, "a million must take less than five seconds"


NAMES = st.sampled_from(
    [
        "loss",
        "train_loss",
        "val_loss",
        "step",
        "epoch",
        "lr",
        "val_acc",
        "grad_norm",
        "phase",
        "Step",
        "_step",
        "x",
        "",
    ]
) | st.text(max_size=8)
CELLS = st.one_of(
    st.floats().map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.integers(0, 50).map(str),
    st.sampled_from(
        [
            "",
            "nan",
            "NaN",
            "inf",
            "-inf",
            "NA",
            "train",
            "val",
            "1,5",
            "=1+1",
            "tensor(0.5)",
            "1e400",
            "\x00",
            '"',
        ]
    ),
    st.text(max_size=6),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(10**400), 10**400) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@st.composite
def tables(draw):
    names = draw(st.lists(NAMES, min_size=1, max_size=6))
    rows = draw(st.lists(st.lists(CELLS, max_size=7), max_size=25))
    separator = draw(st.sampled_from([",", ";", "\t"]))
    text = "\n".join(separator.join(row) for row in [names, *rows])
    return text.encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])), "replace")


ROWS = st.lists(
    st.dictionaries(NAMES, st.floats() | st.integers(-(10**400), 10**400) | st.none(), max_size=5),
    max_size=20,
)
SCALARS = st.lists(
    st.tuples(st.integers(-3, 2**63 - 1) | st.integers(0, 30), NAMES, st.floats(width=32)), max_size=12
)


@st.composite
def damaged(draw, whole):
    """The bytes of a good file, cut, with a bit turned, or with a piece put in."""
    content = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        what = draw(st.sampled_from(["cut", "turn", "put"]))
        if what == "cut":
            del content[at:]
        elif what == "turn" and content:
            content[at] ^= 1 << draw(st.integers(0, 7))
        else:
            content[at:at] = draw(st.binary(max_size=9))
    return bytes(content)


GOOD = st.one_of(
    st.sampled_from(
        [writers.lightning(4).encode(), writers.keras(6).encode(), writers.trainer_state(8).encode()]
    ),
    SCALARS.map(lambda told: events(*((s, t.replace("\ud800", ""), v) for s, t, v in told))),
    ROWS.map(lambda rows: wandb(rows)),
    ROWS.map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
)
FILES = st.one_of(
    tables(), JSON.map(lambda told: json.dumps(told).encode()), damaged(GOOD), GOOD, st.binary(max_size=60)
)


def answers(path, form, capfd):
    """Whether `diagnose` gave a whole report or one sentence; anything else fails."""
    status = diagnose(path, "--format", form)
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    assert "a fault of trainwright" not in out
    if status == cli.USAGE:
        assert out == ""
        assert re.fullmatch(r"trainwright: [^\n]+\n", err), err
        return False
    assert (status, err) == (0, "")
    if form == "json":
        found = json.loads(out)
        Draft202012Validator(SCHEMA).validate(found)
        assert found["log"]["taken"]
    return True


@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@example(content=b"\xff\xfel", form="text")
@example(content=wandb([{"loss": 0.0, "epoch": 3 * 10**38}, {"epoch": 4e38}]), form="html")
@given(content=FILES, form=st.sampled_from(FORMATS))
def test_anything_gets_an_answer_or_one_sentence(tmp_path, capfd, content, form):
    path = tmp_path / "any.log"
    path.write_bytes(content)
    answers(path, form, capfd)
