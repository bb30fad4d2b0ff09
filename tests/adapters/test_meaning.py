"""Which column is taken for what, and over which steps."""

import json
import math
import random

import pytest

from trainwright.adapters import UnreadableLog, read
from trainwright.adapters.names import choose, meant
from trainwright.signals import learning_rate, loss, valid_accuracy, valid_loss

from .writers import falling, table


def told(tmp_path, content, **given):
    path = tmp_path / "log.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path, given)


def notes(run):
    return " ".join(run.facts["curves"]["notes"])


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("loss", "loss"), ("train_loss", "loss"), ("Train Loss", "loss"), ("trainLoss", "loss"),
        ("loss/train", "loss"), ("train/total_loss", "loss"), ("valid_loss", "valid_loss"),
        ("val/loss_epoch", "valid_loss"), ("eval_loss", "valid_loss"), ("testLoss", "valid_loss"),
        ("lr", "learning_rate"), ("lr-AdamW/pg1", "learning_rate"), ("Learning Rate", "learning_rate"),
        ("val_acc", "valid_accuracy"), ("val_sparse_categorical_accuracy", "valid_accuracy"), ("acc1", "accuracy"),
        ("grad_norm", "grad_norm"), ("grad_2.0_norm_total", "grad_norm"), ("global_step", "step"),
        ("_step", "step"), ("iter", "step"), ("Epoch", "epoch"), ("train/epoch", "epoch"),
    ],
)  # fmt: skip
def test_a_name_says_what_a_column_is(name, series):
    assert [m.series for m in meant(name)] == [series]


@pytest.mark.parametrize(
    "name",
    "loss_scale best_val_loss lr-SGD-momentum grad_2.0_norm/layer.weight train_runtime image loss__MIN "
    "glossary".split(),
)
def test_a_name_that_resembles_one_is_none(name):
    assert meant(name) == ()


def test_the_loss_is_the_column_with_the_fewest_other_words_then_the_most_readings():
    choice = choose({"loss_cls": 9, "loss_box": 9, "loss": 5, "train_loss": 9, "val_loss": 3}, {})
    assert choice.taken == {"loss": ("train_loss",), "valid_loss": ("val_loss",)}


def test_losses_of_which_none_is_the_whole_are_each_their_own(tmp_path):
    run = told(tmp_path, table([{"g_loss": x, "d_loss": x} for x in falling(20)]))
    assert len(run[loss].places) == 2
    assert "--map loss=COLUMN" in notes(run)
    assert (
        len(
            told(tmp_path, table([{"g_loss": x, "d_loss": x} for x in falling(20)]), loss=["d_loss"])[
                loss
            ].places
        )
        == 1
    )


def test_what_the_user_says_wins_and_nothing_can_be_said_too(tmp_path):
    content = table([{"loss": 1.0, "a, b = c": x, "val_loss": 2.0} for x in falling(20)])
    run = told(tmp_path, content, loss=["a, b = c"], valid_loss=[])
    assert run[loss].at()[1] == pytest.approx(falling(20))
    assert valid_loss not in run
    with pytest.raises(UnreadableLog, match="no column `nope`; it has"):
        told(tmp_path, content, loss=["nope"])


def test_a_table_without_header_goes_by_numbers(tmp_path):
    content = "\n".join(f"{i},{x}" for i, x in enumerate(falling(20)))
    with pytest.raises(UnreadableLog, match="--map loss=2"):
        told(tmp_path, content)
    assert told(tmp_path, content, loss=["2"], step=["1"])[loss].steps.tolist() == list(range(20))


def test_rows_of_training_and_of_validation_are_told_apart(tmp_path):
    rows = [
        {"epoch": i, "phase": p, "loss": x + (p == "val")}
        for i, x in enumerate(falling(20))
        for p in ("train", "val")
    ]
    run = told(tmp_path, table(rows))
    assert run[loss].at()[1] == pytest.approx(falling(20))
    assert run[valid_loss].at()[1] - run[loss].at()[1] == pytest.approx(1)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_and_decimal_commas(tmp_path, separator):
    content = table(
        [{"step": i, "loss": f"{x:.4f}".replace(".", ",")} for i, x in enumerate(falling(20))],
        separator=separator,
    )
    assert told(tmp_path, content)[loss].at()[1] == pytest.approx(falling(20), abs=1e-4)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_other_encodings(tmp_path, encoding):
    run = told(tmp_path, table([{"loss": x, "größe": 1} for x in falling(20)]).encode(encoding))
    assert run[loss].at()[1] == pytest.approx(falling(20))


