"""The statistics against scipy where it has them, against the obvious slow way, and by their properties."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as scipy_stats

from trainwright import stats

floats = st.floats(-1e6, 1e6).map(lambda x: round(x, 6))
vectors = arrays(np.float64, st.integers(1, 60), elements=floats)


@given(vectors)
def test_the_deviation_is_that_of_scipy(values):
    expected = scipy_stats.median_abs_deviation(values, scale="normal")
    assert stats.median_abs_deviation(values) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(vectors, st.integers(1, 25))
def test_smooth_is_the_median_of_each_window(values, width):
    half = width // 2
    slow = [np.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
    assert stats.smooth(values, width) == pytest.approx(slow)


@given(st.integers(3, 60), st.integers(0, 10**6))
@settings(max_examples=50)
def test_the_trend_is_that_of_scipy(n, seed):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.normal(size=n))
    y = rng.normal(size=n) + rng.normal() * x
    slope, low, high = stats.theil_sen(x, y)
    expected = scipy_stats.theilslopes(y, x, alpha=0.95)
    assert slope == pytest.approx(expected.slope)
    # scipy rounds the ranks of the interval's ends to the nearest, we round outwards.
    assert low <= expected.low_slope + 1e-9
    assert high >= expected.high_slope - 1e-9


@given(vectors, st.floats(-100, 100).map(lambda s: round(s, 3)))
def test_a_line_has_its_own_slope_whatever_is_added(values, slope):
    x = np.arange(len(values), dtype=float)
    if len(x) < 2:
        assert np.isnan(stats.theil_sen(x, slope * x).slope)
        return
    line = stats.theil_sen(x, slope * x)
    assert line.slope == pytest.approx(slope)
    assert line.low <= line.slope <= line.high
    noisy, flat = stats.theil_sen(x, values + slope * x), stats.theil_sen(x, values)
    assert noisy.slope == pytest.approx(flat.slope + slope, abs=1e-3)


def test_the_interval_of_the_trend_holds_the_truth_about_95_times_of_100():
    rng = np.random.default_rng(0)
    x = np.arange(40.0)
    inside = 0
    for _ in range(400):
        found = stats.theil_sen(x, 0.3 * x + rng.standard_t(3, size=40))
        inside += found.low <= 0.3 <= found.high
    assert 0.92 < inside / 400 <= 0.99


def test_a_long_series_is_thinned_and_keeps_its_trend():
    rng = np.random.default_rng(1)
    x = np.arange(10_000.0)
    found = stats.theil_sen(x, -2e-3 * x + rng.normal(size=10_000))
    assert found.low < -2e-3 < found.high
    assert found.high < 0
    assert found.slope == pytest.approx(-2e-3, rel=0.01)


def test_values_at_one_place_have_no_trend():
    assert np.isnan(stats.theil_sen([3, 3, 3], [1, 2, 3]).slope)


@given(vectors, st.integers(1, 80))
def test_blocks_are_medians_of_neighbours_in_order(values, count):
    x, y = stats.blocks(np.arange(len(values))[::-1], values, count)
    assert len(x) == len(y) == min(count, len(values))
    assert (np.diff(x) > 0).all()
    assert values.min() <= y.min()
    assert y.max() <= values.max()


@given(st.integers(0, 10**6), st.integers(2, 40))
@settings(max_examples=50)
def test_the_change_point_parts_by_the_most_unequal_pairs(seed, n):
    values = np.random.default_rng(seed).integers(0, 5, size=n).astype(float)
    counts = [
        abs(sum(np.sign(b - a) for a, b in itertools.product(values[:t], values[t:]))) for t in range(1, n)
    ]
    found = stats.change_point(values, p=10.0)  # any difference counts
    assert found is not None
    assert counts[found - 1] == max(counts)


@pytest.mark.parametrize("at", [15, 40, 70])
def test_a_step_is_found_where_it_is(at):
    rng = np.random.default_rng(at)
    values = rng.normal(size=100) + 4.0 * (np.arange(100) >= at)
    found = stats.change_point(values)
    assert found is not None
    assert abs(found - at) <= 2


def test_noise_without_a_change_is_rarely_called_one():
    rng = np.random.default_rng(2)
    assert sum(stats.change_point(rng.normal(size=60)) is not None for _ in range(300)) <= 6


def test_the_index_of_a_change_counts_readings_that_are_not_finite():
    values = np.r_[np.zeros(10), np.nan, np.inf, np.ones(10)]
    assert stats.change_point(values) == 12


@given(st.integers(0, 50), st.integers(1, 50))
def test_the_interval_of_a_share_is_that_of_scipy(hits, tries):
    hits = min(hits, tries)
    expected = scipy_stats.binomtest(hits, tries).proportion_ci(method="wilson")
    assert stats.wilson(hits, tries) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(vectors, st.integers(0, 5))
def test_what_is_not_finite_is_left_out(values, holes):
    holed = np.r_[values, [np.nan, np.inf, -np.inf, np.nan, np.inf][:holes]]
    assert stats.level(holed) == stats.level(values) == pytest.approx(np.median(values))
    assert stats.median_abs_deviation(holed) == stats.median_abs_deviation(values)


def test_nothing_has_no_level_no_spread_and_no_change():
    assert np.isnan(stats.level([]))
    assert np.isnan(stats.median_abs_deviation([np.nan]))
    assert stats.smooth([], 5).size == 0
    assert stats.change_point([1.0]) is None


def test_arguments_that_make_no_sense_are_refused_in_a_sentence():
    with pytest.raises(ValueError, match="at least 1 value"):
        stats.smooth([1.0], 0)
    with pytest.raises(ValueError, match="`x` has 2 values and `y` has 3"):
        stats.theil_sen([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="3 of 2 is no share"):
        stats.wilson(3, 2)
