"""The trainings that confirm a range test: what they train on, which rate they choose, and what they cost."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trainwright.lr_range import _confirm, judge, range_test
from trainwright.lr_range._undisturbed import kept_out, without_kept

RATES = np.geomspace(1e-6, 10, 100)
SWEPT = judge(RATES, 1 / (1 + 1000 * RATES) + RATES**2)
CURVES = st.lists(st.one_of(st.just(math.inf), st.floats(0.01, 3)), min_size=30, max_size=30)


def loss(net, batch):
    return nn.functional.mse_loss(net(batch[0]), batch[1])


def numbered(n=320, dropout=0.0):
    """Rows that carry their number as the last column."""
    torch.manual_seed(0)
    x = torch.cat([torch.randn(n, 4), torch.arange(n)[:, None] / n], 1)
    net = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 1))
    return net, TensorDataset(x, x[:, :4].sum(1, keepdim=True))


def narrow(seed=0):
    """Linear regression whose inputs differ a hundredfold in size: fast along one direction, slow along the rest."""
    torch.manual_seed(seed)
    x = torch.randn(1024, 10) * torch.logspace(0, -1, 10)
    return nn.Linear(10, 1), DataLoader(TensorDataset(x, x @ (3 / x.std(0))[:, None] / 10), 32, shuffle=True)


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.1)


@pytest.mark.parametrize("held", [True, False])
def test_batches_that_judge_are_never_trained_on(held):
    net, data = numbered()
    generator = torch.Generator().manual_seed(1) if held else None
    loader = DataLoader(data, 16, shuffle=True, generator=generator)
    trained, judged = [], []

    def spy(model, batch):
        (trained if torch.is_grad_enabled() else judged).append(
            tuple((batch[0][:, 4] * 320).round().int().tolist())
        )
        return loss(model, batch)

    found = range_test(net, spy, loader, sgd(net), confirm=40)
    swept = len(found.losses)
    own, kept = ({i for b in batches for i in b} for batches in (trained[swept:], judged))
    assert len(kept) == 4 * 16
    assert not own & kept
    assert own | kept == set(range(320))  # and in 40 steps of 16 nothing else is left out
    first = trained[swept : swept + 40]
    assert trained[swept + 40 : swept + 80] == first  # each rate sees the same, in the same order
    assert first[:16] == first[16:32]


def test_data_come_in_the_same_order_with_each_pass_but_dropout_goes_on():
    _, data = numbered(80)
    loader = DataLoader(data, 8, shuffle=True)
    running = without_kept(loader)
    seen = [(next(running)[0][:, 4].tolist(), torch.rand(1).item()) for _ in range(16)]
    assert [order for order, _ in seen[:8]] == [order for order, _ in seen[8:]]
    assert len({number for _, number in seen}) == 16


def test_every_fifth_of_fifty_batches_is_kept_out():
    assert kept_out(range(1000)) == list(range(4, 50, 5))
    assert kept_out(range(4)) == []
    running = without_kept(range(60))
    assert [next(running) for _ in range(50)] == [i for i in range(60) if i >= 50 or i % 5 != 4]


def test_where_a_pass_has_few_batches_the_last_losses_of_training_judge():
    net, data = numbered()
    found = range_test(net, loss, [data.tensors], sgd(net), confirm=40)
    assert found.suggestion in found.trials
    assert all(end > 0 for end in found.trials.values())


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_learner_gets_a_higher_rate_than_the_sweep_shows_and_ends_lower_with_it(seed):
    net, loader = narrow(seed)
    alone = range_test(net, loss, loader, sgd(net), confirm=0)
    found = range_test(net, loss, loader, sgd(net))
    assert alone.trials == {}
    assert found.losses.tolist() == alone.losses.tolist()
    assert found.suggestion > 2 * alone.suggestion
    assert found.trials[found.suggestion] < 0.8 * found.trials[alone.suggestion]
    assert f"The sweep alone suggests {alone.suggestion:.2g}" in found.reason


def test_no_suggestion_where_all_trainings_blow_up():
    class Late(nn.Linear):
        """Becomes NaN at its hundredth step; the sweep has eighty."""

        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x) * (math.nan if self.calls == 100 else 1)

    torch.manual_seed(0)
    net, x = Late(4, 1), torch.randn(320, 4)
    data = [(x[i : i + 32], x[i : i + 32].sum(1, keepdim=True)) for i in range(0, 320, 32)]
    found = range_test(net, loss, data, sgd(net), steps=80)
    assert found.suggestion is None
    assert "lowered the loss without blowing up" in found.reason
    assert set(found.trials.values()) == {math.inf}
    assert judge(found.rates, found.losses).suggestion is not None


def test_a_sweep_without_suggestion_is_not_confirmed():
    net, data = numbered()
    found = range_test(net, lambda n, b: 0 * loss(n, b) + 1, DataLoader(data, 16), sgd(net))
    assert found.suggestion is None
    assert found.trials == {}


class TestTheLadder:
    """With trainings of which only the loss at the end is made up."""

    def climb(self, ends):
        """Ends by rung, from -15 on; five batches each."""
        asked = []

        def run(model, optimizer, batches, loss, rates):
            rung = round(2 * math.log10(next(rates) / SWEPT.suggestion))
            asked.append(rung)
            model.end = ends[rung + 15]
            return iter([1.0, math.nan] if math.isinf(model.end) else [1.0] * 20)

        class Net(nn.Module):
            end = 2.0

        def judged(model, kept, loss):
            return np.full(5, model.end)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_confirm, "run", run)
            patch.setattr(_confirm, "_judged", judged)
            patch.setattr(_confirm, "kept_out", lambda batches: [None] * 5)
            net = Net()
            found = _confirm.confirmed(SWEPT, net, None, [None] * 30, loss, 20)
        return found, asked

    @given(CURVES)
    def test_suggests_a_rate_that_did_not_blow_up_and_is_lowest_but_for_two_percent(self, ends):
        found, asked = self.climb(ends)
        assert asked[0] == 0
        assert len(asked) == len(set(asked)) == len(found.trials) <= _confirm.MOST
        assert list(found.trials) == sorted(found.trials)
        finite = {r: e for r, e in found.trials.items() if math.isfinite(e)}
        if found.suggestion is None:
            assert not finite
            return
        lowest = min(finite.values())
        limit = lowest + _confirm.EQUAL * (2 - lowest) + 1e-12
        assert found.suggestion == min(r for r, e in finite.items() if e <= limit)
        assert found.trials[found.suggestion] < 2  # lower than at the start
        assert max(found.trials) <= SWEPT.rates[-1]

    @given(st.integers(-3, 3), st.floats(0.1, 0.5))
    def test_finds_the_lowest_of_a_valley(self, bottom, steep):
        ends = [0.1 + steep * abs(rung - bottom) for rung in range(-15, 15)]
        found, _ = self.climb(ends)
        assert math.log10(found.suggestion / SWEPT.suggestion) == pytest.approx(bottom / 2)

    def test_goes_no_higher_after_a_rate_that_blew_up(self):
        found, asked = self.climb([1.0] * 16 + [math.inf] + [0.1] * 13)
        assert max(asked) == 1
        assert found.suggestion <= SWEPT.suggestion

    def test_steps_over_one_bad_rate(self):
        found, _ = self.climb([1.9] * 15 + [1.0, 1.2, 0.5] + [1.9] * 12)
        assert math.log10(found.suggestion / SWEPT.suggestion) == pytest.approx(1)

    def test_of_two_equal_within_noise_the_lower(self):
        noise = np.array([0.3, -0.2, 0.1, -0.3, 0.15])
        assert _confirm._as_good(1 + noise, np.ones(5), begin=1.0)
        assert not _confirm._as_good(1.5 + noise, np.ones(5), begin=1.0)
        assert _confirm._as_good(np.array([1.01]), np.array([1.0]), begin=2.0)
        assert not _confirm._as_good(np.array([1.05]), np.array([1.0]), begin=2.0)
        assert not _confirm._as_good(np.full(5, np.inf), np.ones(5), begin=2.0)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_it_costs_no_more_steps_than_said(name):
    net, data = numbered(dropout=0.1)
    count = 0

    def counted(model, batch):
        nonlocal count
        count += torch.is_grad_enabled()
        return loss(model, batch)

    optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.01)
    found = range_test(net, counted, DataLoader(data, 16, shuffle=True), optimizer, steps=100, confirm=30)
    assert count <= len(found.losses) + 30 * len(found.trials) <= 100 + 30 * 8
