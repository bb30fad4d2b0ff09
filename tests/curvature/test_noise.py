"""The noise scale against a gradient whose mean and covariance are known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from trainwright import curvature


def regression(noise, batch_size, count, seed):
    """A linear model whose true gradient and gradient covariance are known, and batches of it."""
    torch.manual_seed(seed)
    model = nn.Module()
    model.w = nn.Parameter(torch.zeros(4))
    # loss = mean of w.z with z ~ N(m, noise^2): gradient of one sample is z
    m = torch.tensor([1.0, 0.5, 0, 0])
    batches = [m + noise * torch.randn(batch_size, 4) for _ in range(count)]
    return model, (lambda model, z: (z @ model.w).mean()), batches, 4 * noise**2 / float(m @ m)


class TestNoiseScale:
    def test_the_estimates_are_unbiased(self):
        found = []
        for seed in range(300):
            model, loss, batches, _ = regression(2.0, 4, 6, seed)
            found.append(curvature.noise_scale(model, loss, batches, 4))
        signals, noises = np.array([f.signal for f in found]), np.array([f.noise for f in found])
        assert abs(signals.mean() - 1.25) < 4 * signals.std() / math.sqrt(300)
        assert abs(noises.mean() - 16) < 4 * noises.std() / math.sqrt(300)

    @pytest.mark.parametrize(("noise", "count"), [(1.0, 16), (4.0, 32), (8.0, 16)])
    def test_the_interval_holds_the_truth_about_95_times_of_100(self, noise, count):
        inside = 0
        for seed in range(200):
            model, loss, batches, truth = regression(noise, 8, count, seed)
            found = curvature.noise_scale(model, loss, batches, 8)
            inside += found.low <= truth <= found.high
            assert found.low <= found.noise_scale <= found.high
        assert 0.88 <= inside / 200 <= 1.0

    def test_it_counts_samples_whatever_the_batch_size(self):
        scales = []
        for size in (2, 8, 32):
            model, loss, batches, truth = regression(2.0, size, 4096 // size, 0)
            scales.append(curvature.noise_scale(model, loss, batches, size).noise_scale)
        assert scales == pytest.approx([truth] * 3, rel=0.2)

    def test_where_noise_drowns_the_signal_it_has_no_upper_end(self):
        model, loss, batches, _ = regression(1e3, 1, 8, 0)
        assert curvature.noise_scale(model, loss, batches, 1).high == math.inf

    def test_what_cannot_be_told_is_refused(self):
        model, loss, batches, _ = regression(1.0, 4, 8, 0)
        with pytest.raises(ValueError, match="3 batches; it needs at least 4"):
            curvature.noise_scale(model, loss, batches[:3], 4)
        with pytest.raises(ValueError, match="batch_size=0"):
            curvature.noise_scale(model, loss, batches, 0)
        with pytest.raises(ValueError, match="same gradient"):
            curvature.noise_scale(model, loss, batches[:1] * 8, 4)
