"""Single layers, drawn by fans or orthogonal."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from ._flow.owners import InPlace, owner_of
from ._flow.recurrent import GATES, recurrent_weights_
from ._flow.run import check
from ._flow.weights import Layout, as_stored, canonical, normal, orthogonal

__all__ = ["Fans", "delta_orthogonal_", "fans", "orthogonal_", "recurrent_", "scaled_"]

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
Recurrent = nn.RNNBase | nn.RNNCellBase
LayerT = TypeVar("LayerT", bound=nn.Module)
RecurrentT = TypeVar("RecurrentT", bound=nn.Module)


class Fans(NamedTuple):
    """How many numbers feed one output of a layer, and how many outputs one input feeds.

    Helps: to compute a starting weight's spread by hand.
    Harms: nowhere.
    Costs: nothing.
    Source: the definition.

    >>> Fans(9.0, 9.0).fan_in
    9.0
    """

    fan_in: float
    fan_out: float


def fans(layer: nn.Module) -> Fans:
    """Fan-in and fan-out of a linear layer or convolution, as the sums in its forward and backward pass really are.

    Args:
        layer: linear, convolution or transposed convolution; grouped and strided ones, too.

    Returns:
        `Fans(fan_in, fan_out)`, averages where a stride makes them differ from place to place; borders are not counted.

    Raises:
        TypeError: another kind of layer.

    Helps: wherever a formula says n_in and n_out.
    Harms: nowhere.
    Costs: nothing.
    Source: He et al. 2015, equations 8 and 13. `torch.nn.init` takes a transposed convolution's fans the wrong way
        round, multiplies a grouped one's fan-out by the groups (576 for 9 in a depthwise convolution of 64 channels),
        and leaves out strides.

    >>> fans(nn.Conv2d(64, 64, 3, groups=64)), fans(nn.ConvTranspose2d(16, 8, 4, stride=2))
    (Fans(fan_in=9.0, fan_out=9.0), Fans(fan_in=64.0, fan_out=128.0))
    """
    layout, groups = laid(layer, "fans()")
    weight = layer.weight
    assert isinstance(weight, Tensor)
    _, outputs, inputs, taps = canonical(layout, tuple(weight.shape), groups)
    stride = math.prod(layer.stride) if isinstance(layer, Convolution | Transposed) else 1
    if layout == "transposed":
        return Fans(inputs * taps / stride, float(outputs * taps))
    return Fans(float(inputs * taps), outputs * taps / stride)


@torch.no_grad()
def scaled_(
    layer: LayerT,
    gain: float = 1.0,
    mode: Literal["fan_in", "fan_out", "average"] = "fan_in",
    distribution: Literal["normal", "uniform"] = "normal",
    generator: torch.Generator | None = None,
) -> LayerT:
    """Draw a layer's weight with variance gain²/n, n from its true fans; its bias becomes 0.

    LeCun: gain 1, fan_in. Xavier or Glorot: gain 1, average (of both fans: variance 2/(n_in + n_out)). He: gain √2 for
    ReLU, `activation.gain(f)` for another f, with fan_in to keep the signal or fan_out to keep the gradient.

    Args:
        layer: linear, convolution or transposed convolution; grouped ones, too.
        gain: > 0.
        mode: what n is.
        distribution: normal, or uniform on ±gain·√(3/n), of the same variance.
        generator: where weights are drawn from; torch's own by default.

    Returns:
        `layer` itself.

    Raises:
        TypeError: another kind of layer.
        ValueError: gain not above 0, an unknown mode or distribution, or a weight on `meta`.

    Helps: to follow a paper to the letter. For linear layers it is `torch.nn.init.kaiming_normal_` and the like.
    Harms: Xavier's assumes no activation that kills half the signal: ReLU nets of ten layers lose it.
    Costs: one draw.
    Source: LeCun et al., "Efficient backprop", 1998, equation 16; Glorot & Bengio 2010, equation 16; He et al. 2015,
        equations 10 and 14.

    >>> layer = scaled_(nn.ConvTranspose2d(256, 64, 4, stride=2), gain=math.sqrt(2))
    >>> round(layer(torch.randn(4, 256, 9, 9)).std().item() ** 2, 0)
    2.0
    """
    if (
        not gain > 0
        or mode not in {"fan_in", "fan_out", "average"}
        or distribution not in {"normal", "uniform"}
    ):
        raise ValueError(
            f"scaled_() got gain={gain}, mode={mode!r}, distribution={distribution!r}; it needs a gain above 0, a "
            f"mode of 'fan_in', 'fan_out' or 'average', and 'normal' or 'uniform'."
        )
    n = {"fan_in": fans(layer)[0], "fan_out": fans(layer)[1], "average": sum(fans(layer)) / 2}[mode]
    shape = tuple(layer.weight.shape)  # type: ignore[arg-type]
    if distribution == "normal":
        drawn = normal(shape, generator)
    else:
        drawn = torch.rand(shape, generator=generator, device=generator.device if generator else None)
        drawn = (2 * drawn - 1) * math.sqrt(3)
    return put(layer, drawn * (gain / math.sqrt(n)), "scaled_()")


@torch.no_grad()
def orthogonal_(layer: LayerT, gain: float = 1.0, generator: torch.Generator | None = None) -> LayerT:
    """Draw a layer's weight orthogonal, each group by itself, keeping variance also where the layer widens.

    Rows have mean square length `gain`², so that inputs of variance 1 give outputs of variance gain². A convolution's
    row is the whole patch that an output sees. The bias becomes 0.

    Args:
        layer: linear, convolution or transposed convolution; grouped ones, too.
        gain: > 0, as `activation.gain(f)`.
        generator: where weights are drawn from; torch's own by default.

    Returns:
        `layer` itself.

    Raises:
        TypeError: another kind of layer.
        ValueError: gain not above 0, or a weight on `meta`.

    Helps: deep nets of tanh and the like, where it keeps every direction's length and not just the average.
    Harms: nowhere but in time.
    Costs: a QR decomposition; matrices of more than about 2,700 x 2,700 are drawn normal, which is nearly the same.
    Source: Saxe, McClelland & Ganguli, "Exact solutions to the nonlinear dynamics of learning", ICLR 2014. Unlike
        `torch.nn.init.orthogonal_` with the factor √(out/in) where out > in: 100 -> 1000 units keep a tenth there.

    >>> layer = orthogonal_(nn.Linear(100, 1000))
    >>> round(layer(torch.randn(64, 100)).var().item(), 1)
    1.0
    """
    if not gain > 0:
        raise ValueError(f"orthogonal_() got gain={gain}; it needs a gain above 0.")
    layout, groups = laid(layer, "orthogonal_()")
    shape = tuple(layer.weight.shape)  # type: ignore[arg-type]
    count, outputs, inputs, taps = canonical(layout, shape, groups)
    drawn = orthogonal(count, outputs, inputs * taps, generator).reshape(count, outputs, inputs, taps) * gain
    return put(layer, as_stored(drawn, layout, shape), "orthogonal_()")


@torch.no_grad()
def delta_orthogonal_(layer: LayerT, gain: float = 1.0, generator: torch.Generator | None = None) -> LayerT:
    """Draw a convolution's weight as an orthogonal matrix at its middle and zero elsewhere.

    Args:
        layer: a convolution without groups, odd kernel sizes, and at least as many outputs as inputs.
        gain: > 0.
        generator: where weights are drawn from; torch's own by default.

    Returns:
        `layer` itself; its bias becomes 0.

    Raises:
        TypeError: no convolution.
        ValueError: groups, an even kernel, fewer outputs than inputs (no such matrix keeps all lengths), gain not above
            0, or a weight on `meta`.

    Helps: plain convolutional nets of hundreds or thousands of layers with tanh.
    Harms: the net starts without seeing neighbours; shallow nets learn slower from it.
    Costs: one QR decomposition.
    Source: Xiao et al., "Dynamical isometry and a mean field theory of CNNs", ICML 2018, algorithm 1.

    >>> layer = delta_orthogonal_(nn.Conv2d(16, 16, 3, padding=1))
    >>> x = torch.randn(2, 16, 8, 8)
    >>> torch.allclose(layer(x).norm(), x.norm(), rtol=1e-4)
    True
    """
    if not isinstance(layer, Convolution):
        raise TypeError(f"delta_orthogonal_() got {type(layer).__name__}; it needs a convolution.")
    if (
        layer.groups != 1
        or any(k % 2 == 0 for k in layer.kernel_size)
        or layer.out_channels < layer.in_channels
    ):
        raise ValueError(
            f"delta_orthogonal_() got {layer}; it needs groups=1, odd kernel sizes and out_channels >= in_channels. "
            f"Use orthogonal_()."
        )
    if not gain > 0:
        raise ValueError(f"delta_orthogonal_() got gain={gain}; it needs a gain above 0.")
    drawn = torch.zeros(tuple(layer.weight.shape))
    matrix = orthogonal(1, layer.out_channels, layer.in_channels, generator)[0].cpu()
    middle = drawn.flatten(2).shape[2] // 2  # kernel sizes are odd
    drawn.flatten(2)[:, :, middle] = matrix * gain * math.sqrt(layer.in_channels / layer.out_channels)
    return put(layer, drawn, "delta_orthogonal_()")


@torch.no_grad()
def recurrent_(
    rnn: RecurrentT, forget_bias: float = 1.0, generator: torch.Generator | None = None
) -> RecurrentT:
    """Start an LSTM, GRU, RNN or a cell of them: orthogonal matrices gate by gate, and LSTMs that remember.

    Inputs of variance 1 give each gate variance 1. Biases are 0 but for that of the LSTM's forget gate.

    Args:
        rnn: `nn.LSTM`, `nn.GRU`, `nn.RNN`, of any number of layers and ways, or their cells.
        forget_bias: the sum of both biases of the forget gate; 1 keeps about 3/4 of the memory a step.
        generator: where weights are drawn from; torch's own by default.

    Returns:
        `rnn` itself.

    Raises:
        TypeError: no recurrent module.
        ValueError: a weight on `meta`.

    Helps: sequences longer than a few dozen steps. torch starts both of an LSTM's biases near 0, so that half the
        memory is gone after each step, and its matrices from U(-1/√h, 1/√h).
    Harms: where old inputs must be forgotten fast.
    Costs: one QR decomposition a gate.
    Source: Saxe et al. 2014 (orthogonal); Gers, Schmidhuber & Cummins 2000 and Jozefowicz, Zaremba & Sutskever 2015
        (bias of 1). torch adds two biases: here the second is 0.

    >>> rnn = recurrent_(nn.LSTM(8, 16))
    >>> rnn.bias_ih_l0[16:32].mean().item(), rnn.bias_hh_l0.abs().sum().item()
    (1.0, 0.0)
    """
    if not isinstance(rnn, Recurrent):
        raise TypeError(
            f"recurrent_() got {type(rnn).__name__}; it needs an LSTM, GRU or RNN, or a cell of one."
        )
    check(rnn, "recurrent_()")
    gates = next(n for name, n in GATES.items() if name.partition("_")[0] in type(rnn).__name__.lower())
    rows = rnn.all_weights if isinstance(rnn, nn.RNNBase) else [list(rnn.parameters())]
    for row in rows:
        recurrent_weights_(list(row), gates, 1.0, generator, forget_bias)
    return rnn


def laid(layer: nn.Module, who: str) -> tuple[Layout, int]:
    """How a layer's weight lies, and its groups."""
    if isinstance(layer, nn.Linear):
        return "out_in", 1
    if isinstance(layer, Transposed):
        return "transposed", layer.groups
    if isinstance(layer, Convolution):
        return "out_in", layer.groups
    raise TypeError(
        f"{who} got {type(layer).__name__}; it needs a linear layer, convolution or transposed convolution."
    )


def put(layer: LayerT, value: Tensor, who: str) -> LayerT:
    """Write a drawn weight into a layer, through weight norm if it has one; zero its bias."""
    check(layer, who)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    names = tuple(n for n, _ in layer.named_parameters() if "weight" in n)
    owner = owner_of(layer, names, weight) or InPlace(weight)
    owner.write(value.to(weight))
    if isinstance(layer.bias, Tensor):
        layer.bias.zero_()
    return layer
