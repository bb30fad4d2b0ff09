"""Signals of the gradient that the optimiser is about to use."""

from __future__ import annotations

from ..core import Moment, Reading, Training, signal


@signal(at=Moment.GRAD, unit="loss per unit of weight")
def grad_norm(training: Training) -> Reading | None:
    """Euclidean norm of each parameter's gradient (of this rank's shard where it is sharded)."""
    import torch

    names, grads = [], []
    for name, p in training.parameters.items():
        if p.grad is not None and not p.grad.is_sparse:
            names.append(name)
            grads.append(getattr(p.grad, "_local_tensor", p.grad))
    if not grads:
        return None
    norms = torch.stack([n.float() for n in torch._foreach_norm(grads)])
    return tuple(names), norms if training.grad_scale is None else norms / training.grad_scale.to(
        norms.device
    )


@signal(at=Moment.GRAD, unit="ratio")
def leftover_grad(training: Training) -> Reading | None:
    """Norm of the gradient that was left over from the last step when this step's first backward began, over
    its norm now.

    0 where gradients are zeroed between steps. Read at up to three parameters of each optimiser.
    """
    import torch

    left = training.memory.get("leftover_grad")
    if not isinstance(left, dict):
        return None
    names, ratios = [], []
    for name in [n for n in left if n in training.parameters]:
        before = left.pop(name)
        p = training.parameters[name]
        if p.grad is not None:
            names.append(name)
            now = getattr(p.grad, "_local_tensor", p.grad).norm().float().clamp_min(1e-30)
            # Nothing left over is nothing, whatever the gradient is now: it may not be a number.
            ratios.append(torch.as_tensor(before, device=now.device) / now if before else now.new_zeros(()))
    return (tuple(names), torch.stack(ratios)) if names else None
