"""Collects the facts of a run: what does not change while it goes on, each counted where it happens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..core import Facts, NonFinite, OptimizerFacts, ParameterFacts, RefusedLabels, Site, TensorFacts
from . import graph, sites
from .budget import Budget
from .loaders import Loaders
from .losses import Losses, target_facts
from .model import Models
from .replicas import Replicas, are_shards

FEATURES = 1_000
"""Most features of which a mean and a spread are kept."""

READINGS = 8
"""Batches over which the statistics of inputs are taken."""

REWRITE_S = 30.0
"""The facts are written anew at most so often while a run goes on."""


class Notes:
    """Facts so far. `facts()` puts them together."""

    def __init__(self, models: Models, loaders: Loaders, losses: Losses, own_failures: list[dict[str, str]]):
        self._models, self._loaders, self._losses = models, loaders, losses
        self._optimizers: list[tuple[Optimizer, OptimizerFacts]] = []
        self._parameters: dict[str, ParameterFacts] = {}
        self._probes: dict[int, list[tuple[str, nn.Parameter]]] = {}
        self._inputs: TensorFacts | None = None
        self._input_sums: tuple[Tensor, Tensor, int] | None = None
        self._read_inputs = 0
        self._clips: dict[tuple[str, str, int], dict[str, object]] = {}
        self._schedulers: dict[int, str] = {}
        self._loaded: list[dict[str, object]] = []
        self._last_facts_s = -math.inf
        self._eval_modules: dict[str, None] = {}
        self._eval_steps = 0
        self._eval_from: int | None = None
        self._restarts: list[int] = []
        self.replicas = Replicas()
        self.activations: dict[str, str] = {}
        self.hazards: list[tuple[str, str]] = []
        self._own_failures = own_failures
        self.non_finite: NonFinite | None = None
        self.refused: RefusedLabels | None = None
        self.compiled = self.compile_asked = self.eager_probe = False
        self.scaler, self.skipped_steps = False, 0
        self.amp: str | None = None
        self.zeroed: dict[int, int] = {}  # calls of `zero_grad`, by the `id` of optimiser or module

    def optimizer(self, optimizer: Optimizer, site: Site | None) -> None:
        """An optimiser was built, or is seen for the first time."""
        facts: OptimizerFacts = {
            "type": type(optimizer).__name__,
            "site": site,
            "groups": [],
            "zero_grad_calls": 0,
            "clip": [],
            "scheduler": None,
        }
        self._optimizers.append((optimizer, facts))

    def begin_anew(self, step: int) -> None:
        """Another model is trained from `step` on: facts of parts are its own."""
        self._restarts.append(step)
        self._optimizers = []
        self._parameters, self.activations, self._eval_modules, self._clips = {}, {}, {}, {}
        self._inputs, self._input_sums, self._read_inputs, self._eval_steps = None, None, 0, 0
        self._eval_from = None

    def scheduler(self, scheduler: object) -> None:
        """A schedule was built; of nested ones the last is the outermost."""
        owner = getattr(scheduler, "optimizer", None)
        while getattr(owner, "optimizer", None) is not None:  # as accelerate wraps one
            owner = owner.optimizer  # type: ignore[union-attr]
        if owner is not None:
            self._schedulers[id(owner)] = type(scheduler).__name__

    def clipped(
        self, kind: str, limit: object, line: tuple[str, int], site: Callable[[], Site | None]
    ) -> None:
        """Gradients were clipped, by the call at `line`; `site` is looked for once."""
        entry = self._clips.get((kind, *line))
        if entry is None:
            entry = self._clips[kind, *line] = {
                "kind": kind,
                "limit": float(limit) if isinstance(limit, int | float | Tensor) else None,
                "site": site(),
                "calls": 0,
            }
        entry["calls"] = int(entry["calls"]) + 1  # type: ignore[call-overload]

    def state_loaded(self, module: nn.Module, state: object, result: object, site: Site | None) -> None:
        """A state dict was loaded into a module."""
        missing, unexpected = getattr(result, "missing_keys", []), getattr(result, "unexpected_keys", [])
        size = len(state) if isinstance(state, dict) else 0
        self._loaded.append(
            {
                "module": self._models.names.get(id(module)) or type(module).__name__,
                "site": site,
                "matched": size - len(unexpected),
                "missing": list(missing)[:50],
                "unexpected": list(unexpected)[:50],
            }
        )

    def compile_called(self, what: object) -> bool:
        """torch.compile was asked for; whether for a model, or a function of the user's that may hold one."""
        code = getattr(what, "__code__", None)
        users = code is not None and sites.owner(code.co_filename) == "user"
        if what is None or isinstance(what, nn.Module) or users:
            self.compile_asked = True
        return self.compile_asked

    def parameters(self, optimizers: list[Optimizer]) -> None:
        """Facts of the parameters as they are now; of known ones only the owner is brought up to date."""
        self._parameters = self._models.parameter_facts(optimizers, known=self._parameters)

    def leaves(self, leaves: list[Tensor], optimizers: list[Optimizer]) -> None:
        """These tensors receive a gradient."""
        names = [n for p in leaves if (n := self._models.parameter_names.get(id(p))) is not None]
        if any(n not in self._parameters for n in names):
            self.parameters(optimizers)
        for name in names:
            self._parameters[name]["got_gradient"] = True

    def gradients(self, parameters: dict[str, nn.Parameter]) -> None:
        """The gradients of a sampled step are there."""
        for name, p in parameters.items():
            facts = self._parameters.get(name)
            if facts is None:
                continue
            if p.grad is not None and p.requires_grad:  # of a frozen one it is a leftover of an earlier phase
                facts["got_gradient"] = facts["trainable"] = True
            elif not facts["got_gradient"]:  # frozen, or set free, after the optimiser was built
                facts["trainable"] = p.requires_grad

    def probes(self, optimizer: Optimizer) -> list[tuple[str, nn.Parameter]]:
        """Up to three small parameters of an optimiser, for looking at cheaply."""
        known = self._probes.get(id(optimizer))
        if known is None:
            names = self._models.parameter_names
            owned = [
                p for g in optimizer.param_groups for p in g["params"] if p.requires_grad and id(p) in names
            ]
            known = [(names[id(p)], p) for p in sorted(owned, key=lambda p: p.numel())[:3]]
            self._probes[id(optimizer)] = known
        return known

    def layer(self, module: nn.Module, output: Tensor) -> None:
        """A layer ran at a sampled step."""
        weight = module._parameters.get("weight")
        if (
            self.amp is None
            and output.dtype in (torch.float16, torch.bfloat16)
            and weight is not None
            and weight.dtype == torch.float32
        ):
            self.amp = str(output.dtype).removeprefix("torch.")

    def modes(self, root: nn.Module, step: int) -> None:
        """Gradients of a model are made at a sampled step: which of its modules are in evaluation mode?"""
        for module in root.modules():
            if not module.training and (name := self._models.names.get(id(module))) is not None:
                self._eval_modules.setdefault(name)
        self._eval_steps += not root.training
        if root.training:
            self._eval_from = None
        elif self._eval_from is None:
            self._eval_from = step

    def batch(self, batch: tuple[object, ...]) -> None:
        """Statistics of a model's first floating-point (else first) input."""
        tensors = [x for x in batch if isinstance(x, Tensor) and x.numel()]
        x = next((x for x in tensors if x.is_floating_point()), tensors[0] if tensors else None)
        if x is None or self._read_inputs >= READINGS:
            return
        self._read_inputs += 1
        x = getattr(x.detach(), "_local_tensor", x.detach())
        values = x[:256].float()
        low, high = float(values.amin()), float(values.amax())
        if x.ndim == 2:
            columns = values
        elif x.ndim > 2:  # a channel of pictures; the last dimension of sequences
            columns = values.movedim(1 if x.ndim > 3 else -1, -1).reshape(
                -1, x.shape[1 if x.ndim > 3 else -1]
            )
        else:
            columns = values.reshape(-1, 1)
        columns = columns[:4096].double()
        sums = (columns.sum(0), columns.square().sum(0), len(columns))
        if self._input_sums is not None and self._input_sums[0].shape == sums[0].shape:
            old = self._input_sums
            sums = (old[0] + sums[0], old[1] + sums[1], old[2] + sums[2])
        self._input_sums = sums
        mean, square = sums[0] / sums[2], sums[1] / sums[2]
        std = (square - mean**2).clamp_min(0).sqrt()
        known = self._inputs
        self._inputs = {
            "shape": list(x.shape),
            "dtype": str(x.dtype).removeprefix("torch."),
            "mean": float(mean.mean()),
            "std": float((square.mean() - mean.mean() ** 2).clamp_min(0).sqrt()),
            "low": min(low, known["low"]) if known else low,
            "high": max(high, known["high"]) if known else high,
            "feature_mean": mean.tolist() if len(mean) <= FEATURES else None,
            "feature_std": std.tolist() if len(std) <= FEATURES else None,
        }

    def non_finite_loss(self, step: int, root: Tensor, made_by: dict[int, str], key: tuple[str, int]) -> None:
        """The loss is not finite for the first time: were the weights already, and if not, which function
        made it?"""
        site: Site | None = {"file": key[0], "line": key[1]} if key[0] else None
        for name, p in self._models.parameters.items():
            if p.is_floating_point() and not bool(
                torch.isfinite(getattr(p.detach(), "_local_tensor", p.detach()).sum())
            ):
                op, why = self.hazards[-1] if self.hazards else (None, None)
                self.non_finite = _non_finite(step, "weights", name, op, why, site)
                return
        found = graph.first_non_finite(root)
        if found is None:
            self.non_finite = _non_finite(step, "forward", None, None, None, site)
            return
        op, why, node = found
        maker = made_by.get(node._sequence_nr())
        self.non_finite = _non_finite(step, "forward", maker, op, why, site)

    def non_finite_gradient(self, step: int, parameter: str) -> None:
        """A gradient is not finite although the loss is."""
        op, why = self.hazards[-1] if self.hazards else (None, None)
        self.non_finite = _non_finite(step, "backward", parameter, op, why, None)

    def due(self) -> bool:
        """Whether the facts are to be written anew."""
        now = time.monotonic()
        if now - self._last_facts_s > REWRITE_S:
            self._last_facts_s = now
            return True
        return False

    def facts(self, *, steps: int, backwards_per_step: float, budget: Budget, ended: Facts) -> Facts:
        """All facts, as data."""
        modules = self._models.module_facts()
        for name, function in self.activations.items():
            if name in modules:
                modules[name]["activation"] = function
        loader = self._loaders.training
        device = next((p.device.type for p in self._models.parameters.values()), "cpu")
        first_loss = next(iter(self._losses.known.values()), None)
        step_s = budget.step_s
        given_up = []
        if self.compiled and not self.eager_probe:
            given_up.append(
                "layers were not looked at: the model is compiled (--eager-probe runs the steps that are "
                "read without compilation, which may change the last bits of the result)"
            )
        if step_s is not None and budget.fixed_s is not None and 0 < budget.share < budget.fixed_s / step_s:
            given_up.append(
                f"steps take only {step_s * 1e3:.2g} ms, so that noting the loss of each costs "
                f"{budget.fixed_s / step_s:.1%} of them, more than the budget; gradients, weights and layers "
                f"were read at {budget.sampled} of {steps} steps"
            )
        facts: Facts = {
            "steps": steps,
            "backwards_per_step": backwards_per_step,
            "device": device,
            "sharded": are_shards(self._models.roots.values(), self._models.parameters),
            "compiled": self.compiled,
            "amp": self.amp,
            "scaler": self.scaler,
            "skipped_steps": self.skipped_steps,
            "epochs": loader.passes if loader is not None else 0,
            "steps_per_epoch": loader.steps / loader.passes if loader is not None else None,
            "batch_size": (loader.batch_size if loader is not None else None) or self._rows(first_loss),
            "dataset_size": loader.dataset_size if loader is not None else None,
            "shuffled": loader.shuffled if loader is not None else None,
            "restarts": self._restarts,
            "roots": [type(m).__name__ for m in self._models.roots.values()],
            "modules": modules,
            "parameters": self._parameters,
            "optimizers": [self._optimizer_facts(o, f) for o, f in self._optimizers],
            "losses": [k.facts for k in self._losses.known.values()],
            "inputs": self._inputs,
            "targets": next((t for k in self._losses.known.values() if (t := target_facts(k))), None),
            "loaded": self._loaded,
            "non_finite": self.non_finite,
            "refused_labels": self.refused,
            "eval_during_training": list(self._eval_modules),
            "eval_steps": self._eval_steps,
            "eval_from": self._eval_from,
            "own_failures": self._own_failures,
            "given_up": given_up,
            "overhead": {
                "budget": budget.share,
                "own_s": budget.spent_s,
                "startup_s": budget.startup_s + budget.found_s,
                "run_s": budget.elapsed_s,
                "share": budget.share_spent(),
                "sampled": budget.sampled,
            },
        }
        if self.replicas.team is not None:  # as torch has it: processes of mp.spawn have it from nowhere else
            facts["rank"], facts["world_size"] = self.replicas.team
        if self.replicas.sums:
            facts["replica_hash"] = self.replicas.sums
        facts.update(ended)
        return facts

    def _rows(self, loss: Any) -> int | None:
        shape = loss.facts["input_shape"] if loss is not None else None
        return shape[0] if shape else None

    def _optimizer_facts(self, optimizer: Optimizer, facts: OptimizerFacts) -> OptimizerFacts:
        facts["groups"] = [
            {"parameters": len(g["params"])}
            | {k: v for k, v in g.items() if isinstance(v, int | float | bool | str) or v is None}
            for g in optimizer.param_groups
        ]
        models = sum(self.zeroed.get(id(m), 0) for m in self._models.modules.values())
        facts["zero_grad_calls"] = self.zeroed.get(id(optimizer), 0) + models
        facts["scheduler"] = self._schedulers.get(id(optimizer))
        facts["clip"] = list(self._clips.values())
        return facts


def _non_finite(
    step: int, phase: str, place: str | None, op: str | None, why: str | None, site: Site | None
) -> NonFinite:
    return {
        "step": step,
        "phase": phase,
        "place": place,
        "op": op,
        "why": why,
        "site": site,
        "handled": False,
    }
