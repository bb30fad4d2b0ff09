"""Each signal against the obvious slow way."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainwright import signals
from trainwright.core import Training
from trainwright.signals.activation import WINDOW
from trainwright.signals.sample import ELEMENTS, output_sample, row_sample, weight_sample


@pytest.fixture
def training():
    """One step of a small classifier, by hand."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    out = net(x)
    loss = nn.functional.cross_entropy(out, y)
    loss.backward()
    t = Training(net, loss=loss, parameters=dict(net.named_parameters()))
    t.prediction, t.target = out.detach(), y
    return t


def read(signal, training):
    places, values = signal.read(training)
    return dict(zip(places, [float(v) for v in values], strict=True))


class TestOfParameters:
    def test_gradient_norms_are_norms(self, training):
        expected = {n: p.grad.pow(2).sum().sqrt().item() for n, p in training.parameters.items()}
        assert read(signals.grad_norm, training) == pytest.approx(expected, rel=1e-5)

    def test_parameters_without_a_gradient_are_left_out(self, training):
        training.model[0].weight.grad = None
        assert "0.weight" not in read(signals.grad_norm, training)

    def test_nothing_is_read_where_there_is_no_gradient_at_all(self, training):
        training.model.zero_grad()
        assert signals.grad_norm.read(training) is None

    def test_weight_norms_are_norms_of_what_is_trained(self, training):
        training.model[2].bias.requires_grad_(False)
        expected = {n: p.norm().item() for n, p in training.parameters.items() if n != "2.bias"}
        assert read(signals.weight_norm, training) == pytest.approx(expected, rel=1e-5)

    def test_update_ratio_is_the_step_over_the_weight(self, training):
        training.before = {n: weight_sample(p) for n, p in training.parameters.items()}
        old = {n: p.detach().clone() for n, p in training.parameters.items()}
        torch.optim.SGD(training.model.parameters(), lr=0.1).step()
        expected = {
            n: ((p.detach() - old[n]).norm() / old[n].norm()).item() for n, p in training.parameters.items()
        }
        assert read(signals.update_ratio, training) == pytest.approx(expected, rel=1e-4)

    def test_update_ratio_of_a_bias_that_starts_at_zero_is_finite(self, training):
        nn.init.zeros_(training.model[0].bias)
        training.before = {"0.bias": weight_sample(training.model[0].bias)}
        torch.optim.SGD(training.model.parameters(), lr=0.1).step()
        moved = training.model[0].bias.detach().pow(2).mean().sqrt().item()
        assert read(signals.update_ratio, training)["0.bias"] == pytest.approx(moved / 1e-3, rel=1e-4)

    def test_leftover_gradient_is_relative_to_the_gradient_now(self, training):
        norm = training.model[0].bias.grad.norm().item()
        training.memory["leftover_grad"] = {"0.bias": norm / 2, "of.another.optimiser": 1.0}
        assert read(signals.leftover_grad, training) == {"0.bias": pytest.approx(0.5)}
        assert training.memory["leftover_grad"] == {"of.another.optimiser": 1.0}

    def test_nothing_left_over_is_nothing_even_where_the_gradient_is_not_a_number(self, training):
        training.model[0].bias.grad.fill_(float("nan"))
        training.memory["leftover_grad"] = {"0.bias": 0.0}
        assert read(signals.leftover_grad, training) == {"0.bias": 0.0}


