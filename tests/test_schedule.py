"""Schedules against torch's and optax's where those have the same, and by their promises."""

import math
import warnings
from functools import partial
from itertools import pairwise

import optax
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from trainwright import schedule
from trainwright.schedule import (
    Plateau,
    constant,
    cosine,
    cyclical,
    exponential,
    join,
    linear,
    milestones,
    multiply,
    one_cycle,
    per_epoch,
    polynomial,
    square_root,
    staircase,
    warm_restarts,
    warm_up,
    warm_up_stable_decay,
)

BASE = 0.3
shares = st.floats(0, 1)
lengths = st.integers(1, 10**6)


def sgd(lr: float = BASE) -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def rates(make, steps: int, lr: float = BASE) -> list[float]:
    """The rate of each optimiser step under a scheduler that is stepped after each."""
    optimizer = sgd(lr)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*epoch parameter in `scheduler.step", category=UserWarning
        )
        scheduler = make(optimizer)
        found = []
        for _ in range(steps):
            found.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    return found


def ours(factor, steps: int) -> list[float]:
    return rates(lambda o: lr_scheduler.LambdaLR(o, factor), steps)


SAME = {
    "constant": (constant(0.5), lambda o: lr_scheduler.ConstantLR(o, 0.5, total_iters=1000), 20),
    "staircase": (staircase(7, 0.5), partial(lr_scheduler.StepLR, step_size=7, gamma=0.5), 60),
    "milestones": (
        milestones([3, 4, 30], 0.1),
        partial(lr_scheduler.MultiStepLR, milestones=[3, 4, 30], gamma=0.1),
        40,
    ),
    "exponential": (exponential(0.93), partial(lr_scheduler.ExponentialLR, gamma=0.93), 100),
    "linear": (
        linear(20, start=0.2, end=0.7),
        partial(lr_scheduler.LinearLR, start_factor=0.2, end_factor=0.7, total_iters=20),
        30,
    ),
    "polynomial": (polynomial(20, 0.9), partial(lr_scheduler.PolynomialLR, total_iters=20, power=0.9), 30),
    "cosine": (
        cosine(50, end=0.1),
        partial(lr_scheduler.CosineAnnealingLR, T_max=50, eta_min=0.1 * BASE),
        51,
    ),
    "warm restarts": (
        warm_restarts(5, growth=3, end=0.05),
        partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=5, T_mult=3, eta_min=0.05 * BASE),
        700,
    ),
    "equal restarts": (
        warm_restarts(9),
        partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=9),
        60,
    ),
    "cyclical": (
        cyclical(4, 7, low=0.2),
        lambda o: lr_scheduler.CyclicLR(o, 0.2 * BASE, BASE, 4, 7, cycle_momentum=False),
        60,
    ),
    "triangular2": (
        cyclical(5, low=0.2, shrink=0.5),
        lambda o: lr_scheduler.CyclicLR(o, 0.2 * BASE, BASE, 5, mode="triangular2", cycle_momentum=False),
        60,
    ),
    "one cycle": (
        one_cycle(40),
        lambda o: lr_scheduler.OneCycleLR(o, BASE, 41, cycle_momentum=False),
        None,
    ),
    "warm-up and cosine": (
        warm_up(6, then=cosine(30), start=0.1),
        lambda o: lr_scheduler.SequentialLR(
            o,
            [
                lr_scheduler.LinearLR(o, start_factor=0.1, total_iters=6),
                lr_scheduler.CosineAnnealingLR(o, T_max=30),
            ],
            [6],
        ),
        36,
    ),
    "product": (
        multiply(staircase(10), exponential(0.99)),
        lambda o: lr_scheduler.ChainedScheduler(
            [lr_scheduler.StepLR(o, 10, 0.5), lr_scheduler.ExponentialLR(o, 0.99)]
        ),
        50,
    ),
}


@pytest.mark.parametrize("name", [n for n, (_, _, steps) in SAME.items() if steps])
def test_rates_are_those_of_torch(name):
    factor, theirs, steps = SAME[name]
    assert ours(factor, steps) == pytest.approx(rates(theirs, steps), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("steps", "rise"), [(2, 0.9), (3, 0.5), (4, 0.3), (10, 0.3), (40, 0.05), (40, 0.9), (101, 0.3)]
)
def test_one_cycle_is_that_of_torch_to_the_last_step(steps, rise):
    optimizer = sgd()
    theirs = lr_scheduler.OneCycleLR(optimizer, BASE, steps, pct_start=rise, cycle_momentum=False)
    expected = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps - 1):
        optimizer.step()
        theirs.step()
        expected.append(optimizer.param_groups[0]["lr"])
    cycle = one_cycle(steps, rise=rise, start=1 / 25, end=1 / 25 / 1e4)
    assert [BASE * cycle(step) for step in range(steps)] == pytest.approx(expected, rel=1e-9)
    assert cycle(steps) == cycle(steps - 1) == 1 / 25 / 1e4  # no rebound


OPTAX = {
    "constant": (constant(0.5), optax.constant_schedule(0.5)),
    "exponential": (exponential(0.97), optax.exponential_decay(1.0, 1, 0.97)),
    "staircase": (staircase(10, 0.5), optax.exponential_decay(1.0, 10, 0.5, staircase=True)),
    "milestones": (
        milestones([10, 40], 0.1),
        optax.piecewise_constant_schedule(1.0, {10: 0.1, 40: 0.1}),
    ),
    "linear": (linear(70, end=0.2), optax.linear_schedule(1.0, 0.2, 70)),
    "polynomial": (polynomial(70, 2.0, end=0.1), optax.polynomial_schedule(1.0, 0.1, 2.0, 70)),
    "cosine": (cosine(70, end=0.1), optax.cosine_decay_schedule(1.0, 70, alpha=0.1)),
    "warm-up and cosine": (
        warm_up(10, then=cosine(60, end=0.1), start=0.05),
        optax.warmup_cosine_decay_schedule(0.05, 1.0, 10, 70, end_value=0.1),
    ),
    "warm-up, stable, decay": (
        warm_up_stable_decay(70, warm=10, decay=20, start=0.0),
        optax.join_schedules(
            [
                optax.linear_schedule(0.0, 1.0, 10),
                optax.constant_schedule(1.0),
                optax.linear_schedule(1.0, 0.0, 20),
            ],
            [10, 50],
        ),
    ),
    "sgdr": (
        join([cosine(20), multiply(constant(0.5), cosine(40))], [20]),
        optax.sgdr_schedule(
            [
                {"init_value": 1.0, "peak_value": peak, "decay_steps": steps, "warmup_steps": 0}
                for peak, steps in ((1.0, 20), (0.5, 40))
            ]
        ),
    ),
}


@pytest.mark.parametrize("name", OPTAX)
def test_factors_are_those_of_optax(name):
    factor, theirs = OPTAX[name]
    steps = [0, 1, 5, 9, 10, 11, 19, 20, 21, 39, 40, 41, 49, 50, 51, 59, 69, 70, 71, 100]
    assert [factor(s) for s in steps] == pytest.approx([float(theirs(s)) for s in steps], rel=1e-5, abs=1e-6)


class TestEnds:
    """To the bit: what is exact on paper is exact here."""

    @given(lengths, shares)
    def test_falls_begin_at_1_and_end_at_their_end_and_stay(self, steps, end):
        for make in (linear, cosine, square_root, polynomial):
            factor = make(steps, end=end)
            assert factor(0) == 1
            assert factor(steps) == factor(steps + 1) == factor(10**15) == end

    @given(st.integers(2, 10**6), shares, st.integers(0, 10**6))
    def test_the_last_step_still_moves(self, steps, end, seed):
        step = seed % steps
        for make in (linear, cosine, square_root, polynomial):
            assert end <= make(steps, end=end)(step) <= 1
        assert cosine(steps)(steps - 1) > 0
        assert linear(steps)(steps - 1) > 0

    @given(lengths, shares)
    def test_falls_never_rise(self, steps, end):
        places = sorted({steps * i // 50 for i in range(51)})
        for make in (linear, cosine, square_root, polynomial):
            values = [make(steps, end=end)(p) for p in places]
            assert all(a >= b - 1e-15 for a, b in pairwise(values))

    @given(st.integers(1, 1000), shares)
    def test_a_warm_up_begins_at_its_start_and_the_first_full_step_is_number_steps(self, steps, start):
        factor = warm_up(steps, start=start)
        assert factor(0) == start
        assert factor(steps) == factor(steps + 1) == 1
        if start < 0.999:
            assert factor(steps - 1) < 1

    @given(st.integers(1, 50), st.integers(0, 50), st.integers(0, 50))
    def test_a_warm_up_leads_to_what_follows_without_a_jump(self, warm, step, other):
        after = multiply(constant(0.5), cosine(100))
        factor = warm_up(warm, then=after, start=0.0)
        assert factor(warm + step) == after(step)
        assert abs(factor(warm) - factor(warm - 1)) <= 0.5 / warm + 1e-12

    def test_no_warm_up_is_what_follows(self):
        assert [warm_up(0, then=linear(4))(s) for s in range(5)] == [1, 0.75, 0.5, 0.25, 0]

    @given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 60))
    def test_warm_up_stable_decay_has_the_three_lengths_it_was_given(self, warm, decay, stable):
        steps = warm + decay + stable
        factor = warm_up_stable_decay(steps, warm=warm, decay=decay, start=0.0)
        full = [s for s in range(steps + 1) if factor(s) == 1]
        assert full == list(range(warm, warm + stable + 1))
        assert factor(steps) == 0
        assert factor(steps - 1) > 0

    def test_the_fall_of_warm_up_stable_decay_is_of_ones_choice(self):
        factor = warm_up_stable_decay(100, warm=0, decay=40, fall=partial(cosine, end=0.2))
        assert factor(59) == factor(60) == 1
        assert factor(80) == pytest.approx(0.6)
        assert factor(100) == 0.2


class TestRestarts:
    @given(st.integers(1, 50), st.integers(1, 6), st.integers(0, 12), st.floats(0, 0.9))
    def test_every_restart_is_at_the_full_rate_and_the_step_before_is_not(self, first, growth, cycle, end):
        begins = sum(first * growth**i for i in range(cycle))
        factor = warm_restarts(first, growth=growth, end=end)
        assert factor(begins) == 1
        if begins and first > 1:
            assert factor(begins - 1) < 1

    def test_the_fifth_restart_of_growth_3_is_not_missed(self):
        factor = warm_restarts(1, growth=3)
        assert [factor(s) for s in (1, 4, 13, 40, 121, 364)] == [1] * 6

    def test_restarts_may_begin_lower_each_time_but_not_below_the_end(self):
        factor = warm_restarts(4, shrink=0.5, end=0.2)
        assert [factor(s) for s in (0, 4, 8, 12, 400_000)] == [1, 0.5, 0.25, 0.2, 0.2]

    @given(st.integers(1, 40), st.integers(1, 40), shares, st.integers(0, 10**9))
    def test_a_triangle_has_its_feet_and_its_top(self, up, down, low, cycle):
        factor = cyclical(up, down, low=low)
        begins = cycle * (up + down)
        assert factor(begins) == low
        assert factor(begins + up) == 1
        assert low <= factor(begins + 1) <= 1


def every_schedule():
    return {name: factor for name, (factor, *_) in SAME.items()} | {
        "wsd": warm_up_stable_decay(60, warm=5, decay=20),
        "per epoch": per_epoch(cosine(6), 10),
        "root": square_root(50),
    }


@pytest.mark.parametrize("name", every_schedule())
def test_a_run_that_resumes_has_the_rates_of_one_that_did_not_stop(name):
    factor = every_schedule()[name]
    whole = ours(factor, 60)
    optimizer = sgd()
    scheduler = lr_scheduler.LambdaLR(optimizer, factor)
    for _ in range(23):
        optimizer.step()
        scheduler.step()
    saved = optimizer.state_dict(), scheduler.state_dict()
    optimizer = sgd()
    scheduler = lr_scheduler.LambdaLR(optimizer, every_schedule()[name])
    optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    rest = []
    for _ in range(37):
        rest.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rest == whole[23:]


@pytest.mark.parametrize("name", every_schedule())
def test_a_schedule_is_a_function_of_the_step_alone(name):
    factor = every_schedule()[name]
    forward = [factor(s) for s in range(80)]
    assert [factor(s) for s in reversed(range(80))] == forward[::-1]
    assert all(0 <= f <= 1 and math.isfinite(f) for f in [*forward, factor(10**12)])
    with pytest.raises(ValueError, match="steps count from 0"):
        factor(-1)


def test_groups_keep_their_own_rates():
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in (0.1, 0.001)]
    optimizer = torch.optim.SGD(groups)
    scheduler = lr_scheduler.LambdaLR(optimizer, cosine(2))
    optimizer.step()
    scheduler.step()
    assert scheduler.get_last_lr() == pytest.approx([0.05, 0.0005])


@given(st.integers(1, 100), st.integers(0, 10**4))
def test_per_epoch_changes_at_the_first_step_of_an_epoch_only(every, epoch):
    factor = per_epoch(lambda e: float(e), every)
    assert factor(epoch * every) == epoch
    assert factor(epoch * every + every - 1) == epoch


def fed(plateau, scores, epochs_only=False):
    found = []
    for score in scores:
        plateau.score(score)
        found.append(plateau.factor)
    return found


scores = st.lists(st.integers(1, 40).map(lambda i: i / 8), min_size=1, max_size=60)


class TestPlateau:
    @given(scores, st.integers(0, 4), st.integers(0, 3), st.sampled_from(["min", "max"]), st.booleans())
    def test_is_that_of_torch_on_scores_above_zero(self, values, patience, cooldown, mode, relative):
        optimizer = sgd(1.0)
        theirs = lr_scheduler.ReduceLROnPlateau(
            optimizer,
            mode,
            factor=0.5,
            patience=patience,
            cooldown=cooldown,
            threshold=1 / 64,
            threshold_mode="rel" if relative else "abs",
            min_lr=0.01,
            eps=0,
        )
        change = {"min_change" if relative else "min_change_abs": 1 / 64}
        plateau = Plateau(0.5, patience, mode=mode, cooldown=cooldown, low=0.01, **change)
        for value in values:
            theirs.step(value)
            plateau.score(value)
            assert plateau.factor == pytest.approx(optimizer.param_groups[0]["lr"])

    @given(scores, st.integers(0, 4), st.floats(0, 0.5))
    def test_the_two_modes_are_mirror_images(self, values, patience, change):
        down, up = (Plateau(0.5, patience, mode=m, min_change=change) for m in ("min", "max"))
        assert fed(down, values) == fed(up, [-v for v in values])

    def test_a_score_below_zero_that_gets_worse_is_no_improvement(self):
        worse = [-1.0, -0.995, -0.99, -0.985, -0.98]
        assert fed(Plateau(0.5, 2, min_change=1e-2), worse)[-1] == 0.5
        optimizer = sgd(1.0)
        theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=1e-2)
        for value in worse:
            theirs.step(value)
        assert optimizer.param_groups[0]["lr"] == 1.0  # the fault that ours has not

    @pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("mode", ["min", "max"])
    def test_a_score_that_is_no_number_is_no_improvement_and_is_counted(self, wrong, mode):
        plateau = Plateau(0.5, 1, mode=mode)
        assert fed(plateau, [wrong, 1.0, wrong, wrong]) == [1, 1, 1, 0.5]
        assert plateau.best == 1.0
        assert plateau.not_finite == 3

    @given(st.lists(st.sampled_from([1.0, 0.9, 0.5, math.nan]), min_size=2, max_size=40), st.integers(0, 40))
    def test_it_resumes_exactly(self, values, cut):
        whole = fed(Plateau(0.5, 1, cooldown=2), values)
        first = Plateau(0.5, 1, cooldown=2)
        begun = fed(first, values[:cut])
        second = Plateau(0.5, 1, cooldown=2)
        second.load_state_dict(first.state_dict())
        assert begun + fed(second, values[cut:]) == whole

    def test_it_composes_and_the_next_step_has_the_new_rate(self):
        plateau = Plateau(0.5, 0)
        optimizer = sgd(1.0)
        scheduler = lr_scheduler.LambdaLR(
            optimizer, warm_up(2, then=multiply(linear(10), plateau), start=0.5)
        )
        found = []
        for _ in range(5):
            plateau.score(1.0)
            optimizer.step()
            scheduler.step()
            found.append(scheduler.get_last_lr()[0])
        assert found == pytest.approx([0.75, 0.5, 0.9 / 4, 0.8 / 8, 0.7 / 16])

    def test_another_objects_state_is_refused(self):
        with pytest.raises(ValueError, match="it needs"):
            Plateau().load_state_dict({"factor": 1.0})
        with pytest.raises(ValueError, match="only `best`"):
            Plateau().load_state_dict(Plateau().state_dict() | {"bad": None})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: cosine(0), ValueError, r"cosine\(\) got steps=0; it needs at least 1. .*len\(loader\)"),
        (lambda: cosine(1e4), TypeError, r"steps=10000.0; it counts steps: a whole number"),
        (lambda: cosine(True), TypeError, "steps=True"),
        (lambda: cosine(10, end=1.5), ValueError, "end=1.5; it takes a factor at least 0 and at most 1"),
        (lambda: cosine(10, end=math.nan), ValueError, "end=nan"),
        (lambda: linear(10, end=-0.1), ValueError, "end=-0.1"),
        (lambda: linear(10, start=math.inf), ValueError, "start=inf"),
        (lambda: constant(-1), ValueError, "factor=-1"),
        (lambda: staircase(0), ValueError, "every=0"),
        (lambda: staircase(3, 0), ValueError, "factor=0; it takes a factor above 0 and at most 1"),
        (lambda: milestones([3, 3]), ValueError, r"at=\[3, 3\]; the steps must rise"),
        (lambda: milestones([0]), ValueError, "at=0"),
        (lambda: exponential(1.1), ValueError, "per_step=1.1"),
        (lambda: polynomial(5, 0), ValueError, "power=0"),
        (lambda: warm_restarts(5, growth=0), ValueError, "growth=0"),
        (lambda: warm_restarts(5, growth=1.5), TypeError, "growth=1.5"),
        (lambda: cyclical(3, 0), ValueError, "down=0"),
        (lambda: one_cycle(1), ValueError, "steps=1; it needs at least 2"),
        (lambda: one_cycle(9, rise=1), ValueError, "rise=1"),
        (lambda: warm_up(-1), ValueError, "steps=-1; it needs at least 0"),
        (lambda: warm_up_stable_decay(10, warm=6, decay=6), ValueError, "warm=6 and decay=6 for steps=10"),
        (lambda: join([constant(), constant()], []), ValueError, r"2 schedules and at=\[\]"),
        (lambda: join([constant()] * 3, [5, 5]), ValueError, "rising"),
        (lambda: multiply(), ValueError, "got no schedules"),
        (lambda: per_epoch(constant(), 0), ValueError, "steps_per_epoch=0"),
        (lambda: Plateau(1.0), ValueError, "factor=1"),
        (lambda: Plateau(patience=-1), ValueError, "patience=-1"),
        (lambda: Plateau(mode="up"), ValueError, "mode='up'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_page_lists_every_schedule():
    assert all(callable(getattr(schedule, name)) for name in schedule.__all__ if name != "Schedule")
