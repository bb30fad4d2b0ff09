"""How far back a recurrent network can learn: gradient against time lag, and its recurrent matrix."""

from __future__ import annotations

from math import exp, nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..stats import theil_sen
from ._objective import Loss, number, still

GATES: tuple[tuple[tuple[type[nn.Module], ...], tuple[str, ...]], ...] = (
    ((nn.RNN, nn.RNNCell), ("",)),
    ((nn.GRU, nn.GRUCell), (".reset", ".update", ".new")),
    ((nn.LSTM, nn.LSTMCell), (".input", ".forget", ".cell", ".output")),
)
"""The parts of a recurrent weight of each kind, in torch's order."""


class LagGradient(NamedTuple):
    """How much of the loss's gradient is left at each step back in time."""

    norms: Tensor
    """`(steps,)`: mean over the batch of the gradient's norm at the input; `norms[0]` is the last step."""
    decay_per_step: float
    """Factor from one step to the one before it: below 1 it vanishes, above 1 it explodes; NaN if never above 0."""


def lag_gradient(model: nn.Module, loss: Loss[Tensor], sequence: Tensor, *, time_dim: int = 1) -> LagGradient:
    """The gradient of a loss with respect to the input, by how many steps back the input lies.

    Args:
        model: anything that is differentiable with respect to `sequence`: `nn.RNN`, `nn.LSTM`, `nn.GRU`, a loop
            over cells of your own. Left bitwise as it was.
        loss: `loss(model, sequence)`, one number. Let it look at the *last* step only; otherwise each step's own
            loss hides what comes from far.
        sequence: floating point, `(batch, steps, features)` or with the steps elsewhere. For tokens pass the
            embedded ones and let `loss` begin after the embedding.
        time_dim: which dimension of `sequence` is time; the batch is dimension 0, or 1 where time is 0.

    Returns:
        `norms` by lag, and `decay_per_step`, the median slope of their logarithm.

    Raises:
        TypeError: `sequence` is not floating point.
        ValueError: no such dimension, fewer than 2 steps, or a loss that is not one finite number that depends on
            the sequence.

    Helps: to see whether a dependency of n steps can be learnt at all: `decay_per_step ** n` of the gradient
    arrives there.

    Harms: as a verdict on attention or convolutions, whose gradient does not fall off by a factor a step: read
    `norms`, not the factor.

    Costs: one training step.

    Source: Bengio, Simard & Frasconi, "Learning long-term dependencies with gradient descent is difficult", 1994,
    and Pascanu, Mikolov & Bengio, ICML 2013, equation 5; we differentiate by inputs rather than hidden states, so
    that no model has to show its states.

    >>> _ = torch.manual_seed(0)
    >>> rnn = nn.RNN(4, 16, batch_first=True)
    >>> found = lag_gradient(rnn, lambda rnn, x: rnn(x)[0][:, -1].sum(), torch.randn(8, 20, 4))
    >>> found.norms.shape, found.decay_per_step < 1  # torch's default start vanishes
    (torch.Size([20]), True)
    """
    if not sequence.is_floating_point():
        raise TypeError(
            f"lag_gradient() got a sequence of {sequence.dtype}; it needs floating point. For tokens pass the "
            f"embedded ones, and let `loss` begin after the embedding."
        )
    if not -sequence.dim() <= time_dim < sequence.dim() or sequence.shape[time_dim] < 2 or sequence.dim() < 2:
        raise ValueError(
            f"lag_gradient() got a sequence of shape {tuple(sequence.shape)} with time_dim={time_dim}; it needs at "
            f"least 2 steps in that dimension, and a batch dimension."
        )
    time_dim %= sequence.dim()
    with still(model):
        followed = sequence.detach().clone().requires_grad_()
        value = number("lag_gradient", loss(model, followed))
        if not bool(torch.isfinite(value)):
            raise ValueError(f"lag_gradient() got a loss of {value.item()}; it needs a finite one.")
        (grad,) = torch.autograd.grad(value, followed, allow_unused=True) if value.requires_grad else (None,)
    if grad is None:
        raise ValueError(
            "lag_gradient() got a loss that does not depend on the sequence. Is it detached on the way?"
        )
    batch_dim = 1 if time_dim == 0 else 0
    by_step = (
        grad.double()
        .movedim((time_dim, batch_dim), (0, 1))
        .reshape(grad.shape[time_dim], grad.shape[batch_dim], -1)
    )
    norms = by_step.norm(dim=2).mean(dim=1).flip(0)
    seen = norms[norms > 0].log().cpu().numpy()
    lags = np.flatnonzero((norms > 0).cpu().numpy())
    slope = theil_sen(lags, seen).slope if len(lags) > 1 else nan
    return LagGradient(norms, exp(slope))


@torch.no_grad()
def spectral_radius(model: nn.Module | Tensor) -> dict[str, float]:
    """The largest absolute eigenvalue of each recurrent matrix, by name.

    Args:
        model: all `nn.RNN`, `nn.LSTM` and `nn.GRU` in it are looked at, and their cells, gate by gate; or one
            square matrix `(hidden, hidden)` of a cell of your own.

    Returns:
        Name of the parameter, followed by the gate in LSTM and GRU, to radius; `""` for a matrix.

    Raises:
        ValueError: no recurrent layer, or a matrix that is not square or not finite.

    Helps: at the start: below 1 in a plain RNN the past fades by at least about that factor a step, above 1 it can
    grow; `torch.nn.init.orthogonal_` makes it exactly 1.

    Harms: for the gates of LSTM and GRU, which carry the past along another path, and in a trained net, where
    saturation shrinks what the matrix alone says: `lag_gradient` measures what really arrives.

    Costs: one eigenvalue decomposition, n³ for a hidden size n, each; 0.4 s for n = 1024. No pass through the model.

    Source: Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", ICML 2013,
    section 2.1.

    >>> rnn = nn.RNN(3, 8)
    >>> _ = nn.init.orthogonal_(rnn.weight_hh_l0)
    >>> {name: round(radius, 4) for name, radius in spectral_radius(rnn).items()}
    {'weight_hh_l0': 1.0}
    """
    if isinstance(model, Tensor):
        return {"": _radius("the matrix", model)}
    found: dict[str, float] = {}
    for prefix, module in model.named_modules():
        gates = next((gates for kinds, gates in GATES if isinstance(module, kinds)), ())
        for name, parameter in module.named_parameters(recurse=False):
            if not gates or not name.startswith("weight_hh"):
                continue
            weight = parameter.detach()
            if getattr(module, "proj_size", 0):  # what returns is projected first
                weight = weight @ module.get_parameter(name.replace("weight_hh", "weight_hr"))
            place = f"{prefix}.{name}" if prefix else name
            for gate, matrix in zip(gates, weight.chunk(len(gates)), strict=True):
                found[place + gate] = _radius(f"`{place}`", matrix)
    if not found:
        raise ValueError(
            f"spectral_radius() got {type(model).__name__} without a recurrent layer of torch. "
            f"Pass the recurrent matrix of a cell of your own."
        )
    return found


def _radius(what: str, matrix: Tensor) -> float:
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1] or not bool(torch.isfinite(matrix).all()):
        raise ValueError(
            f"spectral_radius() got {what} of shape {tuple(matrix.shape)}; it needs a square one of finite numbers."
        )
    return float(torch.linalg.eigvals(matrix.double()).abs().max())