class TestWhatIsNoNumber:
    def test_a_loss_that_became_nan_is_infinite_from_there_on(self, tmp_path):
        run = told(tmp_path, table([{"loss": x if i < 15 else "nan"} for i, x in enumerate(falling(20))]))
        assert [math.isinf(x) for x in run[loss].at()[1]] == [False] * 15 + [True] * 5

    def test_one_nan_among_numbers_is_a_reading(self, tmp_path):
        run = told(tmp_path, table([{"loss": "NaN" if i == 7 else x} for i, x in enumerate(falling(20))]))
        assert math.isinf(run[loss].at()[1][7])

    def test_nan_that_only_fills_cells_is_none(self, tmp_path):
        rows = [{"loss": x, "val_loss": x if i % 5 == 4 else "nan"} for i, x in enumerate(falling(23))]
        assert told(tmp_path, table(rows))[valid_loss].steps.tolist() == [4, 9, 14, 19]

    def test_beside_blank_cells_nan_is_a_reading(self, tmp_path):
        rows = [{"loss": x, "val_loss": "" if i % 5 else "nan"} for i, x in enumerate(falling(20))]
        assert len(told(tmp_path, table(rows))[valid_loss].steps) == 4

    def test_tensors_and_brackets_are_read_and_words_left_out(self, tmp_path):
        cells = [
            "tensor(0.5, device='cuda:0')",
            "[0.25]",
            '"0.125"',
            "diverged",
            "1e-2",
            "=cmd|'/c calc'!A0",
            "0.5 %",
        ]
        run = told(tmp_path, table([{"loss": c} for c in cells]))
        assert run[loss].at()[1] == pytest.approx([0.5, 0.25, 0.125, 0.01, 0.5])
        assert "2 cells of `loss` hold no number" in notes(run)

    def test_per_cent_are_shares(self, tmp_path):
        run = told(tmp_path, table([{"loss": x, "val_acc": 10 + i} for i, x in enumerate(falling(20))]))
        assert run[valid_accuracy].at()[1][0] == pytest.approx(0.1)
        assert "per cent" in notes(run)

    def test_numbers_beyond_float32_are_infinite(self, tmp_path):
        run = told(tmp_path, table([{"loss": 1.0}, {"loss": "1e39"}, {"loss": "-inf"}]))
        assert run[loss].at()[1].tolist() == [1, math.inf, -math.inf]


class TestSteps:
    def test_of_a_resumed_run_the_later_part_counts(self, tmp_path):
        steps = [*range(0, 1000, 10), *range(600, 1200, 10)]
        rows = [
            {"step": s, "loss": 1.0 if i < 100 else 2.0, "val_loss": i if s % 95 == 0 else ""}
            for i, s in enumerate(steps)
        ]
        run = told(tmp_path, table(rows))
        at, values = run[loss].at()
        assert at.tolist() == list(range(0, 1200, 10))
        assert (values == 2.0).sum() == 60
        assert run[valid_loss].steps.tolist() == [0, 190, 380, 570, 760, 950, 1140]
        assert "go back to 600" in notes(run)

    def test_a_run_that_began_again_is_the_last_one_alone(self, tmp_path):
        rows = [{"epoch": i % 50, "loss": 1.0 + i // 50} for i in range(90)]
        run = told(tmp_path, table(rows))
        assert run[loss].at()[1].tolist() == [2.0] * 40

    @pytest.mark.parametrize(
        "order", [lambda rows: rows[::-1], lambda rows: random.Random(0).sample(rows, 40)]
    )
    def test_rows_out_of_order_are_sorted(self, tmp_path, order):
        run = told(tmp_path, table(order([{"step": i, "loss": x} for i, x in enumerate(falling(40))])))
        assert run[loss].steps.tolist() == list(range(40))
        assert run[loss].at()[1] == pytest.approx(falling(40))

    def test_of_repeated_steps_the_last_reading_counts(self, tmp_path):
        rows = [{"step": i // 2 * 2 if i < 4 else i, "loss": i} for i in range(20)]
        assert told(tmp_path, table(rows))[loss].at()[1].tolist()[:3] == [1, 3, 4]

    def test_a_counter_that_starts_again_each_epoch_is_carried_on(self, tmp_path):
        rows = [{"epoch": e, "iter": i, "loss": x} for e in range(3) for i, x in enumerate(falling(10), 1)]
        run = told(tmp_path, table(rows))
        assert run[loss].steps.tolist() == list(range(1, 31))
        assert "starts again with each epoch" in notes(run)

    def test_a_row_without_a_step_has_that_of_the_row_before(self, tmp_path):
        rows = [
            {"step": i if i % 2 else "", "loss": x if i % 2 else "", "val_loss": "" if i % 2 else x}
            for i, x in enumerate(falling(20))
        ]
        assert told(tmp_path, table(rows))[valid_loss].steps.tolist() == [0, *range(1, 18, 2)]

    def test_steps_that_are_none_are_left_out(self, tmp_path):
        rows = [{"step": s, "loss": 1.0} for s in (0, 1, "nan", -5, 1e300, "inf", 2, 3, 4, 5, 6)]
        run = told(tmp_path, table(rows))
        assert run[loss].steps.tolist() == list(range(7))
        assert "have a step that is no count" in notes(run)

    def test_validation_that_counts_epochs_is_laid_along_the_steps(self, tmp_path):
        rows = [{"step": i, "loss": x} for i, x in enumerate(falling(101))]
        rows += [{"step": i, "val_loss": 1.0} for i in range(5)]
        path = tmp_path / "log.jsonl"
        path.write_text("\n".join(json.dumps(row) for row in rows))
        run = read(path)
        assert run[valid_loss].steps.tolist() == [20, 40, 60, 80, 100]

    def test_epochs_that_repeat_are_no_axis(self, tmp_path):
        run = told(tmp_path, table([{"epoch": i // 10, "loss": x} for i, x in enumerate(falling(40))]))
        assert run.facts["curves"]["unit"] == "row"
        assert run[loss].steps.tolist() == list(range(40))


def test_rates_of_several_groups_are_places(tmp_path):
    run = told(tmp_path, table([{"loss": x, "lr-Adam/pg1": 0.1, "lr-Adam/pg2": 0.2} for x in falling(20)]))
    assert run[learning_rate].places == ("0", "1")
