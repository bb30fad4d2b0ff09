"""Averages of a model's weights over training: mostly a better model than the last one, for a copy of the weights.

`Average` keeps the average beside the model; `ema` and `equal` say how much a new state counts. Exponential (`ema`)
from the first step on, for any schedule; equal (`equal`, called stochastic weight averaging) over the last quarter of
training at a constant rate.

torch has `torch.optim.swa_utils.AveragedModel`, which is as good for a model in float32 without batch norm, and
`SWALR`. What it lacks: a start that does not hold on to random weights; averages in float32 of weights in half
precision, which else stand still (1 - decay is below their resolution); a way to use the averages in the model itself
and get the weights back; sharded models (it copies the module, which FSDP2 refuses). With `use_buffers=True` it
averages the running variances of batch norm; without, it takes those of the last weights. Neither belongs to the
averaged ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .norm import reestimate_
from .norm.freeze import is_pinned, with_statistics
from .shards import is_sharded, local

__all__ = ["Average", "ema", "equal"]


def ema(decay: float) -> Callable[[int], float]:
    """Exponential average: each state counts `decay` times as much as the next one.

    The weight of the k-th state is (1 - decay) / (1 - decay**k): 1 for the first, falling to 1 - decay. So the average
    is that of the states seen, with no part of a random start, at every step.

    Args:
        decay: in [0, 1): 0.999 averages over some 1000 updates; 1 - 1 / (a tenth of all steps) is a good guess.

    Returns:
        A function from the number of the update (1, 2, ...) to the weight of the new state, for `Average`.

    Raises:
        ValueError: `decay` is not in [0, 1).

    Helps: smooths the last steps' noise without lowering the rate; evaluation is steadier from early on.

    Harms: with a decay too near 1 for the length of the training the average lags behind.

    Costs: nothing; see `Average`.

    Source: Kingma & Ba, "Adam", ICLR 2015, section 7.2 (temporal averaging), with the correction of the start given
    there.

    >>> weight = ema(0.9)
    >>> [round(weight(k), 3) for k in (1, 2, 100)]
    [1.0, 0.526, 0.1]
    """
    if not 0 <= decay < 1:
        raise ValueError(f"ema() got decay={decay}; it lies in [0, 1), e.g. 0.999.")
    if decay == 0:
        return lambda k: 1.0
    return lambda k: min(1.0, (1 - decay) / -math.expm1(k * math.log(decay)))


def equal(k: int) -> float:
    """Equal average: the weight of the k-th state is 1 / k.

    Args:
        k: number of the update, 1, 2, ...

    Returns:
        1 / k; give the function itself to `Average`.

    Raises:
        ValueError: `k` is below 1.

    Helps: stochastic weight averaging: over the last epochs, an update an epoch, at a constant or cyclic rate.

    Harms: from the first step on, as it never forgets bad beginnings.

    Costs: nothing; see `Average`.

    Source: Izmailov et al., "Averaging weights leads to wider optima and better generalization", UAI 2018, algorithm 1.

    >>> equal(4)
    0.25
    """
    if k < 1:
        raise ValueError(f"equal() got k={k}; updates are numbered from 1.")
    return 1 / k


class Average:
    """The average of a model's weights, kept beside the model and updated when you say so.

    Averaged are the parameters that train, in float32 at least. Buffers are not: integers (counters) and constants
    (masks) have no average, and the statistics of batch norm have to be estimated anew for the averaged weights, which
    `swapped(batches)` does.

    Args:
        model: the model; sharded by `fully_shard`, too, where each rank keeps the averages of its shards.
        weight: number of the update (1, 2, ...) -> share of the new state, in [0, 1]: `ema(0.999)` or `equal`.

    Raises:
        ValueError: nothing in the model trains.

    Helps: nearly always, most with high rates to the end; for evaluation, for what one ships, as a teacher.

    Harms: where the last state is much better than the ones before, as at the end of a rate schedule that goes to 0.

    Costs: a float32 copy of what trains; an update is one pass over both. Inside `swapped` a further copy.

    Source: Izmailov et al., UAI 2018; Tarvainen & Valpola, "Mean teachers are better role models", NeurIPS 2017.
    Buffers as said differ from both.

    >>> net = nn.Linear(1, 1, bias=False)
    >>> average = Average(net, equal)
    >>> for value in (1.0, 2.0, 6.0):
    ...     _ = nn.init.constant_(net.weight, value)  # stands for a step of the optimiser
    ...     average.update()
    >>> with average.swapped():
    ...     print(net.weight.item())
    3.0
    >>> net.weight.item()
    6.0
    """

    def __init__(self, model: nn.Module, weight: Callable[[int], float]) -> None:
        if not any(p.requires_grad for p in model.parameters()):
            raise ValueError(
                f"Average() got a {type(model).__name__} in which nothing trains, so there is nothing to average."
            )
        self.model = model
        self.weight = weight
        self.updates = 0
        """States averaged so far."""
        self.averages: dict[str, Tensor] = {}
        """The average of each parameter by its name, from the first update on."""

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's present weights into the average; call it after `optimizer.step()`.

        A parameter that begins to train later enters with its present value, which is what it always was.

        Raises:
            ValueError: `weight` gives a number outside [0, 1].
        """
        _reshard(self.model)
        share = self.weight(self.updates + 1)
        if not 0 <= share <= 1:
            raise ValueError(
                f"`weight` gave {share} for update {self.updates + 1}; the share of a new state is in [0, 1]."
            )
        alike: dict[tuple[torch.dtype, torch.device], tuple[list[Tensor], list[Tensor]]] = {}
        for name, p in self.model.named_parameters():
            old = self.averages.get(name)
            if old is None:
                if p.requires_grad:
                    self.averages[name] = _wide(p.detach()).clone()
                continue
            mean, new = local(old), local(p.detach())
            means, news = alike.setdefault((mean.dtype, mean.device), ([], []))
            means.append(mean)
            news.append(new if new.dtype == mean.dtype else new.to(mean.dtype))
        for means, news in alike.values():
            torch._foreach_lerp_(means, news, share)
        self.updates += 1

    @contextmanager
    def swapped(
        self,
        batches: Iterable[object] | None = None,
        *,
        call: Callable[[nn.Module, object], object] | None = None,
    ) -> Iterator[nn.Module]:
        """The model with the averaged weights inside the `with` block, and bit for bit as it was after it.

        Args:
            batches: data for batch norm's statistics, as for `norm.reestimate_`; without it those of the live model
                stay, which do not belong to the averaged weights.
            call: as for `norm.reestimate_`.

        Raises:
            ValueError: there was no update yet, or `norm.reestimate_` refuses.
        """
        if not self.averages:
            raise ValueError("There is no average yet: call update() after an optimiser's step first.")
        _reshard(self.model)
        live = {name: p for name, p in self.model.named_parameters() if name in self.averages}
        norms = [m for m in with_statistics(self.model) if not is_pinned(m)] if batches is not None else []
        buffers = [buffer for m in norms for buffer in m.buffers(recurse=False)]
        with torch.no_grad():
            before = [(t, local(t).clone()) for t in [*(p.detach() for p in live.values()), *buffers]]
        try:
            self.copy_to_(self.model)
            if batches is not None:
                reestimate_(self.model, batches, call=call)
            yield self.model
        finally:
            _reshard(self.model)
            with torch.no_grad():
                for tensor, old in before:
                    local(tensor).copy_(old)

    @torch.no_grad()
    def copy_to_(self, model: nn.Module) -> nn.Module:
        """Write the averages into a model with the same parameter names, for good.

        Raises:
            ValueError: a parameter is missing there or has another shape. The model is then as it was.
        """
        _reshard(model)
        there = dict(model.named_parameters())
        for name, mean in self.averages.items():
            if name not in there or there[name].shape != mean.shape:
                got = tuple(there[name].shape) if name in there else "missing"
                raise ValueError(
                    f"`{name}` of the average has shape {tuple(mean.shape)}; in the model it is {got}."
                )
        for name, mean in self.averages.items():
            local(there[name]).copy_(local(mean))
        return model

    def state_dict(self) -> dict[str, object]:
        """What `torch.save` needs to go on later: `{"updates": int, "averages": {name: tensor}}`, copies."""
        return {
            "updates": self.updates,
            "averages": {name: mean.clone() for name, mean in self.averages.items()},
        }

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from a `state_dict`; the next update is bit for bit what it would have been.

        Raises:
            ValueError: it has averages of parameters that the model lacks, or of another shape. Nothing is changed
            then.
        """
        updates, averages = state["updates"], state["averages"]
        if not isinstance(updates, int) or not isinstance(averages, Mapping):
            raise ValueError(
                "load_state_dict() needs what state_dict() gave: a count `updates` and a mapping `averages`."
            )
        there = dict(self.model.named_parameters())
        for name, mean in averages.items():
            if name not in there or there[name].shape != mean.shape:
                got = tuple(there[name].shape) if name in there else "missing"
                raise ValueError(
                    f"The saved average of `{name}` has shape {tuple(mean.shape)}; in the model it is {got}."
                )
        with torch.no_grad():
            self.averages = {
                name: mean.clone() if is_sharded(mean) else mean.to(there[name].device, copy=True)
                for name, mean in averages.items()
            }
        self.updates = updates


def _wide(p: Tensor) -> Tensor:
    return p.float() if p.dtype in (torch.float16, torch.bfloat16) else p


def _reshard(model: nn.Module) -> None:
    """Put away the whole weights that `fully_shard` keeps after a forward pass without backward: they are copies."""
    for m in model.modules():
        reshard = getattr(m, "reshard", None)  # of torch's FSDPModule
        if callable(reshard):
            reshard()
