"""Logs as each tool writes them become the runs that they tell of."""

import json
import math
import struct

import numpy as np
import pytest

from trainwright.adapters import UnreadableLog, read
from trainwright.signals import accuracy, epoch, grad_norm, learning_rate, loss, valid_accuracy, valid_loss

from . import writers
from .writers import events, falling, field, simple, table, tensor


def told(tmp_path, name, content, **given):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, given)


def taken(run):
    return run.facts["curves"]["taken"]


def test_lightning_s_csv_has_a_row_a_call_and_empty_cells(tmp_path):
    run = told(tmp_path, "metrics.csv", writers.lightning())
    assert run[loss].steps[:3].tolist() == [49, 99, 149]
    assert run[loss].values[:, 0] == pytest.approx(falling(40))
    assert run[valid_loss].steps.tolist() == list(range(199, 2000, 200))
    assert run[learning_rate].places == ("0",)
    assert run[epoch].at()[1].tolist()[:5] == [1, 1, 1, 1, 2]
    assert taken(run)["loss"] == ["train_loss_step"]
    assert taken(run)["valid_accuracy"] == ["val_acc"]
    assert run.facts["curves"]["unit"] == "step"


def test_keras_s_csv_counts_epochs_and_leaves_out_na(tmp_path):
    run = told(tmp_path, "training.log", writers.keras())
    assert run.steps == 20
    assert run[loss].steps.tolist() == list(range(20))
    assert 3 not in run[valid_loss].steps
    assert run[epoch].at()[1][0] == 1
    assert (run.facts["curves"]["unit"], taken(run)["valid_loss"]) == ("epoch", ["val_loss"])
    assert accuracy in run
    assert valid_accuracy in run


def test_a_trainer_state_s_mean_over_the_run_is_no_loss(tmp_path):
    run = told(tmp_path, "trainer_state.json", writers.trainer_state())
    assert run.steps == 400
    assert run[loss].values.max() < 9
    assert run[valid_loss].steps.tolist() == list(range(50, 401, 50))
    assert run[grad_norm].places == ("",)
    assert run[grad_norm].values[0, 0] == 1.5
    assert run[epoch].at()[1][[0, -1]].tolist() == [1, 4]
    assert run.facts["curves"]["format"] == "Hugging Face trainer_state.json"


def test_json_lines_nested_or_not_and_cut_at_the_end(tmp_path):
    rows = [
        {"step": i, "train": {"loss": x}, "val/loss": None if i % 3 else x} for i, x in enumerate(falling(30))
    ]
    run = told(tmp_path, "log.jsonl", "\n".join(map(json.dumps, rows)) + '\n{"step": 30, "tra')
    assert taken(run)["loss"] == ["train/loss"]
    assert len(run[loss].steps) == 30
    assert run[valid_loss].steps.tolist() == list(range(0, 30, 3))
    assert "cut short" in run.facts["curves"]["notes"][0]


@pytest.mark.parametrize(
    "whole",
    [
        {"loss": falling(12), "val_loss": falling(12)},
        {"loss": dict(enumerate(falling(12))), "val_loss": dict(enumerate(falling(12)))},
        [{"loss": x, "val_loss": x} for x in falling(12)],
    ],
    ids=["columns", "data-frame", "rows"],
)
def test_json_in_one_piece(tmp_path, whole):
    run = told(tmp_path, "history.json", json.dumps(whole, indent=1))
    assert run[loss].at()[1] == pytest.approx(falling(12))
    assert run.facts["curves"]["unit"] == "row"


def test_tensorboard_s_old_and_new_scalars(tmp_path):
    rows = [(i, simple("train/loss", x)) for i, x in enumerate(falling(300))]
    rows += [(i, tensor("val/loss", 1.0 + i)) for i in range(0, 300, 100)]
    rows += [
        (299, tensor("lr", 0.5, "float_val")),
        (5, field(1, b"text") + field(8, field(1, 7) + field(8, b"hi"))),
    ]
    run = told(tmp_path, "events.out.tfevents.1.host", events(*rows))
    assert run[loss].at()[1] == pytest.approx(falling(300), rel=1e-6)
    assert run[valid_loss].at()[1].tolist() == [1, 101, 201]
    assert run[learning_rate].at("0")[1].tolist() == [0.5]
    assert run.facts["curves"]["notes"] == []


@pytest.mark.parametrize(
    ("kind", "raw", "number"),
    [
        (2, struct.pack("<d", 0.1), 0.1),
        (9, struct.pack("<q", -3), -3),
        (14, b"\xc0\x3f", 1.5),
        (19, b"\x00\x3e", 1.5),
    ],
    ids=["double", "int64", "bfloat16", "half"],
)
def test_tensorboard_s_scalars_of_any_width(tmp_path, kind, raw, number):
    value = field(1, b"loss") + field(8, field(1, kind) + field(4, raw))
    run = told(tmp_path, "e.tfevents.1", events((1, value), (2, value)))
    assert run[loss].at()[1] == pytest.approx([number, number])


