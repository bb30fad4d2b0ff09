"""Gradient against time lag, and recurrent matrices."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainwright import curvature


class Cell(nn.Module):
    """A hand-written recurrence h = tanh(a h + x), time first, with as plain a Jacobian as can be."""

    def __init__(self, factor):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        h = torch.zeros_like(x[0])
        for step in x:
            h = self.factor * h + step
        return h


class TestLags:
    @pytest.mark.parametrize("factor", [0.5, 1.0, 1.3])
    def test_a_linear_cell_loses_its_factor_at_each_step(self, factor):
        x = torch.randn(12, 3, 2)
        found = curvature.lag_gradient(Cell(factor), lambda m, x: m(x).sum(), x, time_dim=0)
        expected = factor ** torch.arange(12) * math.sqrt(2)
        assert torch.allclose(found.norms, expected.double(), rtol=1e-5)
        assert found.decay_per_step == pytest.approx(factor, rel=1e-5)

    @pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
    @pytest.mark.parametrize("batch_first", [True, False])
    def test_the_norms_are_those_of_the_gradient_at_each_input(self, kind, batch_first):
        torch.manual_seed(0)
        rnn = kind(3, 5, batch_first=batch_first)
        x = torch.randn(4, 7, 3) if batch_first else torch.randn(7, 4, 3)

        def last(rnn, x):
            out = rnn(x)[0]
            return (out[:, -1] if batch_first else out[-1]).pow(2).sum()

        found = curvature.lag_gradient(rnn, last, x, time_dim=1 if batch_first else 0)
        z = x.clone().requires_grad_()
        last(rnn, z).backward()
        grad = z.grad if batch_first else z.grad.transpose(0, 1)
        expected = [float(grad[:, 6 - lag].norm(dim=1).mean()) for lag in range(7)]
        assert found.norms.tolist() == pytest.approx(expected, rel=1e-5)

    def test_a_forget_gate_held_open_remembers_longer_than_the_default(self):
        torch.manual_seed(0)
        rates = []
        for bias in (0.0, 3.0):
            lstm = nn.LSTM(3, 16, batch_first=True)
            with torch.no_grad():
                lstm.bias_hh_l0[16:32] = bias
            found = curvature.lag_gradient(lstm, lambda m, x: m(x)[0][:, -1].sum(), torch.randn(8, 30, 3))
            rates.append(found.decay_per_step)
        assert rates[0] < 0.75
        assert rates[1] > 0.9

    def test_a_model_in_eval_mode_and_frozen_is_measured_too(self):
        rnn = nn.RNN(3, 5, batch_first=True).eval().requires_grad_(False)
        found = curvature.lag_gradient(rnn, lambda m, x: m(x)[0][:, -1].sum(), torch.randn(2, 6, 3))
        assert (found.norms > 0).all()

    def test_what_has_no_lag_is_refused(self):
        rnn = nn.RNN(3, 5, batch_first=True)
        with pytest.raises(TypeError, match="int64; it needs floating point"):
            curvature.lag_gradient(rnn, lambda m, x: m(x)[0].sum(), torch.zeros(2, 6, dtype=torch.long))
        with pytest.raises(ValueError, match=r"at\s+least 2 steps"):
            curvature.lag_gradient(rnn, lambda m, x: m(x)[0].sum(), torch.zeros(2, 1, 3))
        with pytest.raises(ValueError, match="does not depend on the sequence"):
            curvature.lag_gradient(rnn, lambda m, x: m.weight_hh_l0.sum(), torch.zeros(2, 4, 3))


class TestSpectralRadius:
    @given(n=st.integers(1, 12), factor=st.floats(0.1, 3.0))
    @settings(max_examples=30, deadline=None)
    def test_a_scaled_orthogonal_matrix_has_its_scale(self, n, factor):
        matrix = factor * nn.init.orthogonal_(torch.empty(n, n))
        assert curvature.spectral_radius(matrix)[""] == pytest.approx(factor, rel=1e-5)

    def test_each_gate_is_named_in_the_order_of_torch(self):
        model = nn.ModuleDict({"gru": nn.GRU(2, 3, 2, bidirectional=True), "cell": nn.LSTMCell(2, 3)})
        with torch.no_grad():
            for gate in range(4):
                model["cell"].weight_hh[3 * gate : 3 * gate + 3] = (gate + 1) * torch.eye(3)
        found = curvature.spectral_radius(model)
        names = ("input", "forget", "cell", "output")
        assert [found[f"cell.weight_hh.{gate}"] for gate in names] == pytest.approx([1, 2, 3, 4])
        assert len(found) == 4 * 3 + 4
        assert "gru.weight_hh_l1_reverse.update" in found

    def test_a_projected_lstm_is_measured_with_its_projection(self):
        lstm = nn.LSTM(2, 6, proj_size=3)
        w, r = lstm.weight_hh_l0.detach(), lstm.weight_hr_l0.detach()
        expected = torch.linalg.eigvals((w[:6] @ r).double()).abs().max()
        assert curvature.spectral_radius(lstm)["weight_hh_l0.input"] == pytest.approx(float(expected))

    def test_what_is_not_recurrent_is_refused(self):
        with pytest.raises(ValueError, match="without a recurrent layer"):
            curvature.spectral_radius(nn.Linear(3, 3))
        with pytest.raises(ValueError, match="needs a square one"):
            curvature.spectral_radius(torch.ones(3, 2))
