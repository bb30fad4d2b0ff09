"""Signals of the weights and of what a step does to them."""

from __future__ import annotations

from ..core import Moment, Reading, Training, signal


@signal(at=Moment.STEP, unit="weight")
def weight_norm(training: Training) -> Reading | None:
    """Euclidean norm of each trainable parameter (of this rank's shard where it is sharded)."""
    import torch

    names, tensors = [], []
    for name, p in training.parameters.items():
        if p.requires_grad:
            names.append(name)
            tensors.append(getattr(p.detach(), "_local_tensor", p.detach()))
    if not tensors:
        return None
    return tuple(names), torch.stack([n.float() for n in torch._foreach_norm(tensors)])


@signal(at=Moment.STEP, unit="ratio")
def update_ratio(training: Training) -> Reading | None:
    """Size of the step over size of the weight, root mean square over at most 4,096 elements of each
    parameter.

    The weight's size has a floor of 1e-3, so that a bias that starts at zero does not give an infinite ratio.
    """
    import torch

    from .sample import weight_sample

    names, now, before = [], [], []
    for name, old in training.before.items():
        p = training.parameters.get(name)
        if p is not None:
            names.append(name)
            now.append(weight_sample(p))
            before.append(old)
    if not names:
        return None
    moved = torch._foreach_norm(torch._foreach_sub(now, before))
    root = torch.tensor([old.numel() for old in before], device=moved[0].device).sqrt()
    rms = torch.stack([n.float() for n in torch._foreach_norm(before)]) / root
    return tuple(names), torch.stack([n.float() for n in moved]) / root / rms.clamp_min(1e-3)