def test_tensorboard_s_negative_steps_and_vectors_are_left_out(tmp_path):
    vector = field(8, field(1, 1) + field(2, field(2, field(1, 2))) + field(4, struct.pack("<ff", 1, 2)))
    run = told(
        tmp_path, "e.tfevents.1", events((-1, "loss", 9.0), (0, "loss", 2.0), (3, field(1, b"loss") + vector))
    )
    assert (run[loss].steps.tolist(), run[loss].values.tolist()) == ([0], [[2.0]])


def test_keras_s_folders_for_tensorboard_are_the_parts_of_one_run(tmp_path):
    for part, level in (("train", 0.0), ("validation", 1.0)):
        rows = [(i, tensor("epoch_loss", x + level)) for i, x in enumerate(falling(20))]
        rows += [(i, tensor("batch_loss", 5.0)) for i in range(0, 2000, 100)] if part == "train" else []
        told_to = tmp_path / part / "events.out.tfevents.1.host.v2"
        told_to.parent.mkdir()
        told_to.write_bytes(events(*rows))
    run = read(tmp_path)
    assert taken(run) == {"loss": ["train/epoch_loss"], "valid_loss": ["validation/epoch_loss"]}
    assert run.facts["curves"]["file"] == str(tmp_path)
    assert run[valid_loss].at()[1] - run[loss].at()[1] == pytest.approx(1.0)


def test_a_run_s_event_files_follow_one_another_and_other_runs_stay_apart(tmp_path):
    (tmp_path / "events.out.tfevents.0.host").touch()
    told(tmp_path, "events.out.tfevents.1.host", events(*((i, "loss", 1.0) for i in range(100))))
    told(tmp_path, "events.out.tfevents.2.host", events(*((i, "loss", 2.0) for i in range(60, 90))))
    told(tmp_path, "fold_1/events.out.tfevents.3.host", events(*((i, "loss", 9.0) for i in range(500))))
    run = read(tmp_path)
    assert taken(run) == {"loss": ["loss"]}
    assert run[loss].at()[1].tolist() == [1.0] * 60 + [2.0] * 30


@pytest.mark.parametrize("nested", [False, True], ids=["key", "nested-key"])
def test_wandb_s_offline_run_over_many_blocks(tmp_path, nested):
    rows = [
        {"train/loss": x, "train/global_step": 10 * i, "note": "x" * 3000} for i, x in enumerate(falling(60))
    ]
    rows[40]["eval/loss"] = "NaN"
    run = told(tmp_path, "run-1.wandb", writers.wandb(rows, nested))
    assert run[loss].steps.tolist() == list(range(0, 600, 10))
    assert run[loss].at()[1] == pytest.approx(falling(60))
    assert run[valid_loss].values.tolist() == [[math.inf]]
    assert taken(run)["step"] == ["train/global_step"]


def test_wandb_s_exports_as_csv(tmp_path):
    history = table([{"": i, "_step": i, "train/loss": x, "_runtime": 1} for i, x in enumerate(falling(20))])
    assert told(tmp_path, "history.csv", history)[loss].steps.tolist() == list(range(20))
    chart = [
        {"Step": 2 * i, "sun-1 - loss": x, "sun-1 - loss__MIN": x, "sun-1 - loss__MAX": x}
        for i, x in enumerate(falling(20))
    ]
    run = told(tmp_path, "chart.csv", table(chart))
    assert taken(run) == {"loss": ["sun-1 - loss"], "step": ["Step"]}
    two = table([{"Step": i, "a - loss": x, "b - loss": x} for i, x in enumerate(falling(20))])
    with pytest.raises(UnreadableLog, match="2 runs: `a`, `b`"):
        told(tmp_path, "two.csv", two)
    assert taken(told(tmp_path, "two.csv", two, loss=["b - loss"]))["loss"] == ["b - loss"]


def test_folders_as_the_tools_lay_them_out(tmp_path):
    told(tmp_path, "lightning_logs/version_2/metrics.csv", table([{"loss": 1}] * 12))
    told(tmp_path, "lightning_logs/version_10/metrics.csv", writers.lightning())
    assert len(read(tmp_path / "lightning_logs")[loss].steps) == 40
    for checkpoint, logs in ((500, 5), (1000, 10)):
        told(tmp_path, f"out/checkpoint-{checkpoint}/trainer_state.json", writers.trainer_state(logs))
    assert read(tmp_path / "out").steps == 100
    told(tmp_path, "two/a.csv", table([{"loss": 1}]))
    told(tmp_path, "two/b.csv", table([{"loss": 1}]))
    with pytest.raises(UnreadableLog, match=r"several logs: `a\.csv`, `b\.csv`"):
        read(tmp_path / "two")
    (tmp_path / "none").mkdir()
    assert read(tmp_path / "none") is None


def test_a_run_that_was_not_watched_has_no_modules_and_says_so(tmp_path):
    run = told(tmp_path, "metrics.csv", writers.lightning())
    assert set(run.facts) == {"steps", "curves"}
    assert all(s.values.dtype == np.float32 and np.all(np.diff(s.steps) > 0) for s in run.series.values())
