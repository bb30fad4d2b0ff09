"""Follows one training by what the hooks tell, and writes what the signals read.

A window runs from one step of the first optimiser to its next. Most windows only note the loss, the rates and
the time; when the budget allows one to be read, hooks are put on the layers before it and taken off after it.
"""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Concatenate, ParamSpec, Protocol

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer

from .. import signals
from ..core import Facts, Moment, Reading, Run, Signal, Training
from ..signals.sample import output_sample, weight_sample
from . import graph, losses, sites
from .budget import Budget
from .loaders import Loaders
from .losses import Losses
from .model import CHANNELS_FIRST, Models, is_compiled
from .notes import Notes
from .outbox import Outbox
from .stop import StopCheck
from .uncompiled import callback, skip

P = ParamSpec("P")

FLUSH_S = 1.0
"""At most so much of the record is lost when the process is killed."""

WHOLE: tuple[str, ...] = ("",)
"""The place of what belongs to the whole run."""

MANY = 64
"""Calls of loss functions that are remembered until backward starts."""

FAILURES = 3
"""Failures of one of our handlers after which it is switched off."""


class Record(Protocol):
    """The store, as the recorder sees it."""

    def add(
        self, signal: str, steps: Sequence[int], places: tuple[str, ...], values: npt.ArrayLike
    ) -> None: ...
    def set_facts(self, facts: Facts) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
    def run(self) -> Run: ...


def guarded(handler: Callable[Concatenate[Recorder, P], None]) -> Callable[Concatenate[Recorder, P], None]:
    """Keep the user's run from all harm: what fails in a handler is caught, reported once, and the run goes
    on."""
    name = handler.__name__

    @functools.wraps(handler)
    def call(self: Recorder, /, *args: P.args, **kwargs: P.kwargs) -> None:
        # Closed, busy (ourselves, or another thread), in a forked child, switched off, or being traced: pass
        # over.
        if torch.compiler.is_compiling() or self._closed or self._busy or self._forked or name in self._off:
            return
        self._busy = True
        self._began_ns = time.perf_counter_ns()
        compile_ = callback(None)  # none of what we call becomes a graph
        try:
            handler(self, *args, **kwargs)
        except Exception as error:
            self.failed(name, error)
        finally:
            callback(compile_)
            self._busy = False
            self._own_ns += time.perf_counter_ns() - self._began_ns

    return call


