"""Averages against torch's, the obvious slow way, and closed forms; swapping in and out; going on from a file."""

import copy
import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainwright import groups, norm
from trainwright.average import Average, ema, equal


def stepping(net, steps, seed=0):
    """Some steps of training, one yield after each."""
    generator = torch.Generator().manual_seed(seed)
    sgd = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.05)
    for _ in range(steps):
        sgd.zero_grad()
        x = torch.randn(16, 3, generator=generator).to(next(net.parameters()).dtype)
        net(x).square().mean().backward()
        sgd.step()
        yield


def small(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).to(dtype)


class TestWeights:
    @given(st.floats(0, 0.9999), st.integers(1, 60))
    def test_each_state_counts_decay_times_as_much_as_the_next(self, decay, updates):
        weight = ema(decay)
        shares = []  # of each state in the average
        for k in range(1, updates + 1):
            shares = [s * (1 - weight(k)) for s in shares] + [weight(k)]
        expected = [decay ** (updates - 1 - k) for k in range(updates)]
        assert shares == pytest.approx([e / sum(expected) for e in expected], rel=1e-6, abs=1e-12)

    @given(st.integers(1, 200))
    def test_equal_shares_are_equal(self, updates):
        shares = []
        for k in range(1, updates + 1):
            shares = [s * (1 - equal(k)) for s in shares] + [equal(k)]
        assert shares == pytest.approx([1 / updates] * updates)

    def test_a_long_average_becomes_the_usual_one(self):
        assert ema(0.9)(500) == pytest.approx(0.1)
        assert ema(0.999)(10**6) == pytest.approx(0.001)

    @pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
    def test_a_decay_out_of_range_is_refused(self, decay):
        with pytest.raises(ValueError, match=f"decay={decay}"):
            ema(decay)
        with pytest.raises(ValueError, match="k=0"):
            equal(0)


class TestAverage:
    @given(st.integers(1, 12), st.floats(0, 0.99), st.sampled_from([torch.float32, torch.float64]))
    def test_it_is_the_obvious_slow_way(self, steps, decay, dtype):
        net = small(dtype)
        average, states = Average(net, ema(decay)), []
        for _ in stepping(net, steps):
            average.update()
            states.append([p.detach().clone().double() for p in net.parameters()])
        shares = torch.tensor([decay ** (steps - 1 - k) for k in range(steps)]).double()
        for mean, *values in zip(average.averages.values(), *states, strict=True):
            slow = sum(s * v for s, v in zip(shares / shares.sum(), values, strict=True))
            assert torch.allclose(mean.double(), slow, rtol=1e-5, atol=1e-7)

    def test_equal_averages_are_those_of_torch(self):
        net = small()
        ours, torchs = Average(net, equal), AveragedModel(net)
        for _ in stepping(net, 10):
            ours.update()
            torchs.update_parameters(net)
        assert all(
            torch.allclose(a, b)
            for a, b in zip(ours.averages.values(), torchs.module.parameters(), strict=True)
        )

    def test_a_plain_exponential_average_is_that_of_torch(self):
        net = small()
        plain = Average(net, lambda k: 1.0 if k == 1 else 0.1)
        torchs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9))
        for _ in stepping(net, 10):
            plain.update()
            torchs.update_parameters(net)
        assert all(
            torch.allclose(a, b)
            for a, b in zip(plain.averages.values(), torchs.module.parameters(), strict=True)
        )

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_is_averaged_in_float32_where_torchs_average_stands_still(self, dtype):
        net = nn.Linear(1, 1, bias=False, dtype=dtype)
        nn.init.constant_(net.weight, 1.0)
        ours = Average(net, lambda k: 1.0 if k == 1 else 1e-4)
        torchs = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.9999))
        for k in range(2001):
            nn.init.constant_(net.weight, 1.0 if k == 0 else 2.0)
            ours.update()
            torchs.update_parameters(net)
        assert ours.averages["weight"].item() == pytest.approx(2 - 0.9999**2000, rel=1e-4)
        assert torchs.module.weight.item() == 1
        with ours.swapped():
            assert net.weight.item() == pytest.approx(2 - 0.9999**2000, rel=0.01)
        assert net.weight.item() == 2

    def test_a_warm_start_forgets_the_random_weights(self):
        net = small()
        start = net[0].weight.detach().clone()
        ours, torchs = Average(net, ema(0.999)), AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.999))
        torchs.update_parameters(net)  # before the first step, as is usual
        for _ in stepping(net, 50):
            ours.update()
            torchs.update_parameters(net)
        moved = (net[0].weight - start).norm()
        assert (torchs.module[0].weight - start).norm() < 0.05 * moved
        assert (ours.averages["0.weight"] - start).norm() > 0.3 * moved

    def test_what_begins_to_train_later_enters_as_it_was(self):
        net = small()
        groups.freeze_(net[0])
        average = Average(net, equal)
        for _ in stepping(net, 3):
            average.update()
        assert set(average.averages) == {"2.weight", "2.bias"}
        before = net[0].weight.detach().clone()
        groups.thaw_(net[0])
        average.update()
        for _ in stepping(net, 1):
            average.update()
        assert torch.allclose(average.averages["0.weight"], 0.8 * before + 0.2 * net[0].weight)

    def test_shared_parameters_are_averaged_once(self):
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        net[1].weight = net[0].weight
        average = Average(net, equal)
        for _ in stepping(net, 3):
            average.update()
        assert set(average.averages) == {"0.weight", "0.bias", "1.bias"}
        with average.swapped():
            assert net[1].weight is net[0].weight

    def test_buffers_have_no_average_neither_counters_nor_masks(self):
        net = nn.Sequential(small(), nn.BatchNorm1d(2))
        net.register_buffer("mask", torch.full((3, 3), float("-inf")).triu(1))
        average = Average(net, ema(0.9))
        for _ in stepping(net, 5):
            average.update()
        state = copy.deepcopy(net.state_dict())
        with average.swapped():
            assert net[1].num_batches_tracked == 5
            assert all(torch.equal(b, state[name]) for name, b in net.named_buffers())


