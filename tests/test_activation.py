"""The gain of every activation against torch's table, closed forms and sampling; saturation; what an activation is."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from torch import nn
from torch.nn import functional as F

from trainwright.activation import Moments, gain, is_activation, moments, responsive, saturates

ALL = [
    nn.ReLU(),
    nn.LeakyReLU(0.2),
    nn.PReLU(),
    nn.ELU(),
    nn.SELU(),
    nn.CELU(),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Mish(),
    nn.Softplus(),
    nn.Softsign(),
    nn.Sigmoid(),
    nn.LogSigmoid(),
    nn.Tanh(),
    nn.Hardsigmoid(),
    nn.Hardtanh(),
    nn.Hardswish(),
    nn.ReLU6(),
    nn.Tanhshrink(),
    nn.Hardshrink(),
    nn.Softshrink(),
    nn.Threshold(0.125, 0.0),
]
SATURATING = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardsigmoid, nn.Hardtanh, nn.ReLU6)


def number(module):
    """The module as a function of one number, and its slope."""

    def of(z):
        return module(torch.tensor([z], dtype=torch.float64)).item()

    def slope(z):
        x = torch.tensor([z], dtype=torch.float64, requires_grad=True)
        (module(x) if module(x).requires_grad else module(x) + 0 * x).backward()
        return x.grad.item()

    return of, slope


@pytest.mark.parametrize("module", ALL, ids=str)
def test_moments_are_those_of_adaptive_integration(module):
    f, slope = number(module.double())

    def integral(g):
        kinks = [-3.0, -1.0, -0.5, 0.0, 0.125, 0.5, 1.0, 3.0, 6.0]
        density = lambda z: g(z) * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)  # noqa: E731
        ends = [-9.0, *kinks, 9.0]
        return sum(quad(density, a, b, epsabs=1e-9)[0] for a, b in pairwise(ends))

    expected = integral(f), integral(lambda z: f(z) ** 2), integral(lambda z: slope(z) ** 2)
    assert moments(module) == pytest.approx(expected, abs=1e-7)
    module.float()


@pytest.mark.parametrize("module", ALL, ids=str)
def test_a_layer_with_this_gain_keeps_the_mean_square(module):
    torch.manual_seed(0)
    x = torch.randn(400, 900)
    weight = torch.randn(900, 900) / 30  # variance 1 / fan_in: an input of mean square 1 gives z ~ N(0, 1)
    y = module(x @ weight).detach() * gain(module)
    assert y.square().mean().item() == pytest.approx(1, abs=0.02)


def test_torch_has_the_same_gain_where_it_uses_the_same_definition():
    assert gain(nn.ReLU()) == pytest.approx(nn.init.calculate_gain("relu"), rel=1e-9)
    for slope in (0.01, 0.2, 0.9):
        expected = nn.init.calculate_gain("leaky_relu", slope)
        assert gain(nn.LeakyReLU(slope)) == pytest.approx(expected, rel=1e-9)
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        nn.init.calculate_gain("gelu")


def test_selu_keeps_mean_0_and_variance_1():
    assert moments(F.selu)[:2] == pytest.approx((0, 1), abs=1e-6)


@given(st.floats(-0.9, 2.0))
def test_the_gain_of_a_leak_is_the_closed_form(slope):
    assert gain(nn.LeakyReLU(slope)) == pytest.approx(math.sqrt(2 / (1 + slope**2)), rel=1e-9)
    assert gain(nn.PReLU(3, init=slope)) == pytest.approx(math.sqrt(2 / (1 + slope**2)), rel=1e-6)


@given(st.floats(0.1, 8.0))
def test_the_gain_of_a_clamp_is_the_closed_form_wherever_its_kink_lies(end):
    tail = math.erfc(end / math.sqrt(2))
    inside = 1 - tail - 2 * end * math.exp(-end * end / 2) / math.sqrt(2 * math.pi)
    expected = inside + end * end * tail
    assert moments(nn.Hardtanh(-end, end)).square == pytest.approx(expected, abs=1e-7)


@given(st.lists(st.floats(-2, 2), min_size=2, max_size=4))
def test_polynomials_are_integrated_exactly(coefficients):
    normal = [1, 0, 1, 0, 3, 0, 15]  # moments of N(0, 1)
    f = lambda x: sum(c * x**i for i, c in enumerate(coefficients))  # noqa: E731
    pairs = [(i + j, a * b) for i, a in enumerate(coefficients) for j, b in enumerate(coefficients)]
    expected = Moments(
        sum(c * normal[i] for i, c in enumerate(coefficients)),
        sum(normal[k] * c for k, c in pairs),
        sum(
            i * a * j * b * normal[i + j - 2]
            for i, a in enumerate(coefficients)
            for j, b in enumerate(coefficients)
            if i and j
        ),
    )
    assert moments(f) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("module", [*ALL, torch.sin, torch.asinh, nn.Softplus(5)], ids=str)
def test_those_that_are_flat_at_both_ends_saturate(module):
    assert saturates(module) == (isinstance(module, SATURATING) or module is torch.asinh)


def test_relu6_is_flat_at_both_ends_each_time_it_is_asked():
    assert {responsive(nn.ReLU6()) for _ in range(200)} == {(1 / 256, 6 - 1 / 256)}


def test_the_ends_are_where_the_slope_is_five_percent_of_its_steepest():
    tanh = math.acosh(math.sqrt(20))
    sigmoid = math.log((1 + math.sqrt(0.95)) / (1 - math.sqrt(0.95)))
    softsign = math.sqrt(20) - 1
    for f, end in ((torch.tanh, tanh), (torch.sigmoid, sigmoid), (F.softsign, softsign)):
        assert responsive(f) == pytest.approx((-end, end), abs=1 / 256)
    assert responsive(nn.ReLU()) == (pytest.approx(0, abs=1 / 256), math.inf)
    assert responsive(nn.ELU()) == (pytest.approx(math.log(0.05), abs=1 / 256), math.inf)


def test_measuring_changes_nothing():
    called = []
    module = nn.RReLU(inplace=True)
    module.register_forward_hook(lambda *_: called.append(1))
    state = torch.get_rng_state()
    assert gain(module) == gain(module) == pytest.approx(math.sqrt(2 / (1 + (11 / 48) ** 2)))
    assert saturates(module) is False
    assert module.training
    assert not called
    assert torch.equal(torch.get_rng_state(), state)


@torch.inference_mode()
def test_slopes_are_measured_where_gradients_are_off():
    assert moments(nn.Tanh()).slope_square == pytest.approx(0.46440, abs=1e-5)


def test_the_default_device_is_not_asked():
    swish = Swish()
    with torch.device("meta"):
        assert gain(nn.Tanh()) == pytest.approx(1.59254, abs=1e-5)
        assert is_activation(swish)


class Swish(nn.Module):
    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x * torch.sigmoid(self.beta * x)


class Scale(nn.Module):
    def forward(self, x):
        return 3 * x + 1


class Norm(nn.Module):
    def forward(self, x):
        return x / x.norm(dim=-1, keepdim=True)


class Pair(nn.Module):
    def forward(self, x, y):
        return x * y


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(x)


def test_learnt_and_home_made_activations_have_a_gain():
    assert gain(Swish()) == pytest.approx(gain(nn.SiLU()), rel=1e-6)
    assert gain(lambda x: torch.nn.functional.gelu(x.float())) == pytest.approx(gain(nn.GELU()), rel=1e-5)


@pytest.mark.parametrize("module", [*ALL, nn.RReLU(), Swish()], ids=str)
def test_is_an_activation(module):
    assert is_activation(module)


@pytest.mark.parametrize(
    "module",
    [
        nn.Softmax(-1),
        nn.LogSoftmax(-1),
        nn.GLU(),
        nn.MultiheadAttention(4, 2),
        nn.Dropout(),
        nn.Identity(),
        nn.Flatten(),
        nn.Linear(9, 9),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.LSTM(2, 2),
        Scale(),
        Norm(),
        Pair(),
        Block(),
        nn.MSELoss(),
        nn.LazyLinear(3),
    ],
    ids=lambda m: type(m).__name__,
)
def test_is_no_activation(module):
    assert not is_activation(module)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda: gain(nn.Softmax(-1)), "Softmax.dim=-1. does not act on each number alone"),
        (lambda: gain(nn.GLU()), "does not act on each number alone"),
        (lambda: gain(torch.log), "log gives a value that is not finite at z = -"),
        (lambda: gain(torch.zeros_like), "zeros_like gives 0 for every input"),
        (lambda: saturates(torch.sign), "sign has slope 0 everywhere"),
        (lambda: gain(nn.PReLU(device="meta")), "`meta`"),
    ],
)
def test_what_has_no_curve_is_refused(what, said):
    with pytest.raises(ValueError, match=said):
        what()


def test_a_layer_of_a_polynomial_stays_a_polynomial_however_wide():
    """Leshno et al. 1993, the easy half: 200 units of x^2 on 3 inputs span only the quadratics."""
    torch.manual_seed(0)
    x, weight, bias = torch.randn(500, 3).double(), torch.randn(3, 200).double(), torch.randn(200).double()
    quadratics = 1 + 3 + 6
    assert torch.linalg.matrix_rank(torch.square(x @ weight + bias)) == quadratics
    assert torch.linalg.matrix_rank(torch.tanh(x @ weight + bias)) == 200
