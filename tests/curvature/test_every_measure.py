"""What all measures promise: they leave everything as it was, see one function, refuse in a sentence."""

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn

from trainwright import curvature

from .known import cases, cross_entropy


class Everything(nn.Module):
    """Batch norm, dropout, spectral norm, a frozen weight, one that the loss does not see, and a counter."""

    def __init__(self):
        super().__init__()
        self.first = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 8))
        self.norm, self.drop, self.last = nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)
        self.unseen = nn.Linear(2, 2)
        self.last.bias.requires_grad_(False)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.calls = self.calls + 1  # replaced, not written to
        return self.last(self.drop(self.norm(self.first(x)).tanh()))


def measures():
    """Every measure, on a model and batches."""

    def with_optimizer(model, loss, batches):
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        return curvature.stability(model, loss, batches, sgd, max_products=8)

    def to_other_weights(model, loss, batches):
        end = {name: t + 0.1 if t.is_floating_point() else t for name, t in model.state_dict().items()}
        return curvature.line(model, loss, batches, end, points=3)

    def lag(model, loss, batches):
        sequence = torch.stack([x for x, _ in batches], 1)
        return curvature.lag_gradient(
            model, lambda m, x: loss(m, (x[:, 0] + x[:, 1], batches[0][1])), sequence
        )

    return {
        "hessian_vector": lambda m, loss, b: curvature.hessian_vector(
            m, loss, b, [torch.ones_like(p) for p in m.parameters() if p.requires_grad]
        ),
        "eigenvalues": lambda m, loss, b: curvature.eigenvalues(m, loss, b, max_products=8),
        "trace": lambda m, loss, b: curvature.trace(m, loss, b, products=6),
        "along_gradient": curvature.along_gradient,
        "standstill": lambda m, loss, b: curvature.standstill(m, loss, b, max_products=8),
        "stability": with_optimizer,
        "noise_scale": lambda m, loss, b: curvature.noise_scale(m, loss, b, 16),
        "line": to_other_weights,
        "plane": lambda m, loss, b: curvature.plane(m, loss, b, points=3),
        "lag_gradient": lag,
    }


