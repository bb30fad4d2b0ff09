"""The controller, with time that only moves when the test says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.observe.budget import STARTUP_S, UNSEEN_S, Budget


def run(budget, steps, *, step_s, fixed_s, cost_s, hidden_s=0.0):
    """Let a training go on; returns all of our time in the steady state, seen or not, and the steps read."""
    true, reads = 0.0, []
    for step in range(steps):
        startup = budget.in_startup(step)
        read = budget.allows(step)
        own = cost_s if read else fixed_s
        unseen = hidden_s if read else 0.0
        budget.step_took(step_s + own + unseen, own, read=read, startup=startup and read)
        if read:
            reads.append(step)
        if not (startup and read):
            true += own + unseen
    return true, reads


@given(
    step_ms=st.floats(0.5, 200),
    fixed_us=st.floats(1, 20),
    cost_ms=st.floats(0.05, 40),
    share=st.sampled_from([0.005, 0.02, 0.1]),
)
def test_what_is_spent_stays_within_the_budget(step_ms, fixed_us, cost_ms, share):
    budget = Budget(share)
    step_s, fixed_s, cost_s = step_ms / 1e3, fixed_us / 1e6, cost_ms / 1e3
    steps = 1500
    spent, _ = run(budget, steps, step_s=step_s, fixed_s=fixed_s, cost_s=cost_s)
    # Noting the loss of each step is never left out, however short the steps, and readings keep a quarter.
    noting = (fixed_s + UNSEEN_S) * steps
    assert spent <= max(share * steps * step_s, noting + share * steps * step_s / 4) + cost_s


@pytest.mark.parametrize("cost_s", [1e-3, 2e-3, 3e-3, 5e-3])
def test_the_budget_is_used(cost_s):
    budget = Budget(0.02)
    spent, reads = run(budget, 4000, step_s=5e-3, fixed_s=10e-6, cost_s=cost_s)
    assert 0.25 * 0.02 <= spent / (4000 * 5e-3) <= 0.02
    assert len(reads) > 20


def test_very_short_steps_are_read_now_and_then():
    _, reads = run(Budget(0.02), 20_000, step_s=2e-4, fixed_s=20e-6, cost_s=1e-3)
    assert len(reads) > 20
    assert reads[-1] > 18_000


def test_ranks_of_about_the_same_cost_read_the_same_steps():
    _, one = run(Budget(0.02), 5000, step_s=5e-3, fixed_s=20e-6, cost_s=1.7e-3)
    _, other = run(Budget(0.02), 5000, step_s=5.2e-3, fixed_s=21e-6, cost_s=1.9e-3)
    assert len(set(one) & set(other)) > 0.9 * max(len(one), len(other))


def test_time_that_the_handlers_do_not_see_is_charged_too():
    budget = Budget(0.02)
    spent, _ = run(budget, 4000, step_s=5e-3, fixed_s=10e-6, cost_s=1e-3, hidden_s=4e-3)
    assert spent <= 0.0205 * 4000 * 5e-3


def test_the_first_steps_are_read_while_the_allowance_lasts():
    budget = Budget(0.02)
    _, reads = run(budget, 100, step_s=1e-3, fixed_s=0, cost_s=1e-3)
    assert set(reads) >= {0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96}
    costly = Budget(0.02)
    run(costly, 100, step_s=1e-3, fixed_s=0, cost_s=0.2)
    assert costly.startup_s < STARTUP_S + 0.2 + 100 * UNSEEN_S


def test_a_budget_of_nothing_reads_nothing():
    _, reads = run(Budget(0.0), 500, step_s=1.0, fixed_s=1e-6, cost_s=1e-6)
    assert reads == []


def test_layers_are_read_in_parts_where_a_whole_reading_would_be_rare():
    budget = Budget(0.02)
    assert budget.thinning() == 1
    run(budget, 3000, step_s=1e-3, fixed_s=1e-6, cost_s=0.03)  # once in some 2,700 steps
    parts = budget.thinning()
    assert 12 <= parts <= 16
    run(budget, 3000, step_s=1e-3, fixed_s=1e-6, cost_s=0.03 / parts)  # a part costs a part
    assert budget.thinning() == pytest.approx(parts, abs=3)
