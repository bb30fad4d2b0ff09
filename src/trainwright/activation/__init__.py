"""Activation functions: what each does to a signal and to its gradient, measured; and how to change them.

Take ReLU unless something speaks against it: it is the cheapest, its slope is 1 wherever a unit is on, so that
gradients do not shrink from layer to layer, and starting weights for it are known (`gain` is the square root of 2).
Where units die (report `dead-units`), leaky ReLU, ELU or SiLU let a gradient through on the other side; GELU and
SiLU are what transformers use. Sigmoid, tanh, softsign and the hard versions are flat at both ends (`saturates`):
there the gradient is lost, so they belong into gates and outputs, not between many layers.

Any function will do that is not a polynomial. A polynomial one cannot: however wide the layer, a net of one hidden
layer then only gives polynomials of the same degree (Leshno, Lin, Pinkus & Schocken, "Multilayer feedforward networks
with a nonpolynomial activation function can approximate any function", Neural Networks 1993).

torch has the functions themselves (`torch.nn`, `torch.nn.functional`). Its `torch.nn.init.calculate_gain` knows six of
them and raises for GELU, SiLU, Mish, ELU and softsign; its 5/3 for tanh and 3/4 for SELU are conventions. Here
the gain of any function is measured.

To change the activations of a model that exists, `swap_`: `setattr` on each parent has the traps of shared instances,
hooks and the fast path of `nn.TransformerEncoderLayer`. `activations` says which modules it reaches, `functional` lists
what no swap reaches: functions called in a `forward`, as `F.relu(x)`.
"""

from .curve import Moments, gain, is_activation, moments, responsive, saturates
from .swap import activations, functional, swap_

__all__ = [
    "Moments",
    "activations",
    "functional",
    "gain",
    "is_activation",
    "moments",
    "responsive",
    "saturates",
    "swap_",
]
