"""Gradient clipping: by norm, by value, and by the size of the weights.

`by_norm_` first: it keeps the direction. `adaptive_` where one limit does not fit all layers, as in nets without
normalisation. `by_value_` changes the direction; it is for single wild coordinates. All act between `loss.backward()`
and `optimizer.step()`, once a step, after the last of several accumulated backwards. Clipping at nearly every step
means that the limit has become the step size: lower the rate or raise the limit.

torch has `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_`, and where gradients are finite they are as good. What
they lack: one infinite gradient makes `clip_grad_norm_` turn all others to 0 and itself to NaN, and `clip_grad_value_`
make it look harmless; norms of half-precision gradients are rounded to half precision; for sharded parameters the norm
that comes back is a `DTensor`, and parameters on different meshes are refused; nothing tells gradients that a
`GradScaler` still multiplies. Clipping by the weights' size torch does not have.

With a scaler, in this order: `scaler.scale(loss).backward()`, `scaler.unscale_(optimizer)`, clip,
`scaler.step(optimizer)`, `scaler.update()`. Pass `scaler=` and the clipping refuses gradients that were not unscaled;
from the gradients alone it cannot be known.
"""

from .adaptive import adaptive_
from .norm import by_norm_
from .value import by_value_

__all__ = ["adaptive_", "by_norm_", "by_value_"]
