"""The shape of the loss around the weights: how sharp, how noisy, how far back, and what lies between two nets.

Every measure takes the model, `loss(model, batch)` and a list of batches, and leaves everything bitwise as it
found it: weights, gradients, buffers, modes and random states. Inside, dropout is fixed, so that a measure sees
one function. The model is measured in the mode it is in: call `model.eval()` first to measure without dropout
and with batch norm's running statistics.

Which one to choose:

- the rate seems wrong: `stability` (for your optimiser), or `along_gradient` (cheap);
- the loss stands still: `standstill`, `eigenvalues`;
- how large a batch pays: `noise_scale`;
- a recurrent network forgets: `lag_gradient`, and `spectral_radius` before training;
- two sets of weights, or the way from start to end: `line`; a picture: `plane`;
- your own measure: `hessian_vector`, `trace`, `random_direction`.

All differentiate twice, which not every kernel can. Torch's attention is switched to its plain form and cuDNN's
recurrent kernels off while a measure runs, and back on after it; a compiled model must be passed as it was before
`torch.compile`. Weights in float64 are measured in float64 (`copy.deepcopy(model).double()`), all others in
float32.

Costs are given in training steps of the same model on the same batch (forward, backward, Adam), as measured by
`bench/toolkit/curvature.py` on four networks of 0.3 to 0.9 million weights on a CPU.

Torch has `torch.func.hessian` and `torch.autograd.functional.hessian` for the full Hessian: use them below a few
thousand weights.
"""

from .edge import stability
from .hessian import eigenvalues, hessian_vector, trace
from .landscape import line, plane, random_direction
from .noise import noise_scale
from .place import along_gradient, standstill
from .recurrent import lag_gradient, spectral_radius

__all__ = [
    "along_gradient",
    "eigenvalues",
    "hessian_vector",
    "lag_gradient",
    "line",
    "noise_scale",
    "plane",
    "random_direction",
    "spectral_radius",
    "stability",
    "standstill",
    "trace",
]
