"""Formulas that are often wrong: what each version does is measured by the functions of the bench of that name."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[1] / "bench" / "toolkit" / "often_wrong.py"
spec = importlib.util.spec_from_file_location("often_wrong", PATH)
bench = importlib.util.module_from_spec(spec)
sys.modules["often_wrong"] = bench  # a NamedTuple looks its annotations up there
spec.loader.exec_module(bench)


@pytest.fixture
def measured():
    """A function of the bench -> what it measured, by a piece of the version's name and of the quantity's."""

    def by_name(measure, seed=7):  # none of the bench's own seeds
        torch.manual_seed(seed)
        rows = list(measure())

        def find(version, quantity=""):
            found = [row for row in rows if version in row.version and quantity in row.quantity]
            assert len(found) == 1, [row.version for row in found]
            return found[0]

        return find

    return by_name


def test_both_naive_uniform_starts_lose_the_signal_and_differ_by_root_n_a_layer(measured):
    row = measured(bench.naive_uniform)
    formula, code, xavier = row("(−1/n,"), row("(−1/√n,"), row("√3/√n")
    assert [formula.holds, code.holds, xavier.holds] == [False, False, True]
    # Nine layers lie between the first sum and the last; tanh is nearly linear at such sizes.
    assert (code.measured / formula.measured) ** (1 / 9) == pytest.approx(16, rel=0.1)
    assert code.measured ** (1 / 9) == pytest.approx(3**-0.5, rel=0.05)


def test_a_variance_taken_for_a_standard_deviation_loses_the_signal(measured):
    row = measured(bench.spread_or_variance)
    assert row("the variance as std").measured < 1e-8
    assert row("√(2").holds


def test_he_with_both_fans_keeps_the_signal_only_where_widths_are_equal(measured):
    row = measured(bench.he_factors)
    assert row("equal widths, f").holds
    assert row("equal widths, He").holds
    assert not row("halving, f").holds
    assert row("halving, f").measured == pytest.approx((4 / 3) ** (4 / 2), rel=0.15)  # four steps lie between
    assert row("halving, He").holds


def test_a_factor_of_four_saturates_tanh_and_belongs_to_the_sigmoid(measured):
    row = measured(bench.he_factors)
    assert row("tanh, f = 4", "saturated").measured > 0.5
    assert not row("tanh, f = 4", "gradient").holds
    assert row("tanh, f = 1", "saturated").holds
    assert row("tanh, f = 1", "gradient").holds
    assert not row("sigmoid, f = 1").holds
    assert row("sigmoid, f = 4").measured > 1000 * row("sigmoid, f = 1").measured


def test_the_sum_of_roots_of_squares_is_the_l1_norm(measured):
    row = measured(bench.one_norm)
    assert row("it is L1").holds
    assert row("gradient is that of L1").holds
    assert not row("it is L2").holds
    assert not row("it is ½").holds
    assert not row("gradient is that of L2").holds


def test_only_the_soft_threshold_gives_zeros(measured):
    row = measured(bench.exact_zeros)
    assert row("soft threshold").holds
    for version in ("Σ√θ²", "Σ|θ|", "½Σθ²"):
        assert row(version).measured == 0


def test_inverted_dropout_is_the_one_that_scales_in_training(measured):
    row = measured(bench.dropout_scale)
    assert row("inverted: 1").holds
    assert row("classical: 1").holds
    assert row("trainwright").holds
    assert row("scales in training, so").holds
    assert row("multiplies kept").holds
    assert not row("both at once").holds
    assert not row("neither").holds


def test_without_the_square_the_batch_variance_is_nothing(measured):
    row = measured(bench.batch_variance)
    assert row("mean(x − μ)").measured > 100
    assert row("mean((x").holds
    assert row("torch's").measured == pytest.approx(row("mean((x").measured, rel=1e-5)


def test_the_fans_of_torch_are_off_for_transposed_and_grouped_convolutions(measured):
    row = measured(bench.fans_of_torch)
    for case in ("stride 1", "stride 2", "8 groups"):
        assert row(f"{case}, fan_in counted").holds
    assert row("stride 1, fan_in of torch").measured == pytest.approx(64 / 16, rel=0.1)
    assert row("stride 2, fan_in of torch").measured == pytest.approx(1 / 4, rel=0.1)
    assert row("8 groups, fan_in of torch").holds
    assert row("8 groups, fan_out of torch").measured == pytest.approx(1 / 8, rel=0.1)
    for case in ("stride 1, fan_in", "stride 2, fan_in", "8 groups, fan_out"):
        assert row(f"{case} of trainwright").holds
