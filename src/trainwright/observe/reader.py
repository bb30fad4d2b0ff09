"""Reads the signals of one window: hooks go on before it and off after it, samples are taken in between."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer

from ..core import Moment, Signal, Training
from ..signals.sample import output_sample, weight_sample
from . import graph
from .budget import Budget
from .guard import Guard, guarded, in_a_mode
from .lossbook import LossBook
from .model import CHANNELS_FIRST, Models, is_compiled
from .notes import Notes
from .outbox import Outbox
from .uncompiled import skip


class Reader:
    """The live training, and what is read of it in the window under way."""

    def __init__(
        self,
        guard: Guard,
        models: Models,
        notes: Notes,
        book: LossBook,
        outbox: Outbox,
        what: Sequence[Signal],
    ):
        self.guard, self.outbox = guard, outbox
        self.training: Training | None = None
        self.armed: ExitStack | None = None
        self.fired: set[Moment] = set()
        self.gradients_read = False  # those of the step that an optimiser makes now
        self.made_by: dict[int, str] = {}  # number of a graph node -> module
        self._models, self._notes, self._book = models, notes, book
        self._at: dict[Moment, list[Signal]] = {m: [s for s in what if s.at is m] for m in Moment}
        self._each_step = {s.name: s for s in what if s.each_step}
        self._layers: dict[int, str] = {}  # modules whose output is read
        self._root: nn.Module | None = None  # the model that was called first in this window
        self._saved_hooks = False  # saved tensors have hooks of the script's: not to be touched

    def arm(self, budget: Budget) -> None:
        """Put hooks on the layers for the coming window."""
        self.armed = undo = ExitStack()
        notes, roots = self._notes, self._models.roots.values()
        notes.compiled = notes.compile_asked or any(is_compiled(r) for r in roots)
        if notes.compiled:
            if not notes.eager_probe:
                return
            undo.enter_context(torch.compiler.set_stance("force_eager"))
        layers = list(self._models.leaf_modules().items())
        parts = max(1, min(budget.thinning(), len(layers)))
        self._layers = {id(module): name for name, module in layers[budget.sampled % parts :: parts]}
        # Global hooks, and only for this window: a hook on the script's own modules would be copied, pickled
        # and scripted along with them (copy.deepcopy, torch.save, torch.jit.script), and the script would
        # not be unchanged.
        undo.callback(register_module_forward_pre_hook(self._module_called).remove)
        undo.callback(register_module_forward_hook(self._module_ran).remove)

    def disarm(self) -> None:
        """Take the hooks off."""
        if self.armed is not None:
            armed, self.armed = self.armed, None
            armed.close()

    def reset(self) -> None:
        """Forget the window's samples."""
        self.fired.clear()
        self.made_by.clear()
        self._root = None
        training = self.training
        if training is not None:
            training.outputs, training.output_grads, training.activations, training.before = {}, {}, {}, {}
            training.prediction = training.target = None
            training.batch = ()

    def fire(self, moment: Moment) -> None:
        """Read the signals of a moment of the window."""
        training = self.training
        assert training is not None
        self.fired.add(moment)
        if moment is Moment.STEP and not self._book.comparable:
            training.noted.pop("constant_loss", None)
        with torch.no_grad():
            for signal in self._at[moment]:
                if not signal.each_step:
                    self._read(signal, training)

    def fire_each_step(self) -> None:
        """Read the signals of every step that were noted."""
        training = self.training
        assert training is not None
        for name in tuple(training.noted):
            if name in self._each_step:
                self._read(self._each_step[name], training)

    def _read(self, signal: Signal, training: Training) -> None:
        if signal.name in self.guard.off:
            return
        try:
            reading = signal.read(training)
            if reading is not None:
                self.outbox.put(signal.name, training.step, *reading)
        except Exception as error:
            self.guard.failed(signal.name, error)

    def _module_called(self, module: nn.Module, args: tuple[object, ...]) -> None:
        if id(module) in self._models.roots:
            self._root_called(module, args)

    def _module_ran(self, module: nn.Module, args: object, output: object) -> None:
        name = self._layers.get(id(module))
        if name is not None:
            self._layer_ran(name, module, args, output)

    @guarded
    def _root_called(self, module: nn.Module, args: tuple[object, ...]) -> None:
        training = self.training
        if training is None or training.batch or not torch.is_grad_enabled() or in_a_mode():
            return
        training.batch = tuple(a for a in args if isinstance(a, Tensor))
        self._root = module
        self._notes.batch(training.batch)
        self.fire(Moment.START)

    @guarded
    def _layer_ran(self, name: str, module: nn.Module, args: object, output: object) -> None:
        training = self.training
        if training is None or name in training.outputs or not torch.is_grad_enabled() or in_a_mode():
            return
        x = _first_tensor(output)
        if x is None or x.is_nested or x.is_sparse or not x.is_floating_point() or x.numel() == 0:
            return
        if not training.batch and isinstance(args, tuple) and not training.outputs:
            # The script calls a part of the model (as LightningModule.training_step does), or by keywords.
            training.batch = tuple(a for a in args if isinstance(a, Tensor))
            self._notes.batch(training.batch)
        if not self._saved_hooks:
            self._saved_hooks = torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
        x = getattr(x, "_local_tensor", x)
        first = isinstance(module, CHANNELS_FIRST)
        training.outputs[name] = output_sample(x, channels_first=first)
        self._notes.layer(module, x)
        if x.requires_grad:
            if x.grad_fn is not None:
                self.made_by[x.grad_fn._sequence_nr()] = name
                number = graph.made_by(x)[1]  # without what only reshapes it
                if number is not None:
                    self.made_by[number] = name
            x.register_hook(functools.partial(self._layer_grad, name, first))

    @guarded
    def _layer_grad(self, name: str, channels_first: bool, grad: Tensor) -> None:
        training = self.training
        if training is not None and self.armed is not None and name not in training.output_grads:
            sample = output_sample(grad, channels_first=channels_first)
            training.output_grads[name] = sample / self._book.scale if self._book.scale != 1 else sample

    def read_graph(self, root: Tensor, optimizers: list[Optimizer]) -> None:
        """Activation functions, and parameters that no optimiser owns, from the autograd graph."""
        training = self.training
        assert training is not None
        found = graph.walk(root, read_saved=not self._saved_hooks)
        self._models.adopt(found.leaves)
        self._notes.leaves(found.leaves, optimizers)
        self._notes.compiled = self._notes.compiled or found.compiled
        self._notes.hazards = found.hazards or self._notes.hazards
        if self._root is not None:  # now, not when it was called: that may have been to validate
            self._notes.modes(self._root, training.step)
        for a in found.activations:
            name = self._models.parameter_names.get(id(a.feeder))
            place = self._models.owner[name] if name is not None else None
            module = self._models.modules.get(place) if place is not None else None
            if place is None or module is None or isinstance(module, nn.RNNBase | nn.RNNCellBase):
                continue  # gates are meant to saturate
            if place not in training.activations:
                first = isinstance(module, CHANNELS_FIRST)
                training.activations[place] = (a.function, output_sample(a.result, channels_first=first))
                self._notes.activations[place] = a.function

    def keep_weights(self) -> None:
        """A sample of each weight that is about to be changed: a step is judged parameter by parameter."""
        assert self.training is not None
        for name, p in self.training.parameters.items():
            if p.requires_grad and not isinstance(p, nn.UninitializedParameter):
                self.training.before[name] = weight_sample(p)

    def read_gradients(self, optimizer: Optimizer | None) -> None:
        """Read what an optimiser, `None` = the script by hand, is about to step with."""
        training = self.training
        assert training is not None
        training.optimizer = optimizer
        self.gradients_read = True
        self.fire(Moment.GRAD)
        self._look_for_non_finite(training)
        self._notes.gradients(training.parameters)
        for name, p in training.parameters.items():
            if p.grad is None:
                training.before.pop(name, None)

    def _look_for_non_finite(self, training: Training) -> None:
        """A gradient that is not finite although the loss is; a scaler would skip the step."""
        if self._notes.non_finite is not None or self._notes.scaler:
            return
        for name, p in training.parameters.items():
            if p.grad is not None and not math.isfinite(
                float(getattr(p.grad, "_local_tensor", p.grad).sum())
            ):
                self._notes.non_finite_gradient(training.step, name)
                return

    def note_leftover(self, optimizers: list[Optimizer]) -> None:
        """Before the first backward after a step, gradients should be gone."""
        assert self.training is not None
        left = self.training.memory.setdefault("leftover_grad", {})
        assert isinstance(left, dict)
        for optimizer in optimizers:
            for name, p in self._notes.probes(optimizer):
                norm = 0.0 if p.grad is None else float(getattr(p.grad, "_local_tensor", p.grad).norm())
                left[name] = min(norm, left.get(name, math.inf))


skip(*vars(Reader).values())


def _first_tensor(output: object) -> Tensor | None:
    """The first tensor of what a module returned."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        output = tuple(output.values())
    if isinstance(output, tuple | list):  # packed sequences and states lie one level deeper
        return next((x for part in output[:8] if (x := _first_tensor(part)) is not None), None)
    return None
