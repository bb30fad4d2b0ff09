"""What an activation makes of a signal and of its gradient: moments, gain, and where it is flat."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import activation as torchs

__all__ = ["Moments", "gain", "is_activation", "moments", "responsive", "saturates"]

Function = Callable[[Tensor], Tensor]

FLAT = 0.05
"""A function is flat where its slope is below this share of its steepest slope; so says `saturated-units`, too."""

MIXES = (nn.GLU, nn.MultiheadAttention, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax)
ELEMENTWISE = tuple({getattr(torchs, name) for name in torchs.__all__} - {*MIXES})


class Moments(NamedTuple):
    """What a function f makes of z ~ N(0, 1).

    Helps: to see what a layer does to the signal on its way forward and back.

    Harms: nowhere; far from mean 0 and variance 1 the numbers are others.

    Costs: nothing: three numbers.

    Source: Poole et al., "Exponential expressivity in deep neural networks through transient chaos", NeurIPS 2016.

    >>> Moments(mean=0.4, square=0.5, slope_square=0.5).square
    0.5
    """

    mean: float
    """E f(z)"""
    square: float
    """E f(z)^2: what the signal's second moment is multiplied by on its way forward."""
    slope_square: float
    """E f'(z)^2: what the gradient's second moment is multiplied by on its way back."""


def gain(activation: nn.Module | Function) -> float:
    """The factor on the weights that keeps the signal's second moment: 1 / sqrt(E f(z)^2), z ~ N(0, 1).

    Weights of variance gain^2 / fan_in before this activation give its output a mean square of 1.

    Args:
        activation: a module as `nn.GELU()` or a function as `torch.tanh`, acting on each number alone. Parts that are
            random in training (`nn.RReLU`) are taken as in testing.

    Returns:
        The gain, > 0, to 8 digits.

    Raises:
        ValueError: the activation mixes numbers (softmax, GLU), gives a value that is not finite, or is 0 everywhere.

    Helps: to choose the spread of starting weights for a layer by the activation that follows it.

    Harms: before batch or layer norm it changes nothing, since those rescale anyway. It looks at the way forward only;
    for the way back see `moments`.

    Costs: about a millisecond: some 37,000 evaluations of the function.

    Source: He et al., "Delving deep into rectifiers", ICCV 2015, equations 8-10, for any function in place of ReLU. Not
    `torch.nn.init.calculate_gain`: that of tanh is 5/3 there, 1.593 here.

    >>> round(gain(nn.ReLU()), 4), round(gain(torch.tanh), 4), round(gain(nn.GELU()), 4)
    (1.4142, 1.5925, 1.5335)
    """
    square = moments(activation).square
    if square == 0:
        raise ValueError(
            f"{_name(activation)} gives 0 for every input, so no weights can keep a signal through it."
        )
    return 1 / math.sqrt(square)


def moments(activation: nn.Module | Function) -> Moments:
    """Mean and mean square of an activation's output and the mean square of its slope, for z ~ N(0, 1).

    By quadrature: two Gauss points in each cell of width 1/1024 from -9 to 9. That is exact to 1e-10 for smooth
    functions and for kinks and jumps at multiples of 1/1024, to 1e-7 for kinks elsewhere and to 1e-4 for jumps
    elsewhere. The slope is autograd's, so a function with a gradient of its own making is judged by that.

    Args:
        activation: a module or a function, acting on each number alone.

    Returns:
        `Moments(mean, square, slope_square)`.

    Raises:
        ValueError: the activation mixes numbers (softmax, GLU) or gives a value that is not finite.

    Helps: where `square * gain**2` and `slope_square * gain**2` are both near 1, signal and gradient both keep their
    size over many layers; for most functions that holds for one of them only.

    Harms: nowhere, but says nothing on inputs far from variance 1.

    Costs: about two milliseconds.

    Source: Poole et al., NeurIPS 2016; Schoenholz et al., "Deep information propagation", ICLR 2017 (chi_1 there is
    `slope_square` times the weights' variance).

    >>> [round(x, 4) for x in moments(nn.ReLU())]
    [0.3989, 0.5, 0.5]
    """
    x, weight = _grid()
    y, slope = _evaluate(activation, x)
    return Moments(*(float(weight @ v) for v in (y, y * y, slope * slope)))


def responsive(activation: nn.Module | Function) -> tuple[float, float]:
    """The interval of inputs outside which an activation is flat: its slope below 5 % of its steepest.

    Args:
        activation: a module or a function, acting on each number alone.

    Returns:
        `(low, high)`, to 1/256; an end is infinite where the function still has a slope at 64.

    Raises:
        ValueError: the activation mixes numbers, gives a value that is not finite, or has no slope anywhere.

    Helps: to see how large the inputs of a layer may be before its gradient is lost.

    Harms: nowhere.

    Costs: about a millisecond.

    Source: the 5 % are a convention of ours, the one that the rule `saturated-units` uses.

    >>> [round(x, 2) for x in responsive(torch.tanh)], responsive(nn.ReLU())[1]
    ([-2.18, 2.18], inf)
    """
    x = torch.arange(-64 * 256, 64 * 256 + 1, dtype=torch.float64, device="cpu") / 256
    slope = _evaluate(activation, x)[1].abs()
    steepest = float(slope.max())
    if steepest == 0:
        raise ValueError(
            f"{_name(activation)} has slope 0 everywhere: no gradient comes through it, so it cannot train."
        )
    steep = x[slope >= FLAT * steepest]
    low, high = float(steep[0]), float(steep[-1])
    return -math.inf if low == x[0] else low, math.inf if high == x[-1] else high


