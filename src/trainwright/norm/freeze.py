"""Population statistics that stay as they are, whatever `.train()` says."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["freeze_", "thaw_"]


def freeze_(model: nn.Module) -> nn.Module:
    """Pin batch norm's statistics: it normalises by those of the population and no longer moves them.

    `.eval()` on the norms does not do that, as the next `model.train()` undoes it, nor does `requires_grad=False`,
    which concerns scale and shift only, nor `track_running_stats=False`, which normalises by the batch. Here each norm
    sets itself to testing mode when it is about to run; copies and pickles of the model do so, too.

    Args:
        model: a model or a part of one. Every module in it that keeps `running_mean` and `running_var` is pinned.

    Returns:
        `model` itself. Scale and shift still train; `groups.freeze_` freezes a part wholly.

    Raises:
        ValueError: no module keeps such statistics; or one keeps none (`track_running_stats=False`), so that it can
            only use the batch's.

    Helps: to fine-tune with small batches, or a part of a model beside a frozen one.

    Harms: where the new data are far from those of the statistics; `reestimate_` on the new data first, then freeze.

    Costs: a call of one line for each norm and pass.

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016, appendix A (detection with fixed
    statistics).

    >>> import torch
    >>> net = freeze_(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))).train()
    >>> _ = net(torch.randn(8, 2))
    >>> net[1].running_mean
    tensor([0., 0., 0.])
    """
    norms = with_statistics(model)
    for name, m in model.named_modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm) and m not in norms:
            raise ValueError(
                f"Batch norm `{name}` keeps no population statistics (track_running_stats=False), so it cannot be "
                f"frozen: it normalises by the batch in testing, too. Build it with track_running_stats=True."
            )
    if not norms:
        raise ValueError(
            f"freeze_() found no batch norm with population statistics in {type(model).__name__}."
        )
    for m in norms:
        pin_(m)
    return model


def thaw_(model: nn.Module) -> nn.Module:
    """Undo `freeze_`: statistics move again from the next `model.train()` on.

    Args:
        model: the model or the part.

    Returns:
        `model` itself.

    Helps: when the last stage of fine-tuning trains everything.

    Harms: with small batches: leave them frozen.

    Costs: nothing.

    Source: none.

    >>> net = thaw_(freeze_(nn.BatchNorm1d(3))).train()
    >>> net.training
    True
    """
    for m in with_statistics(model):
        unpin_(m)
    return model


def with_statistics(model: nn.Module) -> dict[nn.Module, str]:
    """Norms with population statistics, and their names."""
    return {
        m: name
        for name, m in model.named_modules()
        if all(isinstance(m._buffers.get(key), Tensor) for key in ("running_mean", "running_var"))
    }


def pin_(module: nn.Module) -> None:
    """Keep one module in testing mode. A hook, since it is what copies and pickles keep."""
    if not is_pinned(module):
        module.register_forward_pre_hook(_to_testing, prepend=True)
    module.training = False


def unpin_(module: nn.Module) -> None:
    """Let `.train()` reach the module again."""
    for key, hook in list(module._forward_pre_hooks.items()):
        if hook is _to_testing:
            del module._forward_pre_hooks[key]


def is_pinned(module: nn.Module) -> bool:
    """Whether `pin_` holds the module."""
    return _to_testing in module._forward_pre_hooks.values()


def _to_testing(module: nn.Module, arguments: object) -> None:
    module.training = False