class TestOfActivations:
    def test_mean_and_spread_are_those_of_the_sample(self, training):
        x = 1e4 + torch.randn(32, 5, 3)
        training.outputs = {"a": x}
        assert read(signals.activation_mean, training)["a"] == pytest.approx(x.mean().item(), rel=1e-6)
        # float32 loses the spread beside the mean unless it is shifted first
        assert read(signals.activation_std, training)["a"] == pytest.approx(x.double().std().item(), rel=1e-2)

    def test_gradient_is_a_root_mean_square(self, training):
        g = torch.randn(8, 4, 1)
        training.output_grads = {"a": g}
        expected = g.pow(2).mean().sqrt().item()
        assert read(signals.activation_grad, training)["a"] == pytest.approx(expected, rel=1e-5)

    def test_a_unit_is_dead_when_it_was_silent_for_every_sample_of_five_readings(self, training):
        x = torch.rand(10, 4, 2) + 0.1
        x[:, 0] = 0  # silent
        x[1:, 1] = 0  # sparse: one sample wakes it
        for reading in range(WINDOW + 1):
            training.activations = {"a": ("relu", x)}
            expected = 0.25 if reading >= WINDOW - 1 else 0.0
            assert read(signals.dead_units, training)["a"] == expected

    def test_a_unit_that_wakes_is_counted_anew(self, training):
        silent, awake = torch.zeros(4, 1, 1), torch.ones(4, 1, 1)
        for x in (*[silent] * WINDOW, awake, silent):
            training.activations = {"a": ("relu", x)}
            share = read(signals.dead_units, training)["a"]
        assert share == 0

    def test_activations_that_are_never_exactly_zero_have_no_dead_units(self, training):
        training.activations = {"a": ("tanh", torch.zeros(4, 4, 1))}
        assert signals.dead_units.read(training) is None

    @pytest.mark.parametrize(
        ("function", "slope"), [("sigmoid", lambda y: 4 * y * (1 - y)), ("tanh", lambda y: 1 - y**2)]
    )
    def test_saturated_is_where_the_slope_is_below_a_twentieth_of_the_steepest(
        self, training, function, slope
    ):
        x = torch.linspace(-8, 8, 1001).requires_grad_()
        y = getattr(torch, function)(x)
        y.sum().backward()
        training.activations = {"a": (function, y.detach().reshape(-1, 1, 1))}
        expected = (x.grad < 0.05 * x.grad.max()).float().mean().item()
        assert read(signals.saturated_units, training)["a"] == pytest.approx(expected, abs=0.003)


class TestOfPredictions:
    def test_spread_is_over_samples_not_over_outputs(self, training):
        training.prediction = torch.tensor([[0.0, 10.0], [0.0, 10.0]])
        assert read(signals.prediction_spread, training)[""] == 0
        assert read(signals.prediction_scale, training)[""] == pytest.approx(50**0.5)

    def test_majority_share_is_that_of_the_most_frequent_answer(self, training):
        training.prediction = torch.eye(3)[[0, 0, 0, 1]]
        training.target = torch.tensor([0, 1, 2, 1])
        assert read(signals.majority_share, training)[""] == 0.75

    def test_regression_has_no_majority(self, training):
        training.prediction, training.target = torch.randn(8, 2), torch.randn(8, 2)
        assert signals.majority_share.read(training) is None


class TestSamples:
    @given(
        shape=st.lists(st.integers(1, 70), min_size=1, max_size=4),
        channels_first=st.booleans(),
    )
    def test_an_output_sample_has_three_dimensions_and_few_elements(self, shape, channels_first):
        x = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
        sample = output_sample(x, channels_first=channels_first)
        assert sample.ndim == 3
        assert 0 < sample.numel() <= ELEMENTS
        assert torch.isin(sample, x).all()

    def test_units_are_channels_of_pictures_and_features_of_sequences(self):
        picture, sequence = torch.zeros(2, 5, 4, 4), torch.zeros(2, 7, 5)
        picture[:, 3] = sequence[..., 3] = 1
        for x, first in ((picture, True), (sequence, False)):
            sample = output_sample(x, channels_first=first)
            assert sample[:, 3].min() == 1
            assert sample.sum() == sample[:, 3].numel()

    def test_an_output_sample_is_a_copy(self):
        x = torch.ones(4, 4)
        sample = output_sample(x, channels_first=False)
        x.zero_()  # as a ReLU in place does
        assert sample.min() == 1

    def test_a_large_output_is_sampled_over_the_whole_batch_and_all_units(self):
        x = torch.arange(128.0).reshape(128, 1, 1, 1) + torch.zeros(128, 64, 32, 32)
        sample = output_sample(x, channels_first=True)
        assert sample.numel() <= ELEMENTS
        assert sample.max() - sample.min() > 100

    @given(size=st.integers(1, 20_000))
    def test_a_weight_sample_is_spread_over_the_weight(self, size):
        sample = weight_sample(torch.arange(float(size)))
        assert 1 <= len(sample) <= 4096
        assert sample[0] == 0
        assert size - sample[-1] <= -(-size // 4096)

    def test_rows_are_spread_over_the_matrix(self):
        assert row_sample(torch.arange(1000.0).reshape(1000, 1), 10)[:, 0].tolist() == list(
            range(0, 1000, 100)
        )


def test_every_signal_is_listed_once_and_says_what_it_is():
    names = [s.name for s in signals.ALL]
    assert len(set(names)) == len(names)
    assert all(s.summary.endswith((".", ")")) and s.unit for s in signals.ALL)
    assert set(names) == {n for n in vars(signals) if type(vars(signals)[n]) is type(signals.loss)}
