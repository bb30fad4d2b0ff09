"""Products, eigenvalues and traces against the dense Hessian and quadratics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from trainwright import curvature

from .known import cases, cross_entropy, dense, quadratic

CASES = list(cases())


@pytest.fixture(params=CASES)
def case(request):
    return cases()[request.param]


class TestAgainstTheDenseHessian:
    def test_the_product_is_the_matrix_times_the_vector(self, case):
        model, batches = case
        matrix = dense(model, cross_entropy, batches)
        vector = [torch.randn_like(p) for p in model.parameters()]
        expected = matrix @ torch.cat([v.reshape(-1) for v in vector]).double()
        got = torch.cat(
            [v.reshape(-1) for v in curvature.hessian_vector(model, cross_entropy, batches, vector)]
        )
        assert got.dtype == torch.float32
        assert (got - expected).norm() < 1e-5 * expected.norm()

    def test_both_ends_of_the_spectrum_are_right_to_a_thousandth(self, case):
        model, batches = case
        expected = torch.linalg.eigvalsh(dense(model, cross_entropy, batches))
        found = curvature.eigenvalues(model, cross_entropy, batches, count=2, tolerance=1e-3)
        assert found.top == pytest.approx(expected.flip(0)[:2].tolist(), rel=1e-3)
        assert found.bottom == pytest.approx(expected[:2].tolist(), rel=1e-3)
        assert found.products < len(expected)

    def test_the_largest_eigenvalue_is_right_to_a_thousandth_by_default(self, case):
        model, batches = case
        expected = torch.linalg.eigvalsh(dense(model, cross_entropy, batches))
        found = curvature.eigenvalues(model, cross_entropy, batches)
        assert found.top[0] == pytest.approx(float(expected[-1]), rel=1e-3)
        assert found.bottom[0] == pytest.approx(float(expected[0]), abs=1e-3 * float(expected[-1]))

    def test_the_trace_is_within_its_standard_error(self, case):
        model, batches = case
        expected = float(dense(model, cross_entropy, batches).trace())
        found = curvature.trace(model, cross_entropy, batches, products=30)
        assert abs(found.value - expected) < 4 * found.standard_error + 1e-4 * abs(expected)
        assert found.standard_error < 0.5 * abs(expected)
        assert found.products == 30

    def test_the_curvature_along_the_gradient_is_that_of_the_matrix(self, case):
        model, batches = case
        matrix = dense(model, cross_entropy, batches)
        model.zero_grad()
        for batch in batches:
            (cross_entropy(model, batch) / len(batches)).backward()
        g = torch.cat([p.grad.reshape(-1) for p in model.parameters()]).double()
        found = curvature.along_gradient(model, cross_entropy, batches)
        assert found.gradient_norm == pytest.approx(float(g.norm()), rel=1e-5)
        assert found.curvature == pytest.approx(float(g @ matrix @ g / (g @ g)), rel=1e-4)


def test_float64_weights_are_measured_in_float64():
    model, batches = cases()["tanh"]
    model.double()
    batches = [(x.double(), y) for x, y in batches]
    matrix = dense(model, cross_entropy, batches)
    vector = [torch.randn_like(p) for p in model.parameters()]
    expected = matrix @ torch.cat([v.reshape(-1) for v in vector])
    got = torch.cat([v.reshape(-1) for v in curvature.hessian_vector(model, cross_entropy, batches, vector)])
    assert (got - expected).norm() < 1e-13 * expected.norm()
    found = curvature.eigenvalues(model, cross_entropy, batches, tolerance=1e-10)
    values = torch.linalg.eigvalsh(matrix)
    assert found.top[0] == pytest.approx(float(values[-1]), rel=1e-12)
    assert found.bottom[0] == pytest.approx(float(values[0]), rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_give_the_curvature_roughly(dtype):
    model, batches = cases()["tanh"]
    expected = float(torch.linalg.eigvalsh(dense(model, cross_entropy, batches))[-1])
    half = [(x.to(dtype), y) for x, y in batches]
    found = curvature.eigenvalues(model.to(dtype), cross_entropy, half, tolerance=0.05, max_products=20)
    assert found.top[0] == pytest.approx(expected, rel=0.1)


@given(
    values=st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_a_quadratic_gives_back_the_eigenvalues_it_was_made_of(values, seed):
    torch.manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), dtype=torch.float64)).Q
    matrix = basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T
    model, loss = quadratic((matrix + matrix.T) / 2)
    found = curvature.eigenvalues(model, loss, [matrix], tolerance=1e-6)
    size = max(abs(v) for v in values)
    assert found.top[0] == pytest.approx(max(values), abs=1e-6 * size)
    assert found.bottom[0] == pytest.approx(min(values), abs=1e-6 * size)
    assert curvature.trace(model, loss, [matrix], products=36).value == pytest.approx(
        sum(values), abs=1e-6 * size
    )


@given(seed=st.integers(0, 999), max_products=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_no_value_is_further_from_a_true_one_than_the_error_says(seed, max_products):
    torch.manual_seed(seed)
    matrix = torch.randn(30, 30, dtype=torch.float64)
    matrix = matrix + matrix.T
    model, loss = quadratic(matrix)
    found = curvature.eigenvalues(model, loss, [matrix], max_products=max_products, tolerance=1e-9)
    true = torch.linalg.eigvalsh(matrix).numpy()
    for value in (*found.top, *found.bottom):
        assert np.abs(true - value).min() <= found.error + 1e-9
    assert found.products <= max_products


def test_equal_eigenvalues_are_given_as_often_as_asked_for_once_the_space_is_used_up():
    matrix = 3 * torch.eye(4, dtype=torch.float64)
    model, loss = quadratic(matrix)
    found = curvature.eigenvalues(model, loss, [matrix], count=2)
    assert found.top == pytest.approx((3, 3))
    assert found.bottom == pytest.approx((3, 3))


def test_a_loss_without_curvature_has_none():
    model = nn.Linear(3, 1)
    x = torch.ones(2, 3)
    found = curvature.eigenvalues(model, lambda model, x: model(x).sum(), [x])
    assert (found.top, found.bottom, found.condition) == ((0,), (0,), None)
    assert curvature.trace(model, lambda model, x: model(x).sum(), [x]).value == 0


def test_the_condition_number_is_unknown_where_the_loss_curves_down():
    model, loss = quadratic(torch.diag(torch.tensor([4.0, -1.0])))
    assert curvature.eigenvalues(model, loss, [torch.diag(torch.tensor([4.0, -1.0]))]).condition is None
    assert curvature.eigenvalues(
        model, loss, [torch.diag(torch.tensor([4.0, 0.5]))]
    ).condition == pytest.approx(8)


def test_the_standard_error_of_the_trace_is_the_spread_of_estimates():
    torch.manual_seed(0)
    matrix = torch.randn(60, 60, dtype=torch.float64)
    matrix = matrix + matrix.T
    model, loss = quadratic(matrix)
    seeds = [torch.Generator().manual_seed(i) for i in range(200)]
    found = [curvature.trace(model, loss, [matrix], generator=seed) for seed in seeds]
    values = np.array([f.value for f in found])
    claimed = float(np.sqrt(np.mean([f.standard_error**2 for f in found])))
    truth = float(matrix.trace())
    assert abs(values.mean() - truth) < 4 * values.std() / math.sqrt(200)
    assert claimed == pytest.approx(values.std(), rel=0.15)


def test_few_large_directions_do_not_disturb_the_trace():
    torch.manual_seed(0)
    spectrum = torch.cat([torch.tensor([100.0, 50.0, 20.0]), torch.full((97,), 0.01)]).double()
    basis = torch.linalg.qr(torch.randn(100, 100, dtype=torch.float64)).Q
    matrix = basis @ torch.diag(spectrum) @ basis.T
    model, loss = quadratic((matrix + matrix.T) / 2)
    plain = []  # Hutchinson's estimate with as many products
    for _ in range(200):
        signs = torch.randint(2, (30, 100)).double() * 2 - 1
        plain.append(float((signs @ matrix * signs).sum(1).mean()))
    ours = [
        curvature.trace(model, loss, [matrix], generator=torch.Generator().manual_seed(i)).value
        for i in range(20)
    ]
    assert np.std(ours) < 0.01 * np.std(plain)
