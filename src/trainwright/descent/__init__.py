"""Steepest descent, whose one choice is how a step is measured, and SAM.

The gradient says how the loss changes; which step of length 1 lowers it most depends on the norm by which length is
measured. Under ℓ2 it is the gradient's own direction, under ℓ1 a single coordinate, under ℓ∞ every sign, under the
spectral norm of matrices the nearest orthogonal one. The rest of an optimiser is how long the step is and what it
remembers.

Which one: for training take torch's. `torch.optim.SGD` with momentum is the second of these, `AdamW` is close to the
third, `torch.optim.Muon` is the fourth, for matrices. `SteepestDescent` is the family in one place, for convolutions
too, to compare them. torch also has AdaGrad (whose rate only falls: it stalls on long runs), RMSprop and Adam. `sam`
goes around any of them.
"""

from .orthogonal import orthogonalize
from .sharpness import sam
from .steepest import Norm, SteepestDescent

__all__ = ["Norm", "SteepestDescent", "orthogonalize", "sam"]
