"""Follows one training by what the hooks tell, and decides which steps are read.

A window runs from one step of the first optimiser to its next. Most windows only note the loss, the rates and
the time, most of those by way of the `lane`; when the budget allows one to be read, `reader` puts hooks on the
layers before it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .. import signals
from ..core import Facts, Moment, Reading, Run, Signal, Training
from . import graph, losses, sites
from .budget import Budget
from .guard import Guard, aside, guarded, in_a_mode
from .lane import LONGEST, LONGEST_S, Lane
from .loaders import Loaders
from .lossbook import WHOLE, LossBook
from .losses import Losses
from .model import Models
from .notes import Notes
from .outbox import Outbox
from .reader import Reader
from .stop import StopCheck
from .uncompiled import skip

FLUSH_S = 1.0 - LONGEST_S
"""At most a second of the record is lost when the process is killed: that, and a stretch in the lane."""


class Record(Protocol):
    """The store, as the recorder sees it."""

    def add(
        self, signal: str, steps: Sequence[int], places: tuple[str, ...], values: npt.ArrayLike
    ) -> None: ...
    def set_facts(self, facts: Facts) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...
    def run(self) -> Run: ...


class Recorder:
    """Hears everything (`attach.Listener`) and fills a record. Never raises but `StopCheck`."""

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
        self.record, self.guard = record, Guard(say)
        self.models, self.loaders, self.losses = Models(), Loaders(), Losses()
        self.notes = Notes(self.models, self.loaders, self.losses, self.guard.said)
        self.notes.eager_probe = eager_probe
        self.budget = Budget(overhead)
        self.lane = Lane()
        self._detours = 0  # stretches in a row that ended within their first step
        self.guard.settle = self.leave_lane
        self.book = LossBook(self.losses, self.loaders)
        self._outbox = Outbox(record)
        self.reader = Reader(self.guard, self.models, self.notes, self.book, self._outbox, what)
        self._stop_after, self._reopen = stop_after, reopen
        self._extra: tuple[nn.Module, ...] = ()
        self._leaves: tuple[Tensor, ...] = ()  # what is trained by hand
        self._known_modules = -1
        self._optimizers: list[Optimizer] = []
        # Alive when watching began: it is not known which of them are used.
        self._candidates: tuple[Optimizer, ...] = ()
        self._primary: Optimizer | None = None
        self._since_primary: set[int] = set()  # others that have stepped since the primary's last step
        self._in_step: Optimizer | None = None
        self._unseen = False  # steps are made that no hook tells of
        self._version = (0, 0)  # `id` of a weight, and how often it had been changed at the last backward
        self._overflow = False  # a scaler has told the fused optimiser that steps now not to
        self._stepped = False  # since the scaler was asked for a step
        self._rates: list[float | Tensor] = []
        self._noted_rates: Reading = (), []
        self._device_rates = False  # some rate is a tensor: it changes in place, and may be on a device
        self._segment = 0  # the step at which the training that goes on now began
        self._step, self._depth, self._backwards, self._all_backwards = 0, 0, 0, 0
        self._last_end_ns = time.perf_counter_ns()
        self._last_flush_s = -math.inf  # the first step is on disk at once
        self._writable = True

    @property
    def steps(self) -> int:
        """Optimiser steps so far."""
        return self._step + len(self.lane.losses)

    # What the hooks tell.

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
            self.reader.disarm()
            self._arm()

    @guarded
    def scheduler_made(self, scheduler: object) -> None:
        self.notes.scheduler(scheduler)

    def zeroed(self, whose: object) -> None:
        """Gradients were zeroed: counted here, without the cost of a guard; whose they were is told later."""
        if not self.guard.closed:
            key = id(whose)
            self.notes.zeroed[key] = self.notes.zeroed.get(key, 0) + 1

    @aside
    def clipped(self, kind: str, limit: object) -> None:
        self.notes.clipped(kind, limit, sites.line_of_call(4), lambda: sites.site(depth=6))

    @guarded
    def loader_started(self, loader: Any, iterator: object) -> None:
        self.loaders.started(loader, iterator)

    def batch_loaded(self, iterator: object, ended: bool) -> None:
        """A batch was handed out, or the pass is over."""
        try:
            if not ended and self.lane.open and self.loaders.another(iterator):
                return
        except Exception as error:
            self.guard.failed("batch_loaded", error)
        self._batch_loaded(iterator, ended)

    @guarded
    def _batch_loaded(self, iterator: object, ended: bool) -> None:
        self.loaders.loaded(iterator, ended)

    @guarded
    def state_loaded(self, module: nn.Module, state: object, result: object) -> None:
        self.notes.state_loaded(module, state, result, sites.site(depth=4))

    @guarded
    def compile_called(self, what: object) -> None:
        if self.notes.compile_called(what) and self.reader.armed is not None:
            self.reader.disarm()
            self._arm()  # in the way that a compiled model allows

    def loss_called(
        self,
        kind: str,
        original: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: object,
    ) -> None:
        """A loss function has been called."""
        if not (self.lane.open and self.lane.loss_called(result, kwargs)):
            self._loss_called(kind, original, args, kwargs, result)

    @guarded
    def _loss_called(
        self,
        kind: str,
        original: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: object,
    ) -> None:
        if not isinstance(result, Tensor) or result.is_meta or in_a_mode():
            return
        if not result.requires_grad or not torch.is_grad_enabled():
            self.book.validated(kind, args, kwargs, result)
            return
        training = self.reader.training if self.reader.armed is not None else None
        looked = self.book.called(kind, original, args, kwargs, result, training)
        if looked is not None:
            known, node = looked
            maker = self.reader.made_by.get(node) if node is not None else None
            if maker is not None and known.facts["input_site"] is None:
                known.facts["input_site"] = self.models.site_of(self.models.modules[maker])

    @guarded
    def loss_refused(self, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A loss function has raised."""
        if not in_a_mode() and self.notes.refused is None:
            self.notes.refused = losses.refused_labels(kind, args, kwargs, self.steps, sites.site(depth=4))

    def before_backward(self, tensors: object) -> None:
        """Backward is about to start."""
        if self.lane.open and self.lane.before_backward(tensors):
            return
        if self.guard.forked and self._reopen is not None:
            try:
                self._restart()
            except Exception as error:
                self.guard.closed = True
                self.guard.failed("watching a forked process", error)
        self._before_backward(tensors)
        if self._stop_after is not None:
            self._stop_when_seen_enough(self._stop_after)

    @guarded
    def _before_backward(self, tensors: object) -> None:
        self._depth += 1
        root = tensors if isinstance(tensors, Tensor) else _only_tensor(tensors)
        if self._depth > 1 or root is None:
            return
        if not self._optimizers and self._backwards == 0:
            self._look_at_leaves(root)
        reader, training = self.reader, self.reader.training
        if training is None:
            return
        if self._stepped_unseen() and self._backwards:
            if reader.armed is not None:
                reader.fire(Moment.STEP)
            self._end_window()
        self._backwards += 1
        self._all_backwards += 1
        read = reader.armed is not None
        inner, terms = self.book.unscaled(root, training, read=read)
        training.loss = inner
        line = self.book.line(read=read)
        if root.numel() == 1:
            value = self.book.note(line, inner, terms, closure=self._in_step is not None)
            if not math.isfinite(value) and self.notes.non_finite is None:
                self.notes.non_finite_loss(self._step, root, reader.made_by, line)
        calls, self.book.calls = self.book.calls, []
        if not read:
            return
        repeated = self._in_step is not None and self._backwards > 1  # a closure that is run again and again
        if self._step > self._segment and not repeated:
            reader.note_leftover(self._optimizers)
        if Moment.LOSS not in reader.fired:
            by_hand = graph.difference(root) if not calls else None
            if by_hand is not None:
                self.losses.by_hand(line, *by_hand)
            reader.read_graph(root, self._optimizers)
            reader.fire(Moment.FORWARD)
            reader.fire(Moment.LOSS)

    def after_backward(self) -> None:
        """Backward has ended, or failed."""
        if self.lane.open:
            self.lane.in_backward = False
            return
        self._depth = max(0, self._depth - 1)
        training = self.reader.training
        if self._depth == 0 and training is not None:
            training.loss = None  # the graph is the script's to free
            if self.reader.armed is not None:
                self._after_backward(training)

    @guarded
    def _after_backward(self, training: Training) -> None:
        if self._by_hand():
            training.parameters = self.models.parameters
            self.reader.keep_weights()
            self.reader.read_gradients(None)

    def before_step(self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """An optimiser is about to step: torch's hook."""
        if self.lane.open and optimizer is self._primary:
            self.lane.in_step = True
        else:  # whether it was given a function that makes the gradients; `args` begin with the optimiser
            self._before_step(optimizer, (args[1] if len(args) > 1 else kwargs.get("closure")) is not None)

    @guarded
    def _before_step(self, optimizer: Optimizer, closure: bool) -> None:
        if optimizer not in self._optimizers:  # built before watching began, or unpickled
            self._optimizers.append(optimizer)
            self._candidates = ()
            self.notes.optimizer(optimizer, None)
            self._look_for_models(force=True)
        self._primary, self._unseen = self._primary or optimizer, False
        self._in_step = optimizer
        reader, training = self.reader, self.reader.training
        if training is None:
            return
        scale, overflow = getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)
        training.grad_scale = scale if isinstance(scale, Tensor) else None
        # Asking a GPU would make it wait, so there it is asked only where the step is read anyway.
        asked = isinstance(overflow, Tensor) and (overflow.is_cpu or reader.armed is not None)
        self._overflow = asked and bool(overflow)
        if self._overflow or reader.armed is None:
            return
        reader.gradients_read = False
        training.parameters = self._parameters_of(optimizer)
        reader.keep_weights()
        # What is there before a closure runs is the last step's gradient.
        if not closure and any(p.grad is not None for g in optimizer.param_groups for p in g["params"]):
            reader.read_gradients(optimizer)

    def after_step(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        """An optimiser has stepped: torch's hook."""
        if self.lane.open and self.lane.after_step(optimizer):
            if self.lane.steps_left == 0:
                self._stretch_ended()
            return
        self._after_step(optimizer)
        if self._stop_after is not None:
            self._stop_when_seen_enough(self._stop_after)

    @guarded
    def _stretch_ended(self) -> None:
        self._begin_window(read=self.budget.allows(self._step - self._segment))

    def _stop_when_seen_enough(self, steps: int) -> None:
        if self._step >= steps and not self.guard.closed:
            raise StopCheck(f"{self._step} optimiser steps were seen")

    @guarded
    def _after_step(self, optimizer: Optimizer) -> None:
        self._in_step = None
        if self._overflow:  # a fused optimiser was called, and did nothing
            self._overflow = False
            return
        self._stepped = True
        reader, training = self.reader, self.reader.training
        if training is None:
            return
        if reader.armed is not None:
            training.parameters = self._parameters_of(optimizer)
            if not reader.gradients_read:  # a closure has made them
                reader.read_gradients(optimizer)
            training.optimizer = optimizer
            reader.fire(Moment.STEP)
        self.loaders.stepped()
        if optimizer is not self._primary:
            if id(optimizer) not in self._since_primary:
                self._since_primary.add(id(optimizer))
                return
            self._primary = optimizer  # the one that went before is used more seldom, or no more
        if self._since_primary:
            self._since_primary.clear()
        self._end_window()

    @guarded
    def scaled_step(self, scaler: object, optimizer: object, result: object) -> None:
        self.notes.scaler = True
        if not self._stepped:
            self.notes.skipped_steps += 1
            self.book.drop()
            self._backwards = 0
        self._stepped = False

    # Windows.

    def _end_window(self) -> None:
        """A step is complete: write it, settle the account, decide about the next."""
        reader, training = self.reader, self.reader.training
        assert training is not None
        was_armed = reader.armed is not None
        startup = was_armed and self.budget.in_startup(self._step - self._segment)
        if was_armed:
            self.notes.replicas.note(self._step, self.models.roots.values(), self.models.parameters)
            reader.disarm()
        self._note_step(training)
        reader.fire_each_step()
        self._outbox.send(soon=was_armed)
        if was_armed:
            self._outbox.collect()
            reader.reset()
        self._step += 1
        training.step = self._step
        self._backwards = 0
        guard, now = self.guard, time.perf_counter_ns()
        own_s, wall_s = (guard.own_ns + now - guard.began_ns) / 1e9, (now - self._last_end_ns) / 1e9
        self.budget.step_took(wall_s, own_s, read=was_armed, startup=startup)
        if was_armed and self.budget.step_s is not None:
            training.noted["step_time"] = WHOLE, [self.budget.step_s]
        self._last_end_ns = guard.began_ns = now  # what follows, arming included, is the next step's
        guard.own_ns = 0
        self._begin_window(read=self.budget.allows(self._step - self._segment))

    def _begin_window(self, *, read: bool) -> None:
        """Decide how the coming step is watched, after all that is to do between two."""
        if time.perf_counter() - self._last_flush_s > FLUSH_S:
            self._flush()
        if read or self._stop_after is not None:
            self._arm()
        elif self._may_take_the_lane():
            steps = self.budget.steps_until_read(self._step - self._segment)
            longest = min(LONGEST, int(LONGEST_S / (self.budget.step_s or math.inf)))
            if min(steps, longest) > 1:
                self.lane = Lane(self._primary, min(steps, longest))

    def _may_take_the_lane(self) -> bool:
        """Whether the next steps are likely to be plain ones (see `lane`)."""
        notes, book = self.notes, self.book
        one_of_each = len(self._optimizers) == 1 and len(book.places) == 1 and not book.calls
        ordinary = not (notes.scaler or notes.compile_asked or self._device_rates or self._unseen)
        # Where a step is never plain, it is tried again only now and then.
        return one_of_each and ordinary and (self._detours < 3 or self._step % LONGEST == 0)

    def leave_lane(self) -> None:
        """Take over what was kept in the lane, in the middle of a step as it may be."""
        if not self.lane.open:
            return
        lane, self.lane, training, guard = self.lane, Lane(), self.reader.training, self.guard
        steps = len(lane.losses)
        self._detours = 0 if steps else self._detours + 1
        if steps:
            self._stepped = True
            self.loaders.stepped(steps)
            self._outbox.put_plain(self._step, lane.losses, lane.rates, self.loaders.passes)
            self._step += steps
            self._all_backwards += steps
            own_s = (guard.own_ns + lane.own_ns) / 1e9
            self.budget.plain_steps((lane.end_ns - self._last_end_ns) / 1e9, own_s, steps)
            self._last_end_ns, guard.own_ns = lane.end_ns, 0
            if training is not None:
                training.step = self._step
        if lane.result is not None:
            self.book.remember(lane.result)
        if lane.value is not None:
            self.book.add(lane.value)
            self._backwards += 1
            self._all_backwards += 1
        self._depth = int(lane.in_backward)
        self._in_step = self._primary if lane.in_step else None

    def _note_step(self, training: Training) -> None:
        """What is known of the step without reading it."""
        if self._step == 0:
            self.book.drop_validation()  # of a training that has not begun
        training.noted.update(self.book.close())
        if self._optimizers:
            training.noted["learning_rate"] = self._rates_now()
        if self.loaders.passes:
            training.noted["epoch"] = WHOLE, [float(self.loaders.passes)]

    def _rates_now(self) -> Reading:
        """The rates that were just used; the same object while they do not change."""
        rates = [group.get("lr", math.inf) for o in self._optimizers for group in o.param_groups]
        if self._device_rates or rates != self._rates:
            self._rates = rates
            self._device_rates = any(isinstance(rate, Tensor) for rate in rates)
            values = [rate if isinstance(rate, Tensor) else float(rate) for rate in rates]
            self._noted_rates = tuple(str(i) for i in range(len(rates))), values
        return self._noted_rates

    def _arm(self) -> None:
        if self.reader.training is not None and self.reader.armed is None:
            self._look_for_models()
            self.reader.arm(self.budget)

    def _parameters_of(self, optimizer: Optimizer) -> dict[str, nn.Parameter]:
        if len(self._optimizers) < 2:
            return self.models.parameters
        owned = {id(p) for g in optimizer.param_groups for p in g["params"]}
        return {n: p for n, p in self.models.parameters.items() if id(p) in owned}

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

    # Which models.

    def adopt(self, models: Sequence[nn.Module], optimizers: Sequence[Optimizer]) -> None:
        """Take what was built before watching began."""
        self._extra, self._candidates = tuple(models), tuple(optimizers)
        self._adopt()

    @guarded
    def _adopt(self) -> None:
        if self._extra or self._candidates:
            self._look_for_models(force=True)
            self._arm()

    def _look_for_models(self, *, force: bool = False) -> None:
        """Find the watched models again when modules were built since, and begin when there are any."""
        if not force and self._known_modules == len(self.models.made):
            return
        start = time.perf_counter_ns()
        self._known_modules = len(self.models.made)
        self.models.find((*self._optimizers, *self._candidates), self._extra, self._leaves)
        self.notes.parameters(self._optimizers)
        if self.models.roots or self.models.parameters:
            root = next(iter(self.models.roots.values()), None)
            if self.reader.training is None:
                self.reader.training = Training(root if root is not None else nn.Module())
            elif root is not None:
                self.reader.training.model = root
            self.reader.training.parameters = self.models.parameters
        # An account of its own: it is no reading, nor any of the run's time.
        took = time.perf_counter_ns() - start
        self.budget.found_s += took / 1e9
        self.guard.began_ns += took
        self._last_end_ns += took

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
            self.reader.disarm()
            self._arm()

    def _begin_anew(self) -> None:
        """An optimiser is built in the middle: the script trains one model after the other (folds, a search,
        phases), and what follows is a training of its own. Should an earlier optimiser step again, it is
        taken in again."""
        self.reader.disarm()
        self._optimizers, self._primary = [], None
        self._segment = self._step
        self.notes.begin_anew(self._step)
        self.book.begin_anew()
        if self.reader.training is not None:
            self.reader.training.memory.clear()
        self.reader.reset()

    # The record.

    def so_far(self, ended: Facts) -> Run:
        """The run up to now."""
        self.leave_lane()
        self._outbox.send()
        self._outbox.collect(wait=True)
        self._outbox.hand_over()
        self.record.set_facts(self._facts(ended))
        return self.record.run()

    def finish(self, ended: Facts, sources: Callable[[Mapping[str, Any]], dict[str, dict[str, str]]]) -> Run:
        """Close the books and return the run; to be called once the hooks are off. Never raises."""
        self._finish(ended, sources)
        self.guard.closed = True
        run = Run({}, ended)
        try:
            run = self.record.run()
            self.record.close()
        except Exception as error:
            if self._writable:  # else it was said
                self.guard.failed("closing the record", error)
        return run

    @guarded
    def _finish(
        self, ended: Facts, sources: Callable[[Mapping[str, Any]], dict[str, dict[str, str]]]
    ) -> None:
        training = self.reader.training
        if training is not None and self._unseen and self._backwards and self._stepped_unseen():
            self._end_window()
        self.reader.disarm()
        if training is not None:  # of a step that was under way the loss counts, the step does not
            if self._step == 0:
                self.book.drop_validation()
            training.noted.update(self.book.close())
            self.reader.fire_each_step()
        self._outbox.send()
        self._outbox.collect(wait=True)
        facts = self._facts(ended)
        facts["sources"] = sources(facts)
        self._outbox.hand_over()
        self.record.set_facts(facts)
        self._flush(last=True)

    def _flush(self, *, last: bool = False) -> None:
        """Put what is buffered on disk."""
        self._last_flush_s = time.perf_counter()
        if not self._writable:
            return
        try:
            if not last and self.notes.due():
                self.record.set_facts(self._facts({}))
            self._outbox.hand_over()
            self.record.flush()
        except Exception as error:
            self._writable = False
            self.guard.failed("writing the record", error)

    def _facts(self, ended: Facts) -> Facts:
        per_step = self._all_backwards / self._step if self._step else float(self._all_backwards)
        return self.notes.facts(
            steps=self._step, backwards_per_step=per_step, budget=self.budget, ended=ended
        )

    def after_fork(self) -> None:
        """In a forked child: let go of what belongs to the parent, until the child itself trains."""
        self.reader.disarm()
        self.lane = Lane()
        self.guard.forked = True

    def _restart(self) -> None:
        """A forked child trains: it gets a record of its own, and its steps are counted from 0."""
        assert self._reopen is not None
        self.guard.forked = False
        self.record = self._reopen()
        self._outbox = self.reader.outbox = Outbox(self.record)
        self.budget = Budget(self.budget.share)
        self._step = self._depth = self._backwards = self._all_backwards = self._segment = 0
        if self.reader.training is not None:
            self.reader.training.step = 0
        self._writable = True


skip(*vars(Recorder).values())


def _only_tensor(tensors: object) -> Tensor | None:
    """The first of several tensors that backward starts from."""
    first = next(iter(tensors), None) if isinstance(tensors, Sequence) else None
    return first if isinstance(first, Tensor) else None
