"""The Hessian of a loss without its entries: times a vector, the ends of its spectrum, its trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ._objective import Batch, Loss, Objective, still

CHECK = 4
"""Products between two looks at whether the ends have converged."""


class Eigenvalues(NamedTuple):
    """Both ends of a Hessian's spectrum."""

    top: tuple[float, ...]
    """The largest, falling."""
    bottom: tuple[float, ...]
    """The smallest, rising; negative where the loss curves down."""
    error: float
    """No value is further than this from an eigenvalue of the Hessian."""
    products: int
    """Hessian-vector products made."""

    @property
    def condition(self) -> float | None:
        """Largest over smallest; `None` unless the smallest is positive by more than its error."""
        return self.top[0] / self.bottom[0] if self.bottom[0] > self.error else None


class Trace(NamedTuple):
    """An estimate of a trace."""

    value: float
    standard_error: float
    products: int
    """Hessian-vector products made."""


def hessian_vector(
    model: nn.Module,
    loss: Loss[Batch],
    batches: Iterable[Batch],
    vector: Sequence[Tensor],
    *,
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    """The Hessian of the mean loss times a vector, without forming the Hessian.

    Args:
        model: left bitwise as it was, like all the rest that a forward pass moves.
        loss: `loss(model, batch)`, one number.
        batches: each of them counts the same; they are read once and kept.
        vector: one tensor for each parameter that requires grad, of its shape, in the order of
            `model.parameters()`.
        generator: fixes dropout; without one, the default generator's present state does.

    Returns:
        The product, in the same form as `vector`.

    Raises:
        ValueError: nothing requires grad, no batches, the loss is not one finite number that depends on the
            weights, the product is not finite, or `vector` has other shapes than the parameters.
        RuntimeError: an operation of the model has no second derivative.

    Helps: as the building block of your own measure, e.g. the curvature along an update just made.

    Harms: with half-precision weights, whose second derivatives are mostly rounding; in a ReLU network, where it
    sees only the curvature between two kinks; and with a hand-written `autograd.Function` whose backward leaves
    torch (numpy, a kernel of your own), which torch silently takes to be flat.

    Costs: three to four training steps a batch, seven for an LSTM, and twice the memory of one.

    Source: Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 1994; by two reverse
    passes rather than his forward one, which LSTM kernels lack.

    >>> net = nn.Linear(3, 1, bias=False)
    >>> x = torch.eye(3)
    >>> hessian_vector(net, lambda net, x: net(x).pow(2).sum() / 2, [x], [torch.ones(1, 3)])
    [tensor([[1., 1., 1.]])]
    """
    with still(model):
        objective = Objective("hessian_vector", model, loss, batches, generator)
        shapes = [tuple(p.shape) for p in objective.parameters]
        if [tuple(v.shape) for v in vector] != shapes:
            raise ValueError(
                f"hessian_vector() got a vector of shapes {[tuple(v.shape) for v in vector]}; it needs one tensor "
                f"for each parameter that requires grad: {shapes}."
            )
        return objective.parts(objective.product(objective.flat(vector)))


def eigenvalues(
    model: nn.Module,
    loss: Loss[Batch],
    batches: Iterable[Batch],
    *,
    count: int = 1,
    tolerance: float = 1e-2,
    max_products: int = 200,
    generator: torch.Generator | None = None,
) -> Eigenvalues:
    """The largest and smallest eigenvalues of the Hessian of the mean loss.

    The Lanczos method on Hessian-vector products, every vector orthogonalised against all others twice. It
    stops when the bound on each wanted value's error is below `tolerance` of that value (of a tenth of the largest
    one, where the value is smaller), or after `max_products`. The bound is a strict one; the true error is mostly its
    square: at the default, the largest value of small networks is right to a thousandth.

    Args:
        model: left bitwise as it was. Put it into the mode you want to know about: in train mode the
            curvature is that of the loss with batch statistics and one fixed draw of dropout.
        loss: `loss(model, batch)`, one number.
        batches: each of them counts the same; they are read once and kept. Take a few of a loader with
            `itertools.islice(loader, 4)`.
        count: how many at each end; one that is an eigenvalue several times over may be given once.
        tolerance: bound on the relative error at which to stop, > 0.
        max_products: most Hessian-vector products to spend, >= 1.
        generator: of the starting vector and of dropout.

    Returns:
        `top`, `bottom`, the bound `error` on their distance from true eigenvalues, which tells whether
        `max_products` were enough, and `products`.

    Raises:
        ValueError: as `hessian_vector` does, or an argument out of its range.
        RuntimeError: an operation of the model has no second derivative.

    Helps: when a rate seems too high or too low for the loss's shape: above `2 / top` gradient descent cannot
    settle (`stability` does that sum for your optimiser); when training is slow, by `condition`; on a plateau,
    by the sign of the smallest.

    Harms: as a measure of how well a network generalises: rescaling ReLU layers changes it and leaves the
    function as it is. A handful of batches gives *their* curvature, a little above the data set's.

    Costs: 16 to 80 Hessian-vector products on networks at their start, 90 to 210 training steps in all (`stability`,
    which wants one end only, 30 to 50), and the memory of one copy of the weights for each product. That is for one
    batch, whose gradient's graph is made once and kept; several are differentiated anew each time, at twice the
    price or more for each of them.

    Source: Lanczos 1950; Golub & Van Loan, *Matrix Computations*, 4th ed., section 10.3 (full
    reorthogonalisation) and theorem 10.1.1's error bound.

    >>> net = nn.Linear(2, 1, bias=False)
    >>> x = torch.diag(torch.tensor([3.0, 1.0]))
    >>> found = eigenvalues(net, lambda net, x: net(x).pow(2).sum() / 2, [x])
    >>> round(found.top[0], 3), round(found.bottom[0], 3), round(found.condition, 3)
    (9.0, 1.0, 9.0)
    """
    with still(model):
        objective = Objective("eigenvalues", model, loss, batches, generator)
        return ends("eigenvalues", objective, objective.product, count, tolerance, max_products)


def trace(
    model: nn.Module,
    loss: Loss[Batch],
    batches: Iterable[Batch],
    *,
    products: int = 30,
    generator: torch.Generator | None = None,
) -> Trace:
    """The trace of the Hessian of the mean loss, with its standard error.

    A third of the products find the directions in which the Hessian is large, a third measure it there without
    error, and the last third estimate the rest by random signs. Divided by the number of weights it is the
    mean eigenvalue.

    Args:
        model: left bitwise as it was.
        loss: `loss(model, batch)`, one number.
        batches: each of them counts the same; they are read once and kept.
        products: Hessian-vector products to spend, >= 6.
        generator: of the random signs and of dropout.

    Returns:
        `value`, `standard_error` (that of the last third) and `products`.

    Raises:
        ValueError: as `hessian_vector` does, or too few products.
        RuntimeError: an operation of the model has no second derivative.

    Helps: to follow how sharp the loss is over training, or which of two solutions is sharper, with one
    number that a single outlying direction does not rule.

    Harms: where positive and negative curvature cancel: zero does not mean flat. See `eigenvalues`.

    Costs: with 30 products on one batch 70 to 90 training steps, 140 for an LSTM; and the memory of two thirds as
    many copies of the weights as there are products.

    Source: Meyer, Musco, Musco & Woodruff, "Hutch++: optimal stochastic trace estimation", SOSA 2021,
    algorithm 1; we add the standard error, from the spread of the last third.

    >>> net = nn.Linear(2, 1, bias=False)
    >>> x = torch.diag(torch.tensor([3.0, 1.0]))
    >>> round(trace(net, lambda net, x: net(x).pow(2).sum() / 2, [x]).value, 3)
    10.0
    """
    if products < 6:
        raise ValueError(
            f"trace() got products={products}; it needs at least 6, two for each of its three parts."
        )
    third = products // 3
    with still(model):
        objective = Objective("trace", model, loss, batches, generator)
        sketch = torch.stack([objective.product(objective.signs()) for _ in range(third)])
        large = torch.linalg.qr(sketch.T).Q.T  # (directions, weights)
        exact = sum(float(q @ objective.product(q)) for q in large)
        rest: list[float] = []
        for _ in range(products - 2 * third):
            signs = objective.signs()
            signs -= large.T @ (large @ signs)
            rest.append(float(signs @ objective.product(signs)))
    spent = third + len(large) + len(rest)
    return Trace(exact + float(np.mean(rest)), float(np.std(rest, ddof=1)) / sqrt(len(rest)), spent)


def ends(
    who: str,
    objective: Objective[Batch],
    product: Callable[[Tensor], Tensor],
    count: int,
    tolerance: float,
    max_products: int,
    bottom: bool = True,
) -> Eigenvalues:
    """Both ends of the spectrum of the symmetric operator `product` by Lanczos; without `bottom` it may be off."""
    if not 1 <= count <= objective.size:
        raise ValueError(f"{who}() got count={count}; it needs 1 to {objective.size}, the number of weights.")
    if not tolerance > 0 or max_products < 1:
        raise ValueError(
            f"{who}() got tolerance={tolerance}, max_products={max_products}; both must be positive."
        )
    most = min(max_products, objective.size)
    rounding, largest = 16 * torch.finfo(objective.dtype).eps, 0.0
    basis: list[Tensor] = []
    vector = objective.normal()
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        vector = vector / vector.norm()
        basis.append(vector)
        image = product(vector)
        diagonal.append(float(vector @ image))
        image = _orthogonal(image, basis)
        left = float(image.norm())
        largest = max(largest, abs(diagonal[-1]), left)
        if len(diagonal) == objective.size or left <= rounding * largest:
            left = 0.0  # the vectors so far hold every eigenvector that the first one has a part in
        done = len(diagonal) == most
        if done or left == 0 or len(diagonal) % CHECK == 0 or len(diagonal) <= CHECK:
            values, last = _tridiagonal(diagonal, beside)
            scale = float(np.abs(values).max())
            wanted = np.arange(len(values))[-count:]
            if bottom:
                wanted = np.r_[: min(count, len(values)), wanted]
            bounds = left * np.abs(last[wanted])
            near = bounds <= tolerance * np.maximum(np.abs(values[wanted]), 0.1 * scale)
            if done or (near.all() and len(values) >= min(2 * count, objective.size)):
                top, low = values[::-1][:count].tolist(), values[:count].tolist()
                return Eigenvalues(tuple(top), tuple(low), float(bounds.max()), len(values))
        beside.append(left)
        vector = image if left > 0 else _orthogonal(objective.normal(), basis)


def _orthogonal(vector: Tensor, basis: Sequence[Tensor]) -> Tensor:
    """What is left of a vector without its part in the span of `basis`; the second pass removes rounding."""
    vector = vector.clone()
    for _ in range(2):
        for direction in basis:  # one by one: a matrix of them would be a second copy
            vector.addcmul_(direction, direction @ vector, value=-1)
    return vector


def _tridiagonal(
    diagonal: Sequence[float], beside: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Eigenvalues, rising, and the last component of each eigenvector."""
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    values, vectors = np.linalg.eigh(matrix)
    return values, vectors[-1]
