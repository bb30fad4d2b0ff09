"""The only code that patches torch: what it replaces, what it tells the observer, and how all is put back.

A wrapper first tells (guarded: it cannot fail), then calls the original with the same arguments, or the other
way round.
While dynamo traces, only the original is seen, so that nothing of ours gets into a compiled graph.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _BaseDataLoaderIter

from .frames import hide_, uncounted, unseen
from .uncompiled import skip

LOSSES = (
    "cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy "
    "binary_cross_entropy_with_logits kl_div poisson_nll_loss gaussian_nll_loss soft_margin_loss "
    "hinge_embedding_loss margin_ranking_loss multi_margin_loss multilabel_margin_loss "
    "multilabel_soft_margin_loss cosine_embedding_loss triplet_margin_loss triplet_margin_with_distance_loss "
    "ctc_loss"
).split()
"""Functions of `torch.nn.functional` that are losses; the modules of `torch.nn` call them by these names."""


class Listener(Protocol):
    """What the observer hears. No method may raise, except to stop the script on purpose."""

    def module_made(self, module: nn.Module) -> None: ...
    def optimizer_made(self, optimizer: Optimizer) -> None: ...
    def scheduler_made(self, scheduler: object) -> None: ...
    def before_backward(self, tensors: object) -> None: ...
    def after_backward(self) -> None: ...
    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...
    def after_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...
    def loss_called(
        self,
        kind: str,
        original: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: object,
    ) -> None: ...
    def loss_refused(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None: ...
    def zeroed(self, whose: object) -> None: ...
    def clipped(self, kind: str, limit: object) -> None: ...
    def scaled_step(self, scaler: object, optimizer: object, result: object) -> None: ...
    def loader_started(self, loader: object, iterator: object) -> None: ...
    def batch_loaded(self, iterator: object, ended: bool) -> None: ...
    def state_loaded(self, module: nn.Module, state: object, result: object) -> None: ...
    def compile_called(self, what: object) -> None: ...


def attach(to: Listener) -> ExitStack:
    """Patch torch so that `to` hears of everything; closing the result puts everything back."""
    skip(attach)
    undo = ExitStack()
    replaced: dict[int, Any] = {}  # functions of modules

    def patch(owner: object, name: str, wrap: Callable[[Any], Any], hide: Any = unseen) -> None:
        original = getattr(owner, name, None)
        if original is None:  # another version of torch: nothing to hear of
            return
        own = name in vars(owner) if hasattr(owner, "__dict__") else True
        wrapper = wrap(original)
        replacement = functools.wraps(original)(hide(wrapper))
        skip(wrapper, replacement)  # whose code `unseen` has made
        # torch.jit.script compiles the function it is given: let that be the original.
        vars(replacement)["__prepare_scriptable__"] = lambda: original
        setattr(owner, name, replacement)
        undo.callback(_put_back, owner, name, original, replacement, own)
        if isinstance(owner, ModuleType):
            replaced[id(original)] = replacement

    def after(tell: Callable[..., None]) -> Callable[[Any], Any]:
        """Call the original, then tell `(result, *args)`."""

        def wrap(original: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                result = original(*args, **kwargs)
                tell(result, *args)
                return result

            return call

        return wrap

    patch(nn.Module, "__init__", after(lambda result, module, *_: to.module_made(module)))
    patch(Optimizer, "__init__", after(lambda result, optimizer, *_: to.optimizer_made(optimizer)))
    for scheduler in (torch.optim.lr_scheduler.LRScheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        patch(scheduler, "__init__", after(lambda result, scheduler, *_: to.scheduler_made(scheduler)))

    # What is called at every step hides itself: a frame less for each.
    def wrap_zero_grad(original: Any) -> Any:
        def zero_grad(whose: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                result = original(whose, *args, **kwargs)
            except BaseException as error:
                hide_(error)
                raise
            to.zeroed(whose)
            return result

        return zero_grad

    for cls in (nn.Module, Optimizer):
        patch(cls, "zero_grad", wrap_zero_grad, uncounted)
    patch(
        nn.Module,
        "load_state_dict",
        after(lambda result, module, state=None, *_: to.state_loaded(module, state, result)),
    )
    patch(DataLoader, "__iter__", after(lambda result, loader, *_: to.loader_started(loader, result)))

    def wrap_next(original: Any) -> Any:
        def __next__(iterator: Any) -> Any:
            try:
                batch = original(iterator)
            except StopIteration:
                to.batch_loaded(iterator, ended=True)
                raise
            to.batch_loaded(iterator, ended=False)
            return batch

        return __next__

    patch(_BaseDataLoaderIter, "__next__", wrap_next)
    patch(
        torch.amp.GradScaler,
        "step",
        after(lambda result, scaler, optimizer, *_: to.scaled_step(scaler, optimizer, result)),
    )

    def clip(kind: str) -> Callable[[Any], Any]:
        def wrap(original: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                to.clipped(
                    kind,
                    args[1]
                    if len(args) > 1
                    else next((v for k, v in kwargs.items() if k in ("max_norm", "clip_value")), None),
                )
                return original(*args, **kwargs)

            return call

        return wrap

    for kind in ("norm", "value"):
        for owner in (torch.nn.utils, torch.nn.utils.clip_grad):
            patch(owner, f"clip_grad_{kind}_", clip(kind))

    def wrap_backward(original: Any) -> Any:
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
            to.before_backward(tensors)
            try:
                original(tensors, *args, **kwargs)
            except BaseException as error:
                hide_(error)
                raise
            finally:
                to.after_backward()

        return backward

    patch(torch.autograd, "backward", wrap_backward, uncounted)

    def wrap_loss(kind: str) -> Callable[[Any], Any]:
        def wrap(original: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                try:
                    result = original(*args, **kwargs)
                except BaseException as error:
                    if not torch.compiler.is_compiling():
                        to.loss_refused(kind, args, kwargs)
                    hide_(error)
                    raise
                if not torch.compiler.is_compiling():
                    to.loss_called(kind, original, args, kwargs, result)
                return result

            return call

        return wrap

    for kind in LOSSES:
        patch(nn.functional, kind, wrap_loss(kind), uncounted)

    def before(tell: Callable[..., None]) -> Callable[[Any], Any]:
        def wrap(original: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                tell(*args)
                return original(*args, **kwargs)

            return call

        return wrap

    patch(torch, "compile", before(lambda what=None, *_: to.compile_called(what)))
    patch(nn.Module, "compile", before(lambda module, *_: to.compile_called(module)))

    undo.callback(_replace_imported(replaced).close)

    undo.callback(register_optimizer_step_pre_hook(to.before_step).remove)
    undo.callback(register_optimizer_step_post_hook(to.after_step).remove)
    return undo


def _replace_imported(replaced: dict[int, Any]) -> ExitStack:
    """Also replace what was imported by name before, as `from torch.nn.functional import mse_loss` in a
    notebook."""
    undo = ExitStack()
    modules: list[Any] = list(sys.modules.values())  # nearly all of them are
    for module in modules:
        if not isinstance(module, ModuleType) or module.__name__.partition(".")[0] == "torch":
            continue
        for name, value in list(vars(module).items()):
            replacement = replaced.get(id(value))
            if replacement is not None and value is not replacement:
                setattr(module, name, replacement)
                undo.callback(_put_back, module, name, value, replacement, True)
    return undo


def _put_back(owner: object, name: str, original: object, replacement: object, own: bool) -> None:
    if vars(owner).get(name) is not replacement:
        return  # patched by somebody after us: taking ours out would take theirs out too, and ours is silent
    if own:
        setattr(owner, name, original)
    else:
        delattr(owner, name)