def saturates(activation: nn.Module | Function) -> bool:
    """Whether an activation is flat at both ends, as sigmoid, tanh, softsign and the hard versions are; measured.

    Args:
        activation: a module or a function, acting on each number alone.

    Returns:
        True where both ends of `responsive` are finite. ReLU, ELU, GELU and SiLU are flat at one end only: False.

    Raises:
        ValueError: as `responsive`.

    Helps: to tell activations that lose the gradient of large inputs on either side.

    Harms: in a gate (LSTM, attention) and at the output saturation is wanted.

    Costs: about a millisecond.

    Source: Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.

    >>> saturates(nn.Softsign()), saturates(nn.SiLU())
    (True, False)
    """
    return all(map(math.isfinite, responsive(activation)))


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation: acts on each number alone, and is no straight line.

    torch's own are known. A module of another library or your own is tried on a few numbers (in testing mode, without
    its hooks) if it has no children, no buffers and no weight matrix. Softmax, GLU and attention are none, as they
    mix numbers; dropout and identity are none, as they change nothing in testing.

    Args:
        module: any module.

    Returns:
        True or False; False, too, if the module cannot take a vector.

    Helps: to find the activations of any model.

    Harms: a module of your own with a memory (a counter in its forward) notices the try.

    Costs: under a microsecond for torch's, some 100 microseconds for others.

    Source: the definition.

    >>> [is_activation(m) for m in (nn.GELU(), nn.Softmax(-1), nn.Dropout(0.5))]
    [True, False, False]
    """
    if isinstance(module, ELEMENTWISE):
        return True
    if type(module).__module__.startswith("torch.nn.") or module._modules or module._buffers:
        return False
    if any(p.is_meta or p.ndim > 1 for p in module.parameters()):
        return False
    x = torch.tensor([-8.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 8.0], device="cpu")
    try:
        with torch.no_grad():
            y, half = _output(module, x), _output(module, x[:5])
    except Exception:  # whatever it is that takes no vector, it is no activation
        return False
    if y.shape != x.shape or not torch.allclose(y[:5], half, rtol=1e-5):
        return False
    straight = y[4] + x * (y[6] - y[4])
    return not torch.allclose(y, straight, rtol=1e-4, atol=1e-4)


@cache
def _grid() -> tuple[Tensor, Tensor]:
    """Points from -9 to 9 and their weights under the standard normal density."""
    with torch.inference_mode(False):
        middle = (torch.arange(-9 * 1024, 9 * 1024, dtype=torch.float64, device="cpu") + 0.5) / 1024
        off = 0.5 / 1024 / math.sqrt(3)  # the two Gauss points of a cell of width 1/1024
        x = torch.stack([middle - off, middle + off], dim=1).flatten()
        return x, torch.exp(-x * x / 2) / math.sqrt(2 * math.pi) * (0.5 / 1024)


@torch.inference_mode(False)
@torch.enable_grad()
def _evaluate(activation: nn.Module | Function, points: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slope at each point, `(points,)` both."""
    x = points.clone().requires_grad_()
    y = _output(activation, x * 1)  # * 1: in-place functions may not write into a leaf
    if y.shape != x.shape or not torch.allclose(
        y[:9], _output(activation, points[:9].clone()), 1e-5, equal_nan=True
    ):
        raise ValueError(
            f"{_name(activation)} does not act on each number alone (it mixes them, or is random), so it has no curve."
        )
    value = y.detach().to(torch.float64)
    if not value.isfinite().all():
        z = float(points[~value.isfinite()][0])
        raise ValueError(f"{_name(activation)} gives a value that is not finite at z = {z:.3g}.")
    if not y.requires_grad:
        return value, torch.zeros_like(value)
    return value, torch.autograd.grad(y.sum(), x)[0]


def _output(activation: nn.Module | Function, x: Tensor) -> Tensor:
    """What it makes of a vector: in testing mode, without hooks, on the processor."""
    if not isinstance(activation, nn.Module):
        return activation(x)
    if isinstance(activation, nn.PReLU):  # a slope a channel: its curve is the one with their mean square
        if activation.weight.is_meta:
            raise ValueError("This PReLU is on the `meta` device, so its slopes are not known yet.")
        slope = activation.weight.detach().to("cpu", x.dtype).square().mean().sqrt()
        return torch.where(x > 0, x, x * slope)
    at = next(activation.parameters(), x).device
    with evaluating(activation):
        y: Tensor = activation.forward(x.to(at))
        return y.to("cpu")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Testing mode for a while; each module gets its own mode back."""
    modes = {m: m.training for m in model.modules()}
    try:
        for m in modes:
            vars(m)["training"] = (
                False  # not through Module.__setattr__, which takes longer than all else here
            )
        yield
    finally:
        for m, mode in modes.items():
            vars(m)["training"] = mode


def _name(activation: nn.Module | Function) -> str:
    return (
        repr(activation)
        if isinstance(activation, nn.Module)
        else getattr(activation, "__name__", repr(activation))
    )