class TestSwapped:
    def test_inside_are_the_averages_with_their_own_statistics_and_after_it_everything_is_as_before(self):
        net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).train()
        average = Average(net, equal)
        for _ in stepping(net, 20):
            average.update()
        state, modes = copy.deepcopy(net.state_dict()), [m.training for m in net.modules()]
        data = torch.randn(100, 3, generator=torch.Generator().manual_seed(3))
        built = copy.deepcopy(net)
        with average.swapped(data.split(40)) as inside:
            assert inside is net
            by_hand = norm.reestimate_(average.copy_to_(built), data.split(40)).state_dict()
            assert all(torch.equal(v, by_hand[k]) for k, v in net.state_dict().items())
            assert not torch.equal(net[1].running_mean, state["1.running_mean"])
        assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
        assert [m.training for m in net.modules()] == modes

    def test_weights_come_back_after_an_error_too(self):
        net = nn.Sequential(small(), nn.BatchNorm1d(2))
        average = Average(net, equal)
        for _ in stepping(net, 3):
            average.update()
        state = copy.deepcopy(net.state_dict())
        with pytest.raises(KeyError), average.swapped():
            raise KeyError
        with pytest.raises(ValueError, match="saw no values"), average.swapped([]):
            pass
        assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())

    def test_training_is_bitwise_the_same_as_without_an_average(self):
        one, other = small(), small()
        average = Average(one, ema(0.9))
        for _, _ in zip(stepping(one, 10), stepping(other, 10), strict=True):
            average.update()
            with average.swapped():
                one(torch.ones(2, 3))
        assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))

    def test_gradients_and_the_optimisers_parameters_stay(self):
        net = small()
        average, parameters = Average(net, equal), list(net.parameters())
        for _ in stepping(net, 2):
            average.update()
        grads = [p.grad for p in parameters]
        with average.swapped():
            assert all(p is q for p, q in zip(net.parameters(), parameters, strict=True))
        assert all(p.grad is g for p, g in zip(net.parameters(), grads, strict=True))


class TestState:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_going_on_from_a_file_is_bitwise_going_on(self, dtype):
        net = small(dtype)
        average = Average(net, ema(0.99))
        for _ in stepping(net, 5):
            average.update()
        file = io.BytesIO()
        torch.save({"net": net.state_dict(), "average": average.state_dict()}, file)
        for _ in stepping(net, 5, seed=1):
            average.update()
        file.seek(0)
        saved = torch.load(file)  # weights only: no code in it
        other = small(dtype)
        other.load_state_dict(saved["net"])
        again = Average(other, ema(0.99))
        again.load_state_dict(saved["average"])
        for _ in stepping(other, 5, seed=1):
            again.update()
        assert again.updates == average.updates == 10
        assert all(torch.equal(a, again.averages[k]) for k, a in average.averages.items())

    def test_a_saved_state_does_not_follow_the_live_average(self):
        net = small()
        average = Average(net, equal)
        average.update()
        state = average.state_dict()
        before = copy.deepcopy(state)
        nn.init.ones_(net[0].weight)
        average.update()
        assert state["updates"] == 1
        assert all(torch.equal(v, before["averages"][k]) for k, v in state["averages"].items())

    def test_a_state_of_another_model_is_refused_and_changes_nothing(self):
        net, other = small(), nn.Sequential(nn.Linear(3, 5))
        average = Average(net, equal)
        average.update()
        state = copy.deepcopy(other.state_dict())
        there = Average(other, equal)
        with pytest.raises(ValueError, match=r"`0.weight`.*has shape \(4, 3\); in the model it is \(5, 3\)"):
            there.load_state_dict(average.state_dict())
        with pytest.raises(ValueError, match="shape"):
            average.copy_to_(other)
        with pytest.raises(ValueError, match="needs what state_dict"):
            there.load_state_dict({"updates": "3", "averages": {}})
        assert (there.updates, there.averages) == (0, {})
        assert all(torch.equal(v, state[k]) for k, v in other.state_dict().items())


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="nothing trains"):
        Average(nn.Linear(2, 2).requires_grad_(False), equal)
    with pytest.raises(ValueError, match="no average yet"), Average(small(), equal).swapped():
        pass
    average = Average(small(), lambda k: 1.0 if k == 1 else 2.0)
    average.update()
    with pytest.raises(ValueError, match=r"gave 2\.0 for update 2"):
        average.update()


def test_meta_models_have_averages():
    net = small().to("meta")
    average = Average(net, equal)
    average.update()
    average.update()
    assert average.averages["0.weight"].is_meta


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_model_is_averaged_and_swapped():
    torch._dynamo.reset()
    net = small()
    compiled = torch.compile(net, backend="eager")
    average = Average(compiled, equal)
    x = torch.ones(1, 3)
    for _ in stepping(net, 3):
        average.update()
    live = compiled(x)
    with average.swapped():
        inside, expected = compiled(x), net(x)
    assert torch.equal(inside, expected)
    assert not torch.equal(inside, live)
    assert torch.equal(compiled(x), live)