def equal(a, b):
    """The same, bit by bit, in lists and tuples too."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, list | tuple):
        return all(equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("name", measures())
class TestEveryMeasure:
    def test_leaves_everything_bitwise_as_it_was(self, name):
        torch.manual_seed(1)
        model = Everything()
        model.norm.eval()
        batches = [(torch.randn(16, 5), torch.randint(0, 3, (16,))) for _ in range(4)]
        cross_entropy(model, batches[0]).backward()
        before = copy.deepcopy(model.state_dict())
        grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        objects = [*model.parameters(), *model.buffers()]
        modes = [m.training for m in model.modules()]
        needs = [p.requires_grad for p in model.parameters()]
        states = torch.get_rng_state(), random.getstate(), np.random.get_state()

        def wild(model, batch):
            model.train()
            model.calls += 1
            random.random(), np.random.rand()
            return cross_entropy(model, batch)

        measures()[name](model, wild, batches)

        assert all(torch.equal(t, before[k]) for k, t in model.state_dict().items())
        assert all(a is b for a, b in zip(objects, [*model.parameters(), *model.buffers()], strict=True))
        for p, g in zip(model.parameters(), grads, strict=True):
            assert p.grad is g is None or torch.equal(p.grad, g)
        assert [m.training for m in model.modules()] == modes
        assert [p.requires_grad for p in model.parameters()] == needs
        assert equal(states, (torch.get_rng_state(), random.getstate(), np.random.get_state()))

    def test_leaves_everything_as_it_was_when_the_loss_fails_too(self, name):
        torch.manual_seed(1)
        model = Everything()
        before = copy.deepcopy(model.state_dict())
        batches = [(torch.randn(16, 5), torch.randint(0, 3, (16,))) for _ in range(4)]
        state, calls = torch.get_rng_state(), []

        def fails_in_the_end(model, batch):
            calls.append(batch)
            value = cross_entropy(model, batch)
            if len(calls) >= 2 or name == "lag_gradient":  # which asks only once
                raise KeyError("of the user")
            return value

        with pytest.raises(KeyError, match="of the user"):
            measures()[name](model, fails_in_the_end, batches)
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(t, before[k]) for k, t in model.state_dict().items())

    def test_sees_one_function_with_dropout_and_says_the_same_twice(self, name):
        torch.manual_seed(1)
        model, batches = Everything(), [(torch.randn(16, 5), torch.randint(0, 3, (16,))) for _ in range(4)]
        measure = measures()[name]
        torch.manual_seed(2)
        first = measure(model, cross_entropy, batches)
        torch.manual_seed(2)
        assert equal(first, measure(model, cross_entropy, batches))

    @pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
    def test_works_where_gradients_are_off(self, name, off):
        torch.manual_seed(1)
        model, batches = Everything(), [(torch.randn(16, 5), torch.randint(0, 3, (16,))) for _ in range(4)]
        with off():
            measures()[name](model, cross_entropy, batches)


@pytest.mark.parametrize("name", ["noise_scale", "line", "plane"])
def test_the_callers_autocast_serves_no_weights_of_yesterday(name):
    torch.manual_seed(1)
    model, batches = Everything().eval(), [(torch.randn(16, 5), torch.randint(0, 3, (16,))) for _ in range(4)]

    def inside(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            return cross_entropy(model, batch)

    torch.manual_seed(2)
    expected = measures()[name](model, inside, batches)
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16):
        assert equal(expected, measures()[name](model, cross_entropy, batches))


def test_the_hessian_is_symmetric_in_train_mode_with_dropout():
    torch.manual_seed(0)
    model, batches = Everything(), [(torch.randn(16, 5), torch.randint(0, 3, (16,))) for _ in range(2)]
    live = [p for p in model.parameters() if p.requires_grad]
    u, v = ([torch.randn_like(p) for p in live] for _ in range(2))

    def times(w):
        return curvature.hessian_vector(
            model, cross_entropy, batches, w, generator=torch.Generator().manual_seed(3)
        )

    uhv = sum(float((a * b).sum()) for a, b in zip(u, times(v), strict=True))
    vhu = sum(float((a * b).sum()) for a, b in zip(v, times(u), strict=True))
    assert uhv == pytest.approx(vhu, rel=1e-4)


def test_the_same_generator_gives_the_same_dropout():
    model, x = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1)), torch.randn(32, 4)
    ask = lambda seed: curvature.along_gradient(  # noqa: E731
        model, lambda m, x: m(x).pow(2).mean(), [x], generator=torch.Generator().manual_seed(seed)
    )
    assert ask(0) == ask(0)
    assert ask(0) != ask(1)


def test_a_loader_is_read_once_and_leaves_the_random_state():
    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(64, 5), torch.randint(0, 3, (64,)))
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
    state = torch.get_rng_state()
    model, _ = cases()["tanh"]
    torch.set_rng_state(state)
    curvature.eigenvalues(model, cross_entropy, loader)
    assert torch.equal(state, torch.get_rng_state())
    curvature.eigenvalues(model, cross_entropy, iter(loader))


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * grad


class TestErrors:
    def refused(self, loss, batches=None, model=None, error=ValueError):
        model = model or nn.Linear(2, 1)
        with pytest.raises(error) as caught:
            curvature.eigenvalues(model, loss, [torch.ones(3, 2)] if batches is None else batches)
        return " ".join(str(caught.value).split())

    def test_a_frozen_model(self):
        said = self.refused(lambda m, x: m(x).sum(), model=nn.Linear(2, 1).requires_grad_(False))
        assert "without a parameter that requires grad" in said

    def test_an_empty_model(self):
        assert "without a parameter" in self.refused(lambda m, x: x.sum(), model=nn.ReLU())

    def test_a_loss_for_each_sample(self):
        said = self.refused(lambda m, x: m(x))
        assert (
            said
            == "eigenvalues() got a loss of shape (3, 1); it needs a tensor of one number. Take its mean."
        )
        assert "that is a float" in self.refused(lambda m, x: m(x).sum().item())

    def test_a_loss_that_is_not_finite(self):
        said = self.refused(lambda m, x: m(x).sum() / 0, batches=[torch.ones(3, 2)] * 2)
        assert "on batch 0" in said

    def test_a_loss_of_another_model(self):
        other = nn.Linear(2, 1)
        said = self.refused(lambda m, x: other(x).sum().detach())
        assert "depends on no parameter that requires grad" in said

    def test_no_batches_and_one_that_is_not_in_a_list(self):
        assert "no batches" in self.refused(lambda m, x: m(x).sum(), batches=[])
        for lone in (torch.ones(3, 2), (torch.ones(3, 2), torch.ones(3)), {"x": torch.ones(3, 2)}):
            said = self.refused(lambda m, x: m(x).sum(), batches=lone, error=TypeError)
            assert said.endswith("it needs a list of batches. Pass [batch].")

    def test_a_second_derivative_that_is_not_finite_is_named(self):
        net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
        nn.init.zeros_(net[1].weight)
        nn.init.zeros_(net[1].bias)
        said = self.refused(
            lambda m, x: m[0](x).sum() ** 2 + m[1].weight.pow(2).sum().add(0).pow(0.75), model=net
        )
        assert "second derivative that is not finite, first at `1.weight`" in said

    def test_an_operation_without_second_derivative(self):
        said = self.refused(lambda m, x: Once.apply(m(x)).pow(2).sum(), error=RuntimeError)
        assert "eigenvalues() needs the loss differentiated twice, and a part of the model cannot" in said
        assert "once_differentiable" in said

    def test_an_error_of_the_users_own_passes_through(self):
        with pytest.raises(RuntimeError, match="cannot be multiplied"):
            curvature.eigenvalues(nn.Linear(2, 1), lambda m, x: m(x).sum(), [torch.ones(3, 5)])

    def test_arguments_out_of_range(self):
        net, x = nn.Linear(2, 1), [torch.ones(3, 2)]

        def loss(m, x):
            return m(x).pow(2).sum()

        with pytest.raises(ValueError, match="count=4; it needs 1 to 3"):
            curvature.eigenvalues(net, loss, x, count=4)
        with pytest.raises(ValueError, match="must be positive"):
            curvature.eigenvalues(net, loss, x, tolerance=0)
        with pytest.raises(ValueError, match="products=5"):
            curvature.trace(net, loss, x, products=5)
        with pytest.raises(ValueError, match="one tensor for each parameter"):
            curvature.hessian_vector(net, loss, x, [torch.ones(2)])
        with pytest.raises(ValueError, match="gradient is zero"):
            curvature.along_gradient(net, lambda m, x: 0 * m(x).sum(), x)
        with pytest.raises(ValueError, match="gradient_below=0"):
            curvature.standstill(net, loss, x, gradient_below=0)


def test_a_compiled_model_is_refused_with_what_to_do():
    torch._dynamo.reset()
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    compiled = torch.compile(net, backend="aot_eager")
    with pytest.raises(RuntimeError, match=r"Pass the model before torch\.compile"):
        curvature.eigenvalues(compiled, lambda m, x: m(x).pow(2).mean(), [torch.ones(4, 2)])


def test_attention_is_back_to_its_own_kernels_afterwards():
    model, batches = cases()["attention"]
    curvature.along_gradient(model, cross_entropy, batches)
    assert torch.backends.cuda.flash_sdp_enabled()


def test_arguments_in_another_order_are_told_apart():
    net = nn.Linear(2, 1)
    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(TypeError, match="takes the model, the loss and the batches, in that order"):
        curvature.stability(net, sgd, lambda m, x: m(x).pow(2).mean(), [torch.ones(4, 2)])
