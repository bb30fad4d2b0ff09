"""The range test: what it leaves alone, what it suggests, and when it suggests nothing."""

import copy
import itertools
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from trainwright.lr_range import RangeTest, judge, range_test

RATES = np.geomspace(1e-6, 10, 100)


def loss(net, batch):
    return nn.functional.cross_entropy(net(batch[0]), batch[1])


def task(seed=0, norm=False):
    torch.manual_seed(seed)
    x = torch.randn(256, 10)
    y = (x @ torch.randn(10, 3)).argmax(1)
    middle = [nn.BatchNorm1d(32)] if norm else []
    return nn.Sequential(
        nn.Linear(10, 32), *middle, nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3)
    ), TensorDataset(x, y)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3),
    "adam, tensor rate": lambda p: torch.optim.Adam(
        p, lr=torch.tensor(1e-3), capturable=False, foreach=False
    ),
}


def bits(value):
    """Everything in nested state as comparable bytes."""
    if isinstance(value, torch.Tensor):
        return (str(value.dtype), tuple(value.shape), value.detach().numpy().tobytes())
    if isinstance(value, dict):
        return {str(k): bits(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [bits(v) for v in value]
    return value


class Jittered(Dataset):
    """Adds noise from a generator of its own."""

    def __init__(self, data):
        self.data, self.rng, self.python = data, np.random.default_rng(0), random.Random(0)

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        x, y = self.data[i]
        return x + float(self.rng.normal()) * 1e-3 + self.python.random() * 1e-3, y


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("own_generator", [True, False])
def test_nothing_of_the_users_changes_by_a_bit(name, own_generator):
    net, data = task(norm=True)
    optimizer = OPTIMIZERS[name](net.parameters())
    held = torch.Generator().manual_seed(3) if own_generator else None
    jittered = Jittered(data)
    loader = DataLoader(jittered, 32, shuffle=True, generator=held)
    for batch in loader:  # some state in the optimiser, and gradients
        optimizer.zero_grad()
        loss(net, batch).backward()
        optimizer.step()

    def state():
        return (
            bits(net.state_dict()),
            bits(optimizer.state_dict()),
            [bits(p.grad) for p in net.parameters()],
            [m.training for m in net.modules()],
            bits(torch.get_rng_state()),
            random.getstate(),
            bits([torch.from_numpy(np.random.get_state()[1].astype(np.int64)), np.random.get_state()[2]]),
            bits(held.get_state()) if held else None,
            jittered.rng.bit_generator.state,
            jittered.python.getstate(),
        )

    before = state()
    found = range_test(net, loss, loader, optimizer, confirm=25)
    assert state() == before
    assert len(found.trials) > 1
    assert found.suggestion is not None
    twin_state = torch.get_rng_state(), held.get_state() if held else None
    order = [batch[1].tolist() for batch in loader]
    torch.set_rng_state(twin_state[0])
    if held:
        held.set_state(twin_state[1])
    assert [batch[1].tolist() for batch in loader] == order


def test_the_same_sweep_comes_out_twice_and_training_goes_on_as_if_there_had_been_none():
    def trained(test):
        net, data = task()
        adam = torch.optim.Adam(net.parameters())
        loader = DataLoader(data, 32, shuffle=True)
        found = [range_test(net, loss, loader, adam, confirm=25) for _ in range(2)] if test else []
        for batch in loader:
            adam.zero_grad()
            loss(net, batch).backward()
            adam.step()
        return bits(net.state_dict()), found

    with_test, (one, two) = trained(True)
    without, _ = trained(False)
    assert with_test == without
    assert one.losses.tolist() == two.losses.tolist()
    assert one.suggestion == two.suggestion
    assert one.trials == two.trials


IN_PROGRESS = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from trainwright.lr_range import range_test

net, data = nn.Linear(4, 1), TensorDataset(torch.randn(256, 4), torch.randn(256, 1))
loader = DataLoader(data, 64, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
running = iter(loader)
first = next(running)[1].tolist()
sgd = torch.optim.SGD(net.parameters(), lr=0.1)
range_test(net, lambda n, b: nn.functional.mse_loss(n(b[0]), b[1]), loader, sgd, steps=30, low=1e-4, confirm=20)
rest = [batch[1].tolist() for batch in running]
assert [first, *rest] == [data.tensors[1][i : i + 64].tolist() for i in range(0, 256, 64)]
"""


def test_an_iteration_in_progress_over_persistent_workers_goes_on():
    # In a process of its own: other tests start threads in this one, which a fork would leave holding their locks.
    done = subprocess.run([sys.executable, "-c", IN_PROGRESS], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


def test_a_scheduler_on_the_optimiser_is_not_stepped():
    net, data = task()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(sgd, lambda step: 0.5**step)
    range_test(net, loss, DataLoader(data, 32), sgd, confirm=20)
    assert scheduler.last_epoch == 0
    assert sgd.param_groups[0]["lr"] == 0.1


def test_groups_keep_the_ratios_of_their_rates_and_frozen_ones_stay():
    net, data = task()
    groups = [{"params": net[0].parameters(), "lr": 0.0}, {"params": net[3].parameters(), "lr": 0.01}]
    seen = []

    class Spy(torch.optim.SGD):
        def step(self, closure=None):
            seen.append([g["lr"] for g in self.param_groups])
            return super().step(closure)

    range_test(net, loss, DataLoader(data, 32), Spy(groups, lr=0.1), steps=30, confirm=0)
    assert all(first == 0 for first, _ in seen)
    assert [second for _, second in seen] == pytest.approx(np.geomspace(1e-6, 10, 30)[: len(seen)])


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("seed", range(3))
def test_a_training_at_the_suggested_rate_learns(name, seed):
    net, data = task(seed)
    loader = DataLoader(data, 32, shuffle=True)
    optimizer = OPTIMIZERS[name](net.parameters())
    found = range_test(net, loss, loader, optimizer)
    for group in optimizer.param_groups:
        group["lr"] = found.suggestion
    whole = data.tensors
    before = loss(net.eval(), whole).item()
    net.train()
    for batch in itertools.chain(*(loader for _ in range(8))):
        optimizer.zero_grad()
        loss(net, batch).backward()
        optimizer.step()
    assert loss(net.eval(), whole).item() < 0.45 * before


class TestNothingToSuggest:
    def sweep(self, model, loss=loss, **more):
        _, data = task()
        return range_test(
            model, loss, DataLoader(data, 32), torch.optim.SGD(model.parameters(), lr=0.1), confirm=0, **more
        )

    def test_where_the_loss_is_no_number_at_once(self):
        net, _ = task()
        found = self.sweep(net, lambda n, b: loss(n, b) * float("nan"))
        assert found.suggestion is None
        assert "was nan at step 0, before the rate could matter" in found.reason

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_where_one_batch_spoils_it_while_it_falls(self, bad):
        net, _ = task()
        count = itertools.count()
        found = self.sweep(net, lambda n, b: loss(n, b) * (bad if next(count) == 140 else 1))
        assert found.suggestion is None
        assert "without having risen before" in found.reason

    def test_where_nothing_is_to_be_learnt(self):
        none = 0
        for seed in range(10):
            torch.manual_seed(seed)
            net, batches = (
                nn.Linear(4, 3),
                [(torch.zeros(32, 4), torch.randint(0, 3, (32,))) for _ in range(100)],
            )
            with torch.no_grad():
                net.weight.zero_()
                net.bias.zero_()
            found = range_test(net, loss, batches, torch.optim.SGD(net.parameters(), lr=0.1), confirm=0)
            none += found.suggestion is None
            if found.suggestion is None:
                assert "no rate trains" in found.reason
        assert none >= 9

    def test_where_it_grows_from_the_beginning(self):
        found = judge(RATES, np.exp((RATES * 1e5).clip(max=50)))
        assert found.suggestion is None

    def test_where_the_sweep_begins_too_high_or_ends_too_low(self):
        falling = 1 / (1 + 1000 * RATES)
        high = judge(RATES[55:], falling[55:] + RATES[55:] ** 2)
        assert high.suggestion is None
        assert "lower than" in high.reason
        low = judge(RATES[:45], falling[:45])
        assert low.suggestion is None
        assert "higher" in low.reason

    @given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=100))
    def test_any_losses_give_a_rate_within_the_sweep_or_a_reason(self, losses):
        found = judge(RATES[: len(losses)], losses)
        assert found.reason
        assert found.suggestion is None or RATES[0] / 10 <= found.suggestion <= RATES[-1]
        assert "RangeTest: " in repr(found)

    @given(st.integers(0, 98), st.integers(0, 10**6))
    def test_no_rate_comes_from_a_sweep_that_broke_off_before_it_rose(self, end, seed):
        noise = np.random.default_rng(seed).normal(size=100) * 0.01
        losses = 1 / (1 + 1000 * RATES) + noise
        losses[end:] = np.nan
        assert judge(RATES, losses).suggestion is None


class TestSuggestion:
    @given(st.floats(1e-4, 0.1), st.floats(3, 100), st.floats(0, 0.03), st.integers(0, 999), st.floats(-5, 5))
    def test_lies_between_the_middle_of_the_fall_and_the_blow_up_less_a_decade(
        self, middle, ratio, noise, seed, shift
    ):
        end = middle * ratio
        losses = 1 / (1 + RATES / middle) + (RATES / end) ** 2
        losses += np.random.default_rng(seed).normal(size=100) * noise + shift
        found = judge(RATES, np.where(losses > 1e4, np.nan, losses))
        assert middle / 12 < found.suggestion < end

    @given(st.floats(1e-3, 1e3), st.floats(-100, 100))
    def test_does_not_depend_on_the_scale_and_level_of_the_loss(self, scale, level):
        losses = 1 / (1 + 1000 * RATES) + RATES**2 + 0.01 * np.sin(np.arange(100) * 17.0)
        expected = judge(RATES, losses).suggestion
        assert judge(RATES, scale * losses + level).suggestion == pytest.approx(expected)

    def test_one_wild_batch_does_not_move_it(self):
        losses = 1 / (1 + 1000 * RATES) + RATES**2
        expected = judge(RATES, losses).suggestion
        wild = losses.copy()
        wild[30] = 1e6
        assert judge(RATES, wild).suggestion == pytest.approx(expected, rel=0.2)

    def test_it_prints_a_curve(self):
        text = repr(judge(RATES, 1 / (1 + 1000 * RATES) + RATES**2))
        lines = text.splitlines()
        assert lines[0].startswith("RangeTest: suggestion 0.0029. Half of the loss's fall lies behind")
        assert set(lines[1].strip()) <= set("▁▂▃▄▅▆▇█")
        assert "1e-06" in lines[2]
        assert all(len(line) < 130 for line in lines[1:])


def test_what_makes_no_sense_is_refused_in_a_sentence():
    net, data = task()
    sgd, loader = torch.optim.SGD(net.parameters(), lr=0.1), DataLoader(data, 32)
    with pytest.raises(TypeError, match="would use up"):
        range_test(net, loss, iter(loader), sgd)
    with pytest.raises(TypeError, match="L-BFGS"):
        range_test(net, loss, loader, torch.optim.LBFGS(net.parameters()))
    with pytest.raises(ValueError, match=r"low=1.0, high=0.1"):
        range_test(net, loss, loader, sgd, low=1.0, high=0.1)
    with pytest.raises(ValueError, match="steps=5"):
        range_test(net, loss, loader, sgd, steps=5)
    for confirm in (-1, 5):
        with pytest.raises(ValueError, match=f"confirm={confirm}"):
            range_test(net, loss, loader, sgd, confirm=confirm)
    with pytest.raises(ValueError, match="not the model's"):
        range_test(nn.Linear(2, 2), loss, loader, sgd)
    with pytest.raises(ValueError, match="no batches"):
        range_test(net, loss, [], sgd)
    with pytest.raises(ValueError, match="scalar"):
        range_test(net, lambda n, b: n(b[0]), loader, sgd)
    with pytest.raises(ValueError, match="rates that rise"):
        judge([1.0, 0.5], [1.0, 1.0])


def test_a_loss_of_another_model_is_said_and_leaves_no_gradients_there():
    net, data = task()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="does not depend on the model handed to it"):
        range_test(net, lambda _, batch: loss(net, batch), DataLoader(data, 32), sgd)
    assert all(p.grad is None for p in net.parameters())


def test_a_model_that_cannot_be_copied_is_said():
    net, data = task()
    net.held = (torch.ones(2, requires_grad=True) * 2,)
    with pytest.raises(TypeError, match="cannot copy"):
        range_test(net, loss, DataLoader(data, 32), torch.optim.SGD(net.parameters(), lr=0.1))


def test_a_result_is_frozen():
    found = judge(RATES, 1 / (1 + 1000 * RATES) + RATES**2)
    with pytest.raises(AttributeError):
        found.suggestion = 1.0
    assert isinstance(copy.copy(found), RangeTest)


def test_arguments_in_another_order_are_told_apart():
    net, data = task()
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="takes the model, the loss, the batches and the optimiser"):
        range_test(net, sgd, DataLoader(data, 32), loss)
