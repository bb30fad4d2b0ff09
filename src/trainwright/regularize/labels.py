"""Softened labels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["cross_entropy"]


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    smoothing: float = 0.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    """Cross-entropy with smoothed labels in which class weights, ignored labels and soft targets go together.

    A sample of class c is one of weight w_c whose target is 1 − ε on c plus ε/classes everywhere; a soft target is a
    mixture of such samples. The mean is over weights, so a one-hot target gives what its index gives.

    Args:
        logits: `(batch, classes)` or `(batch, classes, ...)`.
        target: indices `(batch, ...)`, or shares of the shape of `logits`; a row of zeros is ignored.
        smoothing: ε, in [0, 1); 0.1 is usual.
        weight: `(classes,)`, none negative; `None` is 1 for each.
        ignore_index: the index that does not count.
        reduction: over samples.

    Returns:
        A scalar, or `(batch, ...)` with "none". If all is ignored, 0.

    Raises:
        ValueError: shapes that do not belong together, or a smoothing outside [0, 1).

    Helps: over-confident classifiers; labels with a few errors; mixed samples of rare classes.

    Harms: distillation from the model later, and thresholds on its confidence. Count accuracy on hard labels.

    Costs: one more mean over the classes than without smoothing.

    Source: Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7. Equal to
    `torch.nn.functional.cross_entropy` but for two cases: with weights and smoothing, torch weighs the uniform part by
    class too, so that frequent classes are smoothed less; with weights and soft targets, torch divides by the number
    of samples, not by their weights. Also, torch refuses soft targets with `ignore_index`, and gives NaN if all are.

    >>> logits, y = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, -100])
    >>> cross_entropy(logits, y, smoothing=0.1, weight=torch.tensor([1.0, 5.0]))
    tensor(0.2269)
    """
    soft = target.is_floating_point()
    expected = logits.shape if soft else logits.shape[:1] + logits.shape[2:]
    if logits.ndim < 2 or target.shape != expected:
        raise ValueError(
            f"cross_entropy() got logits of shape {tuple(logits.shape)} and targets of shape {tuple(target.shape)}; "
            f"it takes (batch, classes, ...), and indices (batch, ...) or shares of the shape of the logits."
        )
    classes = logits.shape[1]
    if weight is not None and weight.shape != (classes,):
        raise ValueError(
            f"cross_entropy() got {tuple(weight.shape)} weights for {classes} classes; one for each."
        )
    if not 0 <= smoothing < 1:
        raise ValueError(f"cross_entropy() got smoothing={smoothing}; it lies in [0, 1), 0.1 is usual.")
    log_p = F.log_softmax(logits, 1)
    if soft:
        mass = target if weight is None else target * weight.view(-1, *[1] * (logits.ndim - 2))
        each, fit = mass.sum(1), -(mass * log_p).sum(1)
    else:
        kept = target != ignore_index
        index = torch.where(kept, target, 0)
        each = kept.to(log_p.dtype) if weight is None else torch.where(kept, weight[index].to(log_p.dtype), 0)
        fit = torch.where(kept, -log_p.gather(1, index.unsqueeze(1)).squeeze(1), 0) * each
    if smoothing > 0:
        flat = torch.where(each > 0, -log_p.mean(1), 0)
        fit = (1 - smoothing) * fit + smoothing * each * flat
    if reduction == "none":
        return fit
    total = each.sum() if reduction == "mean" else torch.ones_like(each.sum())
    return fit.sum() / torch.where(total > 0, total, 1)
