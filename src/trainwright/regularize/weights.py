"""Decay, the lasso and the norm limit: what pulls weights toward zero."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..shards import whole
from ._given import at_least_0, by_kind, given, sample_count, share_of_1, sum_of_powers, wide

__all__ = ["Sparsity", "decay_", "l1_prox_", "max_norm_", "penalty", "sparsity"]


def penalty(
    parameters: Tensor | Iterable[Tensor], *, l1: float = 0.0, l2: float = 0.0, samples: int = 1
) -> Tensor:
    """The number to add to a loss: λ₁/N·Σ|θ| + λ₂/2N·Σθ². L1, L2, or with both the elastic net.

    Args:
        parameters: without biases and norm scales, e.g. `[p for p in net.parameters() if p.ndim > 1]`.
        l1: λ₁, at least 0.
        l2: λ₂, at least 0.
        samples: N, the number of training samples.

    Returns:
        A scalar with gradient, at least float32.

    Raises:
        ValueError: no parameters; a strength that is negative or not finite, or both 0; `samples` below 1.

    Helps: the penalty itself is to be logged or differentiated; optimisers without `weight_decay`.

    Harms: under Adam it is not weight decay, for it is divided by the gradient's size like all else: take AdamW or
    `decay_`. Its L1 part never gives a weight that is zero: take `l1_prox_`.

    Costs: a norm and its gradient for every weight; SGD's own `weight_decay` is cheaper and the same as `l2`.

    Source: Zou & Hastie, "Regularization and variable selection via the elastic net", 2005, with our λ/N and λ/2N.

    >>> net = nn.Linear(2, 1)
    >>> with torch.no_grad(): _ = net.weight.copy_(torch.tensor([[3.0, -4.0]]))
    >>> penalty(net.weight, l2=2.0, samples=5).item(), penalty(net.weight, l1=1.0).item()
    (5.0, 7.0)
    """
    kept = given("penalty", parameters)
    at_least_0("penalty", l1=l1, l2=l2)
    count = sample_count("penalty", samples)
    if l1 == l2 == 0:
        raise ValueError(
            "penalty() got l1=0 and l2=0; it needs one above 0. Leave the penalty out to have none."
        )
    number: Tensor = _Penalty.apply(l1 / count, l2 / count, *kept)  # type: ignore[no-untyped-call]
    return number


class _Penalty(torch.autograd.Function):
    """a·Σ|θ| + b/2·Σθ², whose gradient a·sign(θ) + b·θ needs no more than the weights: a third of the time
    that autograd takes through the norms."""

    @staticmethod
    def forward(ctx: Any, a: float, b: float, *weights: Tensor) -> Tensor:
        ctx.strengths = a, b
        ctx.save_for_backward(*weights)
        terms = [c * sum_of_powers(list(weights), power) for c, power in ((a, 1), (b / 2, 2)) if c]
        return torch.stack(terms).sum()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.strengths
        of_weights: list[Tensor | None] = []
        for w, wanted in zip(ctx.saved_tensors, ctx.needs_input_grad[2:], strict=True):
            grad = grads[0].to(w.device)
            terms = [w.sign().mul_(a * grad)] if a and wanted else []
            terms += [w * (b * grad)] if b and wanted else []
            of_weights.append(sum(terms[1:], terms[0]) if terms else None)
        return None, None, *of_weights


@torch.no_grad()
def l1_prox_(
    parameters: Tensor | Iterable[Tensor], strength: float, *, lr: float = 1.0, samples: int = 1
) -> list[Tensor]:
    """L1 regularisation that gives exact zeros: soft threshold of the weights, called after `optimizer.step()`.

    Every weight moves toward zero by lr·λ/N and stops there. A loop of gradient steps on the loss alone, each
    followed by this, minimises loss + λ/N·Σ|θ|.

    Args:
        parameters: of any shape; frozen ones (`requires_grad` off) are left alone, shared ones count once.
        strength: λ, at least 0.
        lr: the learning rate of the step just made; 1 makes `strength / samples` the threshold itself.
        samples: N, the number of training samples.

    Returns:
        The parameters as a list.

    Raises:
        ValueError: no parameters; a strength or rate that is negative or not finite; `samples` below 1.

    Helps: few of many inputs or units matter, and you want to see which, or a smaller model.

    Harms: correlated inputs, of which it keeps one by chance (add some L2). After Adam each weight has had its own
    rate, which the threshold does not know: sparse still, but not the lasso's minimum.

    Costs: three passes over the weights, by foreach; one temporary copy of them.

    Source: Parikh & Boyd, "Proximal algorithms", 2014, section 6.5.2; Tibshirani, "Regression shrinkage and selection
    via the lasso", 1996. A penalty in the loss (`penalty(l1=...)`) steps over zero and never stays there.

    >>> w = nn.Parameter(torch.tensor([0.5, -0.02, 0.03]))
    >>> sgd = torch.optim.SGD([w], lr=0.1)
    >>> w.square().sum().backward()
    >>> sgd.step()
    >>> _ = l1_prox_(w, 3.0, lr=0.1, samples=10)
    >>> w.tolist()
    [0.37..., 0.0, 0.0]
    """
    kept = given("l1_prox_", parameters)
    limit = at_least_0("l1_prox_", strength=strength, lr=lr) / sample_count("l1_prox_", samples)
    for free in by_kind(kept):
        inside = torch._foreach_clamp_max(torch._foreach_clamp_min(free, -limit), limit)
        torch._foreach_sub_(free, inside)  # x - x is 0, so what lies inside the limit becomes exactly zero
    return kept


class Sparsity(NamedTuple):
    """How many weights are exactly zero.

    Helps: reading what `sparsity` returns.

    Harms: nothing.

    Costs: nothing.

    Source: a count.

    >>> Sparsity(3, 4).share
    0.75
    """

    zeros: int
    size: int

    @property
    def share(self) -> float:
        """Zeros of all, in 0..1; 0 where there are no weights."""
        return self.zeros / self.size if self.size else 0.0


@torch.no_grad()
def sparsity(model: nn.Module) -> dict[str, Sparsity]:
    """Exact zeros of each parameter by its name, and of the whole model by the name `""`.

    Args:
        model: any; a shared parameter counts once.

    Returns:
        `{"": whole, "0.weight": ...}`; on sharded parameters the counts of the whole tensors, on each rank.

    Helps: what L1 or pruning has achieved, layer by layer.

    Harms: as a measure of dead units: a unit with weights may still never fire.

    Costs: one pass over the weights and one wait for the device.

    Source: a count.

    >>> net = nn.Linear(3, 2)
    >>> with torch.no_grad(): _ = net.weight[0].zero_()
    >>> sparsity(net)[""]
    Sparsity(zeros=3, size=8)
    """
    named = dict(model.named_parameters())
    zeros = [whole((p == 0).sum()) for p in named.values()]
    counts = [int(c) for c in torch.stack([z.to(zeros[0].device) for z in zeros]).tolist()] if zeros else []
    by_name = {n: Sparsity(c, p.numel()) for (n, p), c in zip(named.items(), counts, strict=True)}
    return {"": Sparsity(sum(counts), sum(p.numel() for p in named.values()))} | by_name


@torch.no_grad()
def decay_(parameters: Tensor | Iterable[Tensor], strength: float, *, lr: float) -> list[Tensor]:
    """Decoupled weight decay for any optimiser: θ ← (1 − lr·strength)·θ, called before `optimizer.step()`.

    Args:
        parameters: without biases and norm scales; frozen ones are left alone, shared ones count once.
        strength: share of the weights that is taken away a step at lr 1; 0.01 to 0.1 is usual.
        lr: the learning rate of the step to come.

    Returns:
        The parameters as a list.

    Raises:
        ValueError: no parameters; strength or rate negative or not finite; lr·strength above 1, which would flip signs.

    Helps: RMSprop, L-BFGS, SAM, and steepest descent, which have no decay of their own. With Adam: take AdamW.

    Harms: on biases, norm scales, embeddings of rare tokens; together with an optimiser's own `weight_decay`.

    Costs: one pass over the weights.

    Source: Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2; as in torch's AdamW
    the decay follows the schedule through lr.

    >>> net = nn.Linear(4, 1)
    >>> rms = torch.optim.RMSprop(net.parameters(), lr=0.01)
    >>> net(torch.ones(8, 4)).square().mean().backward()
    >>> _ = decay_(net.weight, 0.1, lr=rms.param_groups[0]["lr"])
    >>> rms.step()
    """
    kept = given("decay_", parameters)
    share = at_least_0("decay_", strength=strength, lr=lr)
    share_of_1("decay_", share)
    for free in by_kind(kept):
        torch._foreach_mul_(free, 1 - share)
    return kept


@torch.no_grad()
def max_norm_(model: nn.Module, limit: float) -> nn.Module:
    """No unit's incoming weights longer than `limit`: those that are get scaled back, called after `optimizer.step()`.

    Args:
        model: every trainable weight with two dimensions or more is limited, row by row (dimension 0 is the unit;
            for transposed convolutions the output channel), but not embeddings, nor biases and scales.
        limit: the largest Euclidean norm, above 0; 3 to 4 is usual.

    Returns:
        `model` itself.

    Raises:
        ValueError: `limit` is not above 0 or not finite; the model has no such weight.

    Helps: with dropout and high learning rates, where weights would else grow without end.

    Harms: before a norm layer, where a weight's length means nothing but the size of its next step.

    Costs: a norm and a product for every weight, layer by layer.

    Source: Srivastava et al., "Dropout", JMLR 2014, section 5.1; Hinton et al. 2012. For one tensor: `torch.renorm`.

    >>> net = nn.Linear(2, 1)
    >>> with torch.no_grad(): _ = net.weight.copy_(torch.tensor([[30.0, 40.0]]))
    >>> max_norm_(net, 5.0).weight.detach()
    tensor([[3.0000, 4.0000]])
    """
    if not (isfinite(limit) and limit > 0):
        raise ValueError(
            f"max_norm_() got limit={limit}; a norm's limit is a finite number above 0, such as 3."
        )
    weights = dict(_unit_weights(model))  # shared ones once
    if not weights:
        raise ValueError(
            "max_norm_() found no trainable weight with two dimensions or more, so nothing has a norm."
        )
    for weight, groups in weights.items():
        if groups:  # (in, out / groups, ...) of a transposed convolution
            rows = weight.unflatten(0, (groups, -1))
            dims = [1, *range(3, rows.ndim)]
        else:
            rows, dims = weight, list(range(1, weight.ndim))
        norms = torch.linalg.vector_norm(rows, dim=dims, keepdim=True, dtype=wide(weight))
        scale = torch.where(norms > limit, limit / norms, 1.0).to(weight.dtype)
        weight.copy_((rows * scale).reshape(weight.shape))
    return model


def _unit_weights(model: nn.Module) -> Iterable[tuple[nn.Parameter, int]]:
    """Weights whose rows are units, and for a transposed convolution its groups, else 0."""
    transposed = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
    for module in model.modules():
        if not isinstance(module, nn.Embedding | nn.EmbeddingBag):
            for weight in module.parameters(recurse=False):
                if weight.ndim > 1 and weight.requires_grad:
                    yield weight, module.groups if isinstance(module, transposed) else 0
