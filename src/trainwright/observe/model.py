"""Which models a script trains, what their parts are called, and where the user wrote them."""

from __future__ import annotations

import gc
import math
import re
import sys
import weakref
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..core import ModuleFacts, ParameterFacts, Site
from . import sites

NOT_LAYERS = (
    nn.Dropout,
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.modules.dropout._DropoutNd,
    nn.modules.loss._Loss,
)
"""Modules without children whose output says nothing of its own."""

CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,
)

SEARCHES = 4
"""Times that the garbage collector is asked for modules: some 50 ms each."""

_WRAPPERS = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.|$)")


class Models:
    """The modules that were constructed, and the watched ones among them. Everything is keyed by `id`: a
    module may define its own `__hash__` or `__eq__`."""

    def __init__(self) -> None:
        self.made: dict[int, tuple[weakref.ref[nn.Module], Site | None]] = {}
        self.roots: dict[int, nn.Module] = {}
        self.prefixes: dict[int, str] = {}
        self.names: dict[int, str] = {}  # of modules
        self.modules: dict[str, nn.Module] = {}
        self.parameters: dict[str, nn.Parameter] = {}
        self.parameter_names: dict[int, str] = {}
        self.owner: dict[str, str] = {}  # parameter -> module
        self._adopted: dict[str, nn.Module] = {}
        self._described: dict[str, int] = {}  # parameter -> the `id` of what its facts were taken from
        self._searches = 0

    def note(self, module: nn.Module) -> None:
        """A module is being constructed: remember where."""
        self.made[id(module)] = (weakref.ref(module), sites.site(building=module, depth=3))

    def site_of(self, module: nn.Module) -> Site | None:
        """The user's line that constructed a module; for one that was copied or unpickled, that of its
        class."""
        known = self.made.get(id(module))
        if known is not None and known[0]() is module:
            return known[1]
        return class_site(type(module))

    def find(
        self, optimizers: Iterable[Optimizer], extra: Iterable[nn.Module] = (), leaves: Iterable[Tensor] = ()
    ) -> None:
        """(Re)compute which modules are watched: those that own what is trained, and are part of no other.

        Args:
            optimizers: their parameters are trained.
            extra: modules that are watched in any case.
            leaves: further tensors that are trained, by hand.
        """
        trained = (p for o in optimizers for group in o.param_groups for p in group["params"])
        owned = {id(p): p for p in (*trained, *leaves)}
        roots = self._roots_of(set(owned), [m for ref, _ in self.made.values() if (m := ref()) is not None])
        uncovered = set(owned) - {i for m in roots for i in parameters_in(m)}
        if uncovered and self._searches < SEARCHES:
            # Copied, unpickled, or built before watching began: the garbage collector knows them, but is
            # slow.
            self._searches += 1
            roots = self._roots_of(
                set(owned), [o for o in gc.get_objects() if issubclass(type(o), nn.Module)]
            )
        roots = list({id(m): m for m in (*extra, *roots)}.values())
        if [id(m) for m in roots] != list(self.roots):
            self.roots = {id(m): m for m in roots}
            self._name_roots()
        self._name_parts()
        loose = [p for i, p in owned.items() if i not in self.parameter_names]
        for i, p in enumerate(loose):  # tensors that no module owns
            self._add_parameter(f"parameter{i}", p, "")

    def adopt(self, leaves: Iterable[Tensor]) -> None:
        """Take in parameters that receive a gradient but belong to no watched model: layers in a Python
        list."""
        strangers = {
            id(p) for p in leaves if isinstance(p, nn.Parameter) and id(p) not in self.parameter_names
        }
        if not strangers:
            return
        for ref, _ in list(self.made.values()):
            module = ref()
            if module is None:
                continue
            for name, p in module._parameters.items():
                if p is not None and id(p) in strangers:
                    place = self.names.get(id(module)) or self._free(type(module).__name__.lower())
                    self._adopted[place] = module
                    self._add_module(place, module)
                    self._add_parameter(f"{place}.{name}", p, place)

    def leaf_modules(self) -> dict[str, nn.Module]:
        """The layers whose output is worth a look, in the order of the model."""
        return {
            name: m
            for name, m in self.modules.items()
            if not m._modules
            and not isinstance(m, NOT_LAYERS)
            and not isinstance(m, nn.ModuleList | nn.ModuleDict | nn.Sequential)
        }

    def module_facts(self) -> dict[str, ModuleFacts]:
        return {
            name: {
                "type": type(m).__name__,
                "site": self.site_of(m),
                "children": len(m._modules),
                "activation": None,
            }
            for name, m in self.modules.items()
        }

    def parameter_facts(
        self, optimizers: list[Optimizer], known: Mapping[str, ParameterFacts]
    ) -> dict[str, ParameterFacts]:
        """Facts of every parameter; the statistics only of those that are not `known` yet, at the start of
        training."""
        owners = {id(p): i for i, o in enumerate(optimizers) for g in o.param_groups for p in g["params"]}
        facts: dict[str, ParameterFacts] = {}
        for name, p in self.parameters.items():
            if name in known and self._described.get(name) == id(p):
                facts[name] = {**known[name], "optimizer": owners.get(id(p))}
                continue
            if isinstance(p, nn.UninitializedParameter):  # it has no shape before the first batch: next time
                continue
            self._described[name] = id(p)  # not one of the same name in a model that was trained before
            local = getattr(p.detach(), "_local_tensor", p.detach())
            readable = local.numel() > 1 and local.is_floating_point()
            std = float(local.float().std(correction=0)) if readable else None
            facts[name] = {
                "shape": list(p.shape),
                "shards": shards_of(p),
                "module": self.owner[name],
                "trainable": p.requires_grad,
                "dtype": str(p.dtype).removeprefix("torch."),
                "optimizer": owners.get(id(p)),
                "initial_std": std,
                "initial_mean": float(local.float().mean()) if readable else None,
                "equal_units": bool((local == local[:1]).all())
                if readable and local.ndim > 1 and len(local) > 1
                else None,
                "got_gradient": False,
            }
        return facts

    def _roots_of(self, owned: set[int], modules: list[nn.Module]) -> list[nn.Module]:
        children = {id(c) for m in modules for c in getattr(m, "_modules", {}).values() if c is not None}
        roots: list[nn.Module] = []
        covered: set[int] = set()
        for m in modules:
            if id(m) in children or not hasattr(m, "_parameters"):
                continue
            own = parameters_in(m) & owned
            if (
                own - covered
            ):  # one that shares all of them is another view of the same model, as torch.jit.script makes
                covered |= own
                roots.append(m)
        return roots

    def _name_roots(self) -> None:
        """One model needs no name; several get the name of the user's variable, else of their class."""
        self.prefixes = {}
        if len(self.roots) == 1:
            self.prefixes = dict.fromkeys(self.roots, "")
            return
        for key, root in self.roots.items():
            name = variable_name(root) or type(root).__name__
            taken = set(self.prefixes.values())
            self.prefixes[key] = next(
                n for n in (name, *(f"{name}{i}" for i in range(2, 1000))) if n not in taken
            )

    def _name_parts(self) -> None:
        self.names, self.modules, self.parameters, self.parameter_names, self.owner = {}, {}, {}, {}, {}
        for key, root in self.roots.items():
            for raw, module in root.named_modules():
                inner = _plain(raw, root)
                if inner is None:
                    continue
                name = ".".join(part for part in (self.prefixes[key], inner) if part)
                self._add_module(name, module)
                for own, p in module._parameters.items():
                    if p is not None and id(p) not in self.parameter_names:
                        self._add_parameter(f"{name}.{own}" if name else own, p, name)
        for name, module in self._adopted.items():
            self._add_module(name, module)
            for own, p in module._parameters.items():
                if p is not None:
                    self._add_parameter(f"{name}.{own}", p, name)

    def _add_module(self, name: str, module: nn.Module) -> None:
        self.names[id(module)] = name
        self.modules[name] = module

    def _add_parameter(self, name: str, p: Tensor, module: str) -> None:
        self.parameters[name] = p  # type: ignore[assignment]  # a plain tensor may be trained too
        self.parameter_names[id(p)] = name
        self.owner[name] = module

    def _free(self, name: str) -> str:
        return next(n for n in (f"{name}_{i}" for i in range(100_000)) if n not in self.modules)