class Recorder:
    """Hears everything (`attach.Listener`), decides what to read, and fills a record. Never raises but
    `StopCheck`."""

    def __init__(
        self,
        record: Record,
        *,
        overhead: float = 0.02,
        what: Sequence[Signal] = signals.ALL,
        stop_after: int | None = None,
        eager_probe: bool = False,
        say: Callable[[str], None] = lambda text: None,
        reopen: Callable[[], Record] | None = None,
    ):
        self.record = record
        self.training: Training | None = None
        self.models, self.loaders, self.losses = Models(), Loaders(), Losses()
        self.notes = Notes(self.models, self.loaders, self.losses)
        self.budget = Budget(overhead)
        self._outbox = Outbox(record)
        self._at: dict[Moment, list[Signal]] = {m: [s for s in what if s.at is m] for m in Moment}
        self._each_step = {s.name: s for s in what if s.each_step}
        self._stop_after, self._say, self._reopen = stop_after, say, reopen
        self.notes.eager_probe = eager_probe
        self._busy, self._closed = False, False
        self._own_ns = 0  # spent in the handlers since the last step's end
        self._began_ns = 0  # when the handler that runs now was entered
        self._extra: tuple[nn.Module, ...] = ()
        self._leaves: tuple[Tensor, ...] = ()  # what is trained by hand
        self._failures: dict[str, int] = {}
        self._off: set[str] = set()
        self._optimizers: list[Optimizer] = []
        self._candidates: tuple[
            Optimizer, ...
        ] = ()  # alive when watching began; it is not known which of them are used
        self._primary: Optimizer | None = None
        self._unseen = False  # steps are made that no hook tells of
        self._version = (0, 0)  # `id` of a weight, and how often it had been changed at the last backward
        self._since_primary: set[int] = (
            set()
        )  # other optimisers that have stepped since the primary's last step
        self._segment = 0  # the step at which the training that goes on now began
        self._armed: ExitStack | None = None
        self._layers: dict[int, str] = {}  # modules whose output is read in this window
        self._armed_ns = 0
        self._fired: set[Moment] = set()
        self._step, self._depth, self._backwards, self._all_backwards = 0, 0, 0, 0
        self._in_step: Optimizer | None = None
        self._gradients_read = False  # those of the step that an optimiser makes now
        self._overflow = False  # a scaler has told the fused optimiser that steps now not to
        self._calls: list[losses.Call] = []
        self._loss_sums: dict[tuple[str, int], list[float | Tensor]] = {}
        self._loss_places: dict[tuple[str, int], str] = {}
        self._several_losses = False
        self._rates: list[float | Tensor] = []
        self._noted_rates: Reading = (), []
        self._valid: dict[str, list[float]] = {}
        self._made_by: dict[int, str] = {}
        self._loss_scale = 1.0
        self._known_modules = -1
        self._last_end_ns = time.perf_counter_ns()
        self._last_flush_s = -math.inf  # the first step is on disk at once
        self._writable = True
        self._stepped = self._forked = False
        self._saved_hooks = False
        self._plain_mean = (
            True  # the loss is one call of one known function: its constant reference is comparable
        )

    # -- what the hooks tell
    # ------------------------------------------------------------------------------------------

    @guarded
    def module_made(self, module: nn.Module) -> None:
        self.models.note(module)

    @guarded
    def optimizer_made(self, optimizer: Optimizer) -> None:
        if optimizer in self._optimizers:
            return
        if self._step > self._segment:
            self._begin_anew()
        self._optimizers.append(optimizer)
        self._candidates = ()
        self.notes.optimizer(optimizer, sites.site(building=optimizer, depth=4))
        self._look_for_models(force=True)
        if self._step == self._segment:
            self._disarm()
            self._arm()

    @guarded
    def scheduler_made(self, scheduler: object) -> None:
        self.notes.scheduler(scheduler)

    def zeroed(self, whose: object) -> None:
        """Gradients were zeroed: counted here, without the cost of a guard; whose they were is told later."""
        if not self._closed:
            key = id(whose)
            self.notes.zeroed[key] = self.notes.zeroed.get(key, 0) + 1

    @guarded
    def clipped(self, kind: str, limit: object) -> None:
        self.notes.clipped(kind, limit, sites.line_of_call(4), lambda: sites.site(depth=6))

    @guarded
    def loader_started(self, loader: Any, iterator: object) -> None:
        self.loaders.started(loader, iterator)

    @guarded
    def batch_loaded(self, iterator: object, ended: bool) -> None:
        self.loaders.loaded(iterator, ended)

    @guarded
    def state_loaded(self, module: nn.Module, state: object, result: object) -> None:
        self.notes.state_loaded(module, state, result, sites.site(depth=4))

    @guarded
    def compile_called(self, what: object) -> None:
        if self.notes.compile_called(what) and self._armed is not None:
            self._disarm()
            self._arm()  # in the way that a compiled model allows

    @guarded
    def loss_called(
        self,
        kind: str,
        original: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: object,
    ) -> None:
        if not isinstance(result, Tensor) or result.is_meta or _in_a_mode():
            return
        if not result.requires_grad or not torch.is_grad_enabled():
            self._validated(kind, args, kwargs, result)
            return
        if self._armed is None and self.losses.known:  # only the value is wanted, and no walk up the stack
            if len(self._calls) < MANY:
                pair = losses.arguments(args, kwargs) if kwargs.get("reduction") == "sum" else None
                added = losses.terms(kind, *pair, kwargs) if pair is not None else 1.0
                self._calls.append(losses.Call(None, result, added))
            return
        key = (kind, *sites.line_of_call(4))
        known = self.losses.known.get(key) or self.losses.seen(key, sites.site(depth=4), args, kwargs)
        calls = known.facts["extra"]
        calls["calls"] = int(calls["calls"]) + 1  # type: ignore[call-overload]
        pair = losses.arguments(args, kwargs)
        if len(self._calls) < MANY:
            added = losses.terms(kind, *pair, kwargs) if pair is not None else 1.0
            self._calls.append(losses.Call(key, result, added))
        if self._armed is None or self.training is None or any(c.key == key for c in self._calls[:-1]):
            return
        node = self.losses.read(known, args, kwargs, self.training)
        maker = self._made_by.get(node) if node is not None else None
        if maker is not None and known.facts["input_site"] is None:
            known.facts["input_site"] = self.models.site_of(self.models.modules[maker])
        reference = (
            losses.constant_loss(known, original, self.training) if len(self.losses.known) == 1 else None
        )
        if reference is not None:
            self.training.noted["constant_loss"] = WHOLE, [reference]
        right = losses.accuracy(kind, *pair, kwargs) if pair is not None else None
        if right is not None:
            self.training.noted["accuracy"] = WHOLE, [right]

    def before_backward(self, tensors: object) -> None:
        """Backward is about to start."""
        if self._forked and self._reopen is not None:
            try:
                self._restart()
            except Exception as error:
                self._closed = True
                self.failed("watching a forked process", error)
        self._before_backward(tensors)
        self._stop_when_seen_enough()

    @guarded
    def _before_backward(self, tensors: object) -> None:
        self._depth += 1
        if self._depth > 1:
            return
        root = (
            tensors
            if isinstance(tensors, Tensor)
            else next(iter(tensors), None)
            if isinstance(tensors, Sequence)
            else None
        )
        if not isinstance(root, Tensor):
            return
        if not self._optimizers and self._backwards == 0:
            self._look_at_leaves(root)
        if self.training is None:
            return
        if self._stepped_unseen() and self._backwards:
            if self._armed is not None:
                self._fire(Moment.STEP)
            self._end_window()
        self._backwards += 1
        self._all_backwards += 1
        inner, terms = self._unscaled(root)
        self.training.loss = inner
        if self._armed is None and len(self._loss_places) == 1:
            (key,) = self._loss_places  # no walk up the stack
        else:
            key = sites.line_of_call(4)
        if root.numel() == 1:
            self._note_loss(key, inner, terms, root)
        calls, self._calls = self._calls, []
        self._note_leftover()
        if self._armed is not None and Moment.LOSS not in self._fired:
            by_hand = graph.difference(root) if not calls else None
            if by_hand is not None:
                self.losses.by_hand(key, *by_hand)
            self._read_graph(root)
            self._fire(Moment.FORWARD)
            self._fire(Moment.LOSS)

    def after_backward(self) -> None:
        """Backward has ended, or failed."""
        self._depth = max(0, self._depth - 1)
        if self._depth == 0 and self.training is not None:
            self.training.loss = None  # the graph is the script's to free
            if self._armed is not None:
                self._after_backward()

    @guarded
    def _after_backward(self) -> None:
        if self._by_hand():
            assert self.training is not None
            self.training.parameters = self.models.parameters
            self._keep_weights()
            self._read_gradients(None)

    @guarded
    def before_step(self, optimizer: Optimizer, closure: bool) -> None:
        if optimizer not in self._optimizers:  # built before watching began, or unpickled
            self._optimizers.append(optimizer)
            self._candidates = ()
            self.notes.optimizer(optimizer, None)
            self._look_for_models(force=True)
        self._primary, self._unseen = self._primary or optimizer, False
        self._in_step = optimizer
        if self.training is None:
            return
        self._note_rates()
        scale, overflow = getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)
        self.training.grad_scale = scale if isinstance(scale, Tensor) else None
        # Asking a GPU would make it wait, so there it is asked only where the step is read anyway.
        asked = isinstance(overflow, Tensor) and (overflow.is_cpu or self._armed is not None)
        self._overflow = asked and bool(overflow)
        if self._overflow:
            return
        if self._armed is not None:
            self._gradients_read = False
            self.training.parameters = self._parameters_of(optimizer)
            self._keep_weights()
            # What is there before a closure runs is the last step's gradient.
            if not closure and any(p.grad is not None for g in optimizer.param_groups for p in g["params"]):
                self._read_gradients(optimizer)

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimiser has stepped."""
        self._after_step(optimizer)
        self._stop_when_seen_enough()

    def _stop_when_seen_enough(self) -> None:
        if self._stop_after is not None and self._step >= self._stop_after and not self._closed:
            raise StopCheck(f"{self._step} optimiser steps were seen")

    @guarded
    def _after_step(self, optimizer: Optimizer) -> None:
        self._in_step = None
        if self._overflow:  # a fused optimiser was called, and did nothing
            self._overflow = False
            return
        self._stepped = True
        if self.training is None:
            return
        if self._armed is not None:
            if not self._gradients_read:  # a closure has made them
                self._read_gradients(optimizer)
            self.training.optimizer = optimizer
            self.training.parameters = self._parameters_of(optimizer)
            self._fire(Moment.STEP)
        self.loaders.stepped()
        if optimizer is not self._primary:
            if id(optimizer) not in self._since_primary:
                self._since_primary.add(id(optimizer))
                return
            self._primary = optimizer  # the one that went before is used more seldom, or no more
        self._since_primary.clear()
        self._end_window()

    def _begin_anew(self) -> None:
        """An optimiser is built in the middle: the script trains one model after the other (folds, a search,
        phases), and what follows is a training of its own. Should an earlier optimiser step again, it is
        taken in again."""
        self._disarm()
        self._optimizers, self._primary = [], None
        self._segment = self._step
        self.notes.begin_anew(self._step)
        self.losses.known.clear()
        self._loss_places.clear()
        self._loss_sums.clear()
        self._several_losses, self._plain_mean = False, True
        if self.training is not None:
            self.training.memory.clear()
            self._reset_window()

    @guarded
    def scaled_step(self, scaler: object, optimizer: object, result: object) -> None:
        self.notes.scaler = True
        if not self._stepped:
            self.notes.skipped_steps += 1
            self._loss_sums.clear()
            self._backwards = 0
        self._stepped = False

    def _by_hand(self) -> bool:
        """Whether no optimiser is at work: the script changes the weights itself."""
        return self._unseen or (not self._optimizers and not self._candidates)

    def _stepped_unseen(self) -> bool:
        """Whether a step was made since the last backward of which no hook told: by hand, where every
        backward is taken for one, or by an optimiser in a compiled function, which changes the weights."""
        if not self._optimizers:
            return self._by_hand()
        if self._primary is not None:
            return False
        p = next((p for g in self._optimizers[0].param_groups for p in g["params"]), None)
        version = (id(p), p._version if p is not None else 0)
        moved = self._version[0] == version[0] and self._version[1] != version[1]
        self._version = version
        self._unseen = self._unseen or moved
        return moved

    # -- beginning and end
    # --------------------------------------------------------------------------------------------

    def adopt(self, models: Sequence[nn.Module], optimizers: Sequence[Optimizer]) -> None:
        """Take what was built before watching began."""
        self._extra, self._candidates = tuple(models), tuple(optimizers)
        self._adopt()

    @guarded
    def _adopt(self) -> None:
        if self._extra or self._candidates:
            self._look_for_models(force=True)
            self._arm()

    @property
    def steps(self) -> int:
        """Optimiser steps so far."""
        return self._step

    def so_far(self, ended: Facts) -> Run:
        """The run up to now."""
        self._outbox.send()
        self._outbox.collect(wait=True)
        self._outbox.hand_over()
        self.record.set_facts(self._facts(ended))
        return self.record.run()

    def finish(self, ended: Facts, sources: Callable[[Mapping[str, Any]], dict[str, dict[str, str]]]) -> Run:
        """Close the books and return the run; to be called once the hooks are off. Never raises."""
        self._finish(ended, sources)
        self._closed = True
        run = Run({}, ended)
        try:
            run = self.record.run()
            self.record.close()
        except Exception as error:
            if self._writable:  # else it was said
                self.failed("closing the record", error)
        return run

    @guarded
    def _finish(
        self, ended: Facts, sources: Callable[[Mapping[str, Any]], dict[str, dict[str, str]]]
    ) -> None:
        if self.training is not None and self._unseen and self._backwards and self._stepped_unseen():
            self._end_window()
        self._disarm()
        if self.training is not None:
            self._note_valid()
            if self._loss_sums:  # a step was under way: its loss counts, the step does not
                self._note_losses()
            self._fire_each_step()
        self._outbox.send()
        self._outbox.collect(wait=True)
        facts = self._facts(ended)
        facts["sources"] = sources(facts)
        self._outbox.hand_over()
        self.record.set_facts(facts)
        self._flush(last=True)

    def failed(self, where: str, error: BaseException) -> None:
        """Something of ours failed: say so once, and switch it off when it goes on failing."""
        self._failures[where] = self._failures.get(where, 0) + 1
        if self._failures[where] == 1:
            what = f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]
            self.notes.own_failures.append({"where": where, "error": what})
            self._say(f"trainwright: {where} failed ({what}); your run goes on")
        if self._failures[where] >= FAILURES:
            self._off.add(where)

    def after_fork(self) -> None:
        """In a forked child: let go of what belongs to the parent, until the child itself trains."""
        self._disarm()
        self._forked = True

    def _restart(self) -> None:
        """A forked child trains: it gets a record of its own, and its steps are counted from 0."""
        assert self._reopen is not None
        self._forked = False
        self.record = self._reopen()
        self._outbox = Outbox(self.record)
        self.budget = Budget(self.budget.share)
        self._step = self._depth = self._backwards = self._all_backwards = self._segment = 0
        self._writable = True

    # -- one window
    # ---------------------------------------------------------------------------------------------------

    def _end_window(self) -> None:
        """A step is complete: write it, settle the account, decide about the next."""
        assert self.training is not None
        if self._armed is not None:
            self.notes.replicas.note(self._step, self.models.roots.values(), self.models.parameters)
        was_armed, startup = self._armed is not None, self.budget.in_startup(self._step - self._segment)
        self._disarm()
        self._note_losses()
        self._note_valid()
        if self.loaders.passes:
            self.training.noted["epoch"] = WHOLE, [float(self.loaders.passes)]
        self._fire_each_step()
        self._outbox.send(soon=was_armed)
        if was_armed:
            self._outbox.collect()
            self._reset_window()
        self._step += 1
        self.training.step = self._step
        self._backwards = 0
        now = time.perf_counter_ns()
        own_s = (self._own_ns + now - self._began_ns) / 1e9
        wall_s = (now - self._last_end_ns) / 1e9
        self.budget.step_took(wall_s, own_s, read=was_armed, startup=startup and was_armed)
        if was_armed and self.budget.step_s is not None:
            self.training.noted["step_time"] = WHOLE, [self.budget.step_s]
        self._last_end_ns = self._began_ns = now  # what follows, arming included, is the next step's
        self._own_ns = 0
        if time.monotonic() - self._last_flush_s > FLUSH_S:
            self._flush()
        if self._stop_after is not None or self.budget.allows(self._step - self._segment):
            self._arm()

    def _reset_window(self) -> None:
        training = self.training
        assert training is not None
        self._fired.clear()
        self._made_by.clear()
        training.outputs, training.output_grads, training.activations, training.before = {}, {}, {}, {}
        training.prediction = training.target = None
        training.batch = ()

    def _arm(self) -> None:
        """Put hooks on the layers for the coming window."""
        if self.training is None or self._armed is not None:
            return
        self._look_for_models()
        self._armed = undo = ExitStack()
        roots = list(self.models.roots.values())
        self.notes.compiled = self.notes.compile_asked or any(is_compiled(r) for r in roots)
        if self.notes.compiled:
            if not self.notes.eager_probe:
                return
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        layers = list(self.models.leaf_modules().items())
        parts = max(1, min(self.budget.thinning(), len(layers)))
        self._layers = {id(module): name for name, module in layers[self.budget.sampled % parts :: parts]}
        # Global hooks, and only for this window: a hook on the script's own modules would be copied, pickled
        # and scripted along with them (copy.deepcopy, torch.save, torch.jit.script), and the script would
        # not be unchanged.
        undo.callback(register_module_forward_pre_hook(self._module_called).remove)
        undo.callback(register_module_forward_hook(self._module_ran).remove)

    def _disarm(self) -> None:
        if self._armed is not None:
            armed, self._armed = self._armed, None
            armed.close()

    def _module_called(self, module: nn.Module, args: tuple[object, ...]) -> None:
        if id(module) in self.models.roots:
            self._root_called(module, args)

    def _module_ran(self, module: nn.Module, args: object, output: object) -> None:
        name = self._layers.get(id(module))
        if name is not None:
            self._layer_ran(name, module, args, output)

    @guarded
    def _root_called(self, module: nn.Module, args: tuple[object, ...]) -> None:
        if (
            torch.is_grad_enabled()
            and self.training is not None
            and not self.training.batch
            and not _in_a_mode()
        ):
            self.training.batch = tuple(a for a in args if isinstance(a, Tensor))
            self.notes.batch(self.training.batch)
            self.notes.modes(module)
            self._fire(Moment.START)

    @guarded
    def _layer_ran(self, name: str, module: nn.Module, args: object, output: object) -> None:
        training = self.training
        if training is None or name in training.outputs or not torch.is_grad_enabled() or _in_a_mode():
            return
        x = _first_tensor(output)
        if x is None or x.is_nested or x.is_sparse or not x.is_floating_point() or x.numel() == 0:
            return
        if not training.batch and isinstance(args, tuple) and not training.outputs:
            # The script calls a part of the model (as LightningModule.training_step does), or by keywords.
            training.batch = tuple(a for a in args if isinstance(a, Tensor))
            self.notes.batch(training.batch)
        if not self._saved_hooks:
            self._saved_hooks = torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
        x = getattr(x, "_local_tensor", x)
        first = isinstance(module, CHANNELS_FIRST)
        training.outputs[name] = output_sample(x, channels_first=first)
        self.notes.layer(module, x)
        if x.requires_grad:
            if x.grad_fn is not None:
                self._made_by[x.grad_fn._sequence_nr()] = name
                number = graph.made_by(x)[1]  # without what only reshapes it
                if number is not None:
                    self._made_by[number] = name
            x.register_hook(functools.partial(self._layer_grad, name, first))

    @guarded
    def _layer_grad(self, name: str, channels_first: bool, grad: Tensor) -> None:
        if self.training is not None and self._armed is not None and name not in self.training.output_grads:
            sample = output_sample(grad, channels_first=channels_first)
            self.training.output_grads[name] = sample / self._loss_scale if self._loss_scale != 1 else sample

    def _read_graph(self, root: Tensor) -> None:
        """Activation functions, and parameters that no optimiser owns, from the autograd graph."""
        assert self.training is not None
        found = graph.walk(root, read_saved=not self._saved_hooks)
        self.models.adopt(found.leaves)
        self.notes.leaves(found.leaves, self._optimizers)
        self.notes.compiled = self.notes.compiled or found.compiled
        self.notes.hazards = found.hazards or self.notes.hazards
        for a in found.activations:
            place = self._place_of(a.feeder)
            module = self.models.modules.get(place) if place is not None else None
            if place is None or module is None or isinstance(module, nn.RNNBase | nn.RNNCellBase):
                continue  # gates are meant to saturate
            if place not in self.training.activations:
                first = isinstance(module, CHANNELS_FIRST)
                self.training.activations[place] = (a.function, output_sample(a.result, channels_first=first))
                self.notes.activations[place] = a.function

    def _place_of(self, parameter: Tensor) -> str | None:
        name = self.models.parameter_names.get(id(parameter))
        return self.models.owner[name] if name is not None else None

    def _read_gradients(self, optimizer: Optimizer | None) -> None:
        assert self.training is not None
        self.training.optimizer = optimizer
        self.training.parameters = self._parameters_of(optimizer)
        self._gradients_read = True
        self._fire(Moment.GRAD)
        self._look_at_gradients()
        self.notes.gradients(self.training.parameters)
        for name, p in self.training.parameters.items():
            if p.grad is None:
                self.training.before.pop(name, None)

    def _keep_weights(self) -> None:
        """A sample of each weight that is about to be changed: a step is judged parameter by parameter."""
        assert self.training is not None
        for name, p in self.training.parameters.items():
            if p.requires_grad and not isinstance(p, nn.UninitializedParameter):
                self.training.before[name] = weight_sample(p)

    def _look_at_gradients(self) -> None:
        """A gradient that is not finite although the loss is; a scaler would skip the step."""
        assert self.training is not None
        if self.notes.non_finite is not None or self.notes.scaler:
            return
        for name, p in self.training.parameters.items():
            if p.grad is not None and not math.isfinite(
                float(getattr(p.grad, "_local_tensor", p.grad).sum())
            ):
                self.notes.non_finite_gradient(self._step, name)
                return

    def _parameters_of(self, optimizer: Optimizer | None) -> dict[str, nn.Parameter]:
        if optimizer is None or len(self._optimizers) < 2:
            return self.models.parameters
        owned = {id(p) for g in optimizer.param_groups for p in g["params"]}
        return {n: p for n, p in self.models.parameters.items() if id(p) in owned}

    def _fire(self, moment: Moment) -> None:
        """Read the signals of a moment of the window."""
        assert self.training is not None
        self._fired.add(moment)
        if moment is Moment.STEP and not self._plain_mean:
            self.training.noted.pop("constant_loss", None)
        with torch.no_grad():
            for signal in self._at[moment]:
                if not signal.each_step:
                    self._read(signal)

    def _fire_each_step(self) -> None:
        assert self.training is not None
        for name in tuple(self.training.noted):
            if name in self._each_step:
                self._read(self._each_step[name])

    def _read(self, signal: Signal) -> None:
        if signal.name in self._off or self.training is None:
            return
        try:
            reading = signal.read(self.training)
            if reading is not None:
                self._outbox.put(signal.name, self._step, *reading)
        except Exception as error:
            self.failed(signal.name, error)

    # -- what is noted of each step
    # -----------------------------------------------------------------------------------

    def _unscaled(self, root: Tensor) -> tuple[Tensor, float | Tensor]:
        """The loss without the factor of a scaler or of accumulation, and by what to divide it: a sum that
        the script divides by a count of its own is shown as the mean."""
        if len(self._calls) == 1:
            call = self._calls[0]
            inner = call.result
            if inner is root:
                if call.key is not None and (known := self.losses.known.get(call.key)) is not None:
                    known.sum_of = call.terms
                if self.training is not None and "constant_loss" in self.training.noted:
                    places, (reference,) = self.training.noted["constant_loss"]
                    self.training.noted["constant_loss"] = places, [reference * call.terms]
                return root, 1.0
            if inner.numel() == 1 and graph.is_scaled(root, inner):
                if self._armed is not None:
                    value = float(_here(inner) / call.terms)
                    self._loss_scale = float(_here(root)) / value if value else 1.0
                return inner, call.terms
        self._plain_mean = False
        return root, 1.0

    def _note_loss(self, key: tuple[str, int], inner: Tensor, terms: float | Tensor, root: Tensor) -> None:
        if self._in_step is not None and key in self._loss_sums:
            return  # a closure that searches along a line: the step's first loss is the one
        value: float | Tensor
        if not inner.is_cpu:
            value = _here(inner).reshape(()) / terms
        else:
            plain = inner if type(inner) is Tensor else _here(inner)
            value = plain.item() / float(terms)
            if not math.isfinite(value) and self.notes.non_finite is None:
                self.notes.non_finite_loss(self._step, root, self._made_by, key)
        self._loss_sums.setdefault(key, []).append(value)
        if key not in self._loss_places:
            name = f"{os.path.basename(key[0])}:{key[1]}"
            self._loss_places[key] = name if self._loss_places else ""
            if len(self._loss_places) > 1:
                self._several_losses, self._plain_mean = True, False

    def _note_losses(self) -> None:
        assert self.training is not None
        if not self._loss_sums:
            return
        values = [seen[0] if len(seen) == 1 else _mean(seen) for seen in self._loss_sums.values()]
        if len(values) == 1 and not self._several_losses:
            places = WHOLE
        else:
            places = tuple(self._loss_places[key] for key in self._loss_sums)
        self.training.noted["loss"] = places, values
        self._loss_sums.clear()

    def _note_rates(self) -> None:
        """The rates that are about to be used."""
        assert self.training is not None
        rates = [group.get("lr", math.inf) for o in self._optimizers for group in o.param_groups]
        if rates != self._rates or any(isinstance(rate, Tensor) for rate in rates):
            self._rates = rates
            values = [rate if isinstance(rate, Tensor) else float(rate) for rate in rates]
            self._noted_rates = tuple(str(i) for i in range(len(rates))), values
        self.training.noted["learning_rate"] = self._noted_rates

    def _note_leftover(self) -> None:
        """Before the first backward after a step, gradients should be gone."""
        if (
            self._armed is None
            or self.training is None
            or self._step == self._segment
            or (self._in_step is not None and self._backwards > 1)  # a closure that is run again and again
        ):
            return
        left = self.training.memory.setdefault("leftover_grad", {})
        assert isinstance(left, dict)
        for optimizer in self._optimizers:
            for name, p in self.notes.probes(optimizer):
                norm = 0.0 if p.grad is None else float(getattr(p.grad, "_local_tensor", p.grad).norm())
                left[name] = min(norm, left.get(name, math.inf))

    def _validated(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        """A loss was evaluated without gradient: part of a validation pass, unless it is over the training
        loader."""
        trained = {key[0] for key in self.losses.known}
        pair = losses.arguments(args, kwargs)
        if pair is None or (trained and kind not in trained) or self.loaders.on_training_data():
            return
        rows = max(1, len(pair[0]) if pair[0].ndim else 1)
        of_training = next((known.sum_of for key, known in self.losses.known.items() if key[0] == kind), 1.0)
        value = float(result.detach().float().mean() / losses.terms(kind, *pair, kwargs) * of_training)
        right = losses.accuracy(kind, *pair, kwargs)
        for name, number in (("valid_loss", value), ("valid_accuracy", right)):
            if number is not None:
                entry = self._valid.setdefault(name, [0.0, 0.0])
                entry[0] += number * rows
                entry[1] += rows

    def _note_valid(self) -> None:
        assert self.training is not None
        if not self._valid:
            return
        if self._step > 0:
            self.training.noted.update(
                {name: (WHOLE, [total / n]) for name, (total, n) in self._valid.items()}
            )
        self._valid = {}

    # -- housekeeping
    # -------------------------------------------------------------------------------------------------

    def _look_for_models(self, *, force: bool = False) -> None:
        """Find the watched models again when modules were built since, and begin when there are any."""
        if not force and self._known_modules == len(self.models.made):
            return
        start = time.perf_counter_ns()
        self._known_modules = len(self.models.made)
        self.models.find((*self._optimizers, *self._candidates), self._extra, self._leaves)
        self._begin()
        took = (
            time.perf_counter_ns() - start
        )  # an account of its own: it is no reading, nor any of the run's time
        self.budget.found_s += took / 1e9
        self._began_ns += took
        self._last_end_ns += took

    def _begin(self) -> None:
        self.notes.parameters(self._optimizers)
        if self.models.roots or self.models.parameters:
            root = next(iter(self.models.roots.values()), None)
            if self.training is None:
                self.training = Training(root if root is not None else nn.Module())
            elif root is not None:
                self.training.model = root
            self.training.parameters = self.models.parameters

    def _look_at_leaves(self, root: Tensor) -> None:
        """No optimiser was built under our eyes: which of those alive is it, or are the weights changed by
        hand?"""
        leaves = graph.walk(root, read_saved=False).leaves
        ids = {id(p) for p in leaves}
        self._candidates = tuple(
            o for o in self._candidates if any(id(p) in ids for g in o.param_groups for p in g["params"])
        )
        known = self.models.parameter_names
        if not self._candidates and not all(id(p) in known for p in leaves):
            self._leaves = tuple(leaves)
            self._look_for_models(force=True)
            self._disarm()
            self._arm()

    def _flush(self, *, last: bool = False) -> None:
        """Put what is buffered on disk."""
        self._last_flush_s = time.monotonic()
        if not self._writable:
            return
        try:
            if not last and self.notes.due():
                self.record.set_facts(self._facts({}))
            self._outbox.hand_over()
            self.record.flush()
        except Exception as error:
            self._writable = False
            self.failed("writing the record", error)

    def _facts(self, ended: Facts) -> Facts:
        per_step = self._all_backwards / self._step if self._step else float(self._all_backwards)
        return self.notes.facts(
            steps=self._step, backwards_per_step=per_step, budget=self.budget, ended=ended
        )


skip(guarded, *vars(Recorder).values())


def _mean(seen: list[float | Tensor]) -> float | Tensor:
    """Mean of a step's losses: of numbers, or on the device."""
    numbers = [v for v in seen if not isinstance(v, Tensor)]
    if len(numbers) < len(seen):
        return torch.stack([torch.as_tensor(v) for v in seen]).mean()
    return sum(numbers) / len(numbers)


def _in_a_mode() -> bool:
    """Whether tensors are not plain numbers just now, or operations of ours would be seen by others: within
    torch.jit.trace, torch.func transforms, and dispatch modes (fake tensors, selective checkpointing)."""
    return (
        torch._C._is_tracing()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _first_tensor(output: object) -> Tensor | None:
    """The first tensor of what a module returned."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        output = tuple(output.values())
    if isinstance(output, tuple | list):  # packed sequences and states lie one level deeper
        return next((x for part in output[:8] if (x := _first_tensor(part)) is not None), None)
    return None


def _here(x: Tensor) -> Tensor:
    """A tensor without its graph; of a DTensor the part that is on this rank."""
    x = x.detach()
    return getattr(x, "_local_tensor", x)
