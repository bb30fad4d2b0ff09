"""The population's statistics for batch norm, from data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..activation.curve import evaluating
from .freeze import is_pinned, with_statistics

__all__ = ["enough", "reestimate_"]

Batch = TypeVar("Batch")


@torch.no_grad()
def reestimate_(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    call: Callable[[nn.Module, Batch], object] | None = None,
    over_ranks: bool = False,
) -> nn.Module:
    """Set batch norm's population statistics to the moments of what it sees over `batches`.

    Mean and variance of all values that reach a norm, from all batches, each value counting the same: no running
    average, no dependence on the order or the size of batches. During the pass each norm normalises by its batch, as in
    training, and all else (dropout) is as in testing, since that is what the statistics are for. The statistics of
    frozen norms stay.

    Args:
        model: the model; the mode of its modules is as before afterwards.
        batches: some thousand samples or the training set, in batches of the size that training uses, on the model's
            device. A tensor is passed as it is, of a tuple or list the first entry, a mapping as keywords.
        call: how to call the model on a batch, where that is not right, as `lambda model, batch: model(batch["x"])`.
        over_ranks: each rank brings its own batches, and the moments are those of all; every rank must call.

    Returns:
        `model` itself, with `running_mean` and `running_var` (unbiased, as torch's) written. `num_batches_tracked`
        stays.

    Raises:
        ValueError: there is no batch norm to estimate, no batch, a batch with one value a channel (see `enough`), or
            moments that are not finite. Statistics are then as they were before.

    Helps: after averaging weights (their statistics are nobody's), after freezing too early, with a momentum too small
    or too large, and where testing is much worse than training.

    Harms: nowhere, if the data are those of training, with the same preparation and augmentation.

    Costs: a forward pass over `batches`; a few hundred batches do.

    Source: Wu & Johnson, "Rethinking 'batch' in batch normalization", arXiv 2105.07576, section 3 ("precise batch
    norm"). They average moments over batches of one size; here batches of any size are merged exactly (Chan, Golub &
    LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances", 1979).

    >>> net, data = nn.BatchNorm1d(2), torch.randn(100, 2) * 3 + 1
    >>> same = reestimate_(net, data.split(32))
    >>> bool(torch.allclose(net.running_mean, data.mean(0), atol=1e-5))
    True
    """
    norms: dict[nn.Module, str] = {
        m: name
        for m, name in with_statistics(model).items()
        if isinstance(m, _BatchNorm) and not is_pinned(m)
    }
    if not norms:
        raise ValueError(
            f"reestimate_() found no batch norm with population statistics in {type(model).__name__} that is not "
            "frozen."
        )
    seen = {m: _Moments() for m in norms}

    def look(norm: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        x = (arguments[0] if arguments else named["input"]).detach()
        if x.numel() <= x.shape[1]:
            raise ValueError(
                f"Batch norm `{norms[norm]}` got one value a channel (input of shape {tuple(x.shape)}), which has no "
                f"variance. Leave such a batch out: reestimate_(model, enough(batches))."
            )
        seen[norm].add(x)

    before = [(buffer, buffer.clone()) for m in norms for buffer in m.buffers(recurse=False)]
    hooks = [m.register_forward_pre_hook(look, with_kwargs=True) for m in norms]
    bare = model._modules.get("_orig_mod") or model  # compiled code need not learn of the hooks
    try:
        with evaluating(model):
            for m in norms:
                m.training = True
            for batch in batches:
                (call or _called)(bare, batch)
    finally:
        for hook in hooks:
            hook.remove()
        for buffer, old in before:
            buffer.copy_(old)
    if over_ranks:
        for moments in seen.values():
            moments.merge_ranks()
    for m, moments in seen.items():
        if moments.count < 2:
            raise ValueError(
                f"Batch norm `{norms[m]}` saw no values: were there no batches, or does it not run?"
            )
        if not (moments.mean.isfinite().all() and moments.squares.isfinite().all()):
            raise ValueError(f"What reaches batch norm `{norms[m]}` is not finite (NaN or infinity).")
    for m, moments in seen.items():
        m.get_buffer("running_mean").copy_(moments.mean)
        m.get_buffer("running_var").copy_(moments.squares / (moments.count - 1))
    return model


class _Moments:
    """Count, mean and sum of squared deviations of each channel so far."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros(())

    def add(self, x: Tensor) -> None:
        """Take in a batch of shape `(batch, channels, ...)`."""
        precise = torch.float32 if x.device.type == "mps" else torch.float64
        wide = x if x.dtype == torch.float64 else x.float()
        var, mean = torch.var_mean(wide, [d for d in range(x.ndim) if d != 1], correction=0)
        count = x.numel() // x.shape[1]
        var, mean = var.to(precise), mean.to(precise)
        if self.count == 0:
            self.count, self.mean, self.squares = count, mean, var * count
            return
        total, apart = self.count + count, mean - self.mean
        self.squares = self.squares + var * count + apart * apart * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    def merge_ranks(self) -> None:
        """Sums over all ranks."""
        sums = torch.stack([torch.full_like(self.mean, self.count), self.mean * self.count, self.squares])
        sums[2] += self.mean * self.mean * self.count
        dist.all_reduce(sums)
        self.count = int(sums[0, 0])
        self.mean = sums[1] / self.count
        self.squares = (sums[2] - self.mean * self.mean * self.count).clamp_min(0)


def _called(model: nn.Module, batch: object) -> object:
    if isinstance(batch, Mapping):
        return model(**batch)
    return model(batch[0] if isinstance(batch, list | tuple) else batch)


def enough(batches: Iterable[Batch], least: int = 2) -> Iterator[Batch]:
    """The batches that have at least `least` samples; a last batch of one sample is left out.

    Batch norm on a `(1, channels)` batch raises in training, and on a picture of one pixel, too. A data loader with
    `drop_last=True` would leave out every short last batch; this leaves out only those too short.

    Args:
        batches: tensors, tuples, lists or mappings of tensors, as a data loader gives them. The first tensor in a batch
            tells its size.
        least: samples that a batch must have, at least 1.

    Returns:
        An iterator over the batches.

    Raises:
        ValueError: `least` is below 1.
        TypeError: a batch holds no tensor.

    Helps: wherever batch norm trains and the number of samples leaves one over.

    Harms: the left-out sample is never trained on if the loader does not shuffle.

    Costs: nothing.

    Source: none.

    >>> [len(batch) for batch in enough(torch.zeros(9, 3).split(4))]
    [4, 4]
    """
    if least < 1:
        raise ValueError(f"enough() got least={least}; a batch has at least 1 sample.")
    return (batch for batch in batches if _samples(batch) >= least)


def _samples(batch: object) -> int:
    leaves = torch.utils._pytree.tree_leaves(batch)
    first = next((leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim), None)
    if first is None:
        raise TypeError(
            f"enough() got a batch of type {type(batch).__name__} that holds no tensor, so its size is unknown."
        )
    return len(first)