def parameters_in(root: nn.Module) -> set[int]:
    """The `id` of each parameter of a module; unlike `parameters()` it asks no module for its hash."""
    found: set[int] = set()
    seen, todo = set(), [root]
    while todo:
        module = todo.pop()
        if id(module) not in seen:
            seen.add(id(module))
            found.update(id(p) for p in module._parameters.values() if p is not None)
            todo += [m for m in module._modules.values() if m is not None]
    return found


def optimizers_alive() -> list[Optimizer]:
    """Optimisers that were built before watching began."""
    return [o for o in gc.get_objects() if issubclass(type(o), Optimizer) and hasattr(o, "param_groups")]


def class_site(cls: type) -> Site | None:
    """The line of a class that the user wrote."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None or sites.owner(file) != "user":
        return None
    try:
        import inspect

        return {"file": file, "line": inspect.getsourcelines(cls)[1]}
    except (OSError, TypeError):
        return None


def variable_name(thing: object) -> str | None:
    """The name by which the user's code knows an object, from the frames that are running."""
    frame = sites.user_frame(2)
    while frame is not None:
        for names in (frame.f_locals, frame.f_globals):
            for name, value in list(names.items()):
                if value is thing and name != "self":
                    return name
        frame = frame.f_back
    return None


def is_wrapper(root: nn.Module) -> bool:
    """Whether a model only hands its calls on (DataParallel, DistributedDataParallel)."""
    return isinstance(root, nn.DataParallel | nn.parallel.DistributedDataParallel)


def is_compiled(root: nn.Module) -> bool:
    """Whether a model, or a part of it, runs through torch.compile."""
    return any(
        getattr(m, "_compiled_call_impl", None) is not None or "_orig_mod" in m._modules
        for m in root.modules()
    )


def is_sharded(p: torch.Tensor) -> bool:
    """Whether a parameter is a shard of a larger one (FSDP2)."""
    return hasattr(p, "_local_tensor")


def shards_of(p: Tensor) -> int:
    """Over how many ranks a parameter is divided; further ranks hold copies."""
    mesh, placements = getattr(p, "device_mesh", None), getattr(p, "placements", ())
    if mesh is None:
        return 1
    return math.prod(mesh.size(i) for i, placement in enumerate(placements) if placement.is_shard())


def _plain(name: str, root: nn.Module) -> str | None:
    """A module's name without what wrappers add; `None` for the wrapper itself."""
    if is_wrapper(root):
        if not name:
            return None
        name = name.removeprefix("module").removeprefix(".")
    return _WRAPPERS.sub("", name).removeprefix(".")
