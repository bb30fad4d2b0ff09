"""Another activation in a model that exists already."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .curve import MIXES, evaluating, is_activation

__all__ = ["activations", "functional", "swap_"]

TRANSFORMER = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
HOOKS = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called")
GATES = (nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid)
"""What is mostly a gate or the output: a swap of everything leaves them alone."""

CALLED = frozenset(
    "celu elu gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu log_sigmoid logsigmoid mish prelu relu relu6 "
    "rrelu selu sigmoid silu softplus softshrink softsign tanh tanhshrink threshold".split()
)


def activations(model: nn.Module) -> dict[str, nn.Module]:
    """The activation modules inside a model by name, in order of registration; a shared one at each of its places.

    Args:
        model: any module; wrapped or compiled ones are looked into.

    Returns:
        name -> module. Functions called in a `forward` (`F.relu(x)`) are no modules: `functional` finds those.

    Helps: to see what `swap_` can reach.

    Harms: nowhere.

    Costs: a walk over the modules.

    Source: `is_activation`.

    >>> list(activations(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Softmax(-1))))
    ['1']
    """
    return {place.name: place.module for place in _places(model)}


@torch.no_grad()
def swap_(
    model: nn.Module,
    new: Callable[[], nn.Module],
    *,
    old: type[nn.Module] | tuple[type[nn.Module], ...] | None = None,
    keep: tuple[str, ...] = (),
) -> nn.Module:
    """Replace the activation modules of a model in place, each by one that `new()` makes.

    An instance used in several places stays one instance. Hooks and the handles that remove them, training mode,
    device and dtype go over to the new modules; the functions that `nn.TransformerEncoderLayer` and its decoder keep as
    attributes are replaced, too. Parameters of a replaced `nn.PReLU` leave the model and those of a new one
    enter it: make the optimiser afterwards.

    Never touched: softmax, GLU, attention; what ends a `Sequential` model (its output); names in `keep`. Without
    `old`, also not sigmoid, hard sigmoid and log-sigmoid, which mostly are gates or outputs, and a tanh that stands
    beside one of them in a module that is no `Sequential`, which mostly is a recurrent cell.

    Args:
        model: the model. Swap before compiling it or wrapping it for several processes.
        new: makes one activation, e.g. `nn.GELU` or `lambda: nn.LeakyReLU(0.1)`.
        old: replace only modules of exactly this class or these classes; `None` = all but those named above.
        keep: names, as `activations(model)` gives them, that stay as they are.

    Returns:
        `model` itself.

    Raises:
        TypeError: `new` is a module rather than what makes one, or makes what is no activation; `old` mixes numbers.
        ValueError: there is nothing to replace, e.g. since `forward` calls functions (`F.relu(x)`), which no swap can
            reach: `functional(model, *batch)` lists them; or the model itself is the activation; or `keep` names
            what is not there; or the model is scripted.

    Helps: to try another activation in a model that you did not write; against dead or saturated units.

    Harms: a trained model: its weights belong to its old activation. Choose starting weights anew after the swap.

    Costs: a walk over the modules, a few milliseconds for 300.

    Source: none.

    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> swap_(net, nn.GELU)[1]
    GELU(approximate='none')
    """
    if isinstance(new, nn.Module):
        raise TypeError(
            f"swap_() got the module {new} as `new`; it needs what makes one, as `{type(new).__name__}` or a lambda, "
            f"so that each place gets its own."
        )
    olds = (old,) if isinstance(old, type) else old
    for kind in olds or ():
        if issubclass(kind, MIXES):
            raise TypeError(
                f"swap_() got old={kind.__name__}, which mixes numbers; it only replaces activations that act on each "
                f"number alone."
            )
    places = _places(model)
    if missing := set(keep) - {place.name for place in places}:
        raise ValueError(
            f"swap_() was to keep {sorted(missing)}, but the activations here are {[place.name for place in places]}."
        )
    chosen = [place for place in _chosen(model, places, olds) if place.name not in keep]
    layers = [m for m in model.modules() if isinstance(m, TRANSFORMER) and _calls_one_of(m.activation, olds)]
    if not chosen and not layers:
        raise ValueError(_nothing(model, places, olds))
    if scripted := [place.name for place in chosen if isinstance(place.holder, torch.jit.ScriptModule)]:
        raise ValueError(
            f"`{scripted[0]}` is part of a scripted module, whose parts are fixed. Swap first, then script."
        )
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    fresh = {module: _made(new, like) for module in {place.module: None for place in chosen}}
    called = [(layer, _made(new, like)) for layer in layers]
    for module, replacement in fresh.items():
        _move_hooks(module, replacement)
        replacement.train(module.training)
    for place in chosen:
        place.holder._modules[place.key] = fresh[place.module]
    for layer, replacement in called:
        layer.activation = replacement.train(layer.training)
    for holder in model.modules():
        # The fast path of this layer goes by a number that it noted when it was made, not by the module.
        if isinstance(holder, nn.TransformerEncoderLayer):
            holder.activation_relu_or_gelu = _fast_path(holder.activation)
    return model


def functional(model: nn.Module, *batch: object) -> dict[str, tuple[str, ...]]:
    """The activation functions that modules call in their `forward`, by the name of the module; no swap reaches them.

    One forward pass in testing mode, so no statistics move.

    Args:
        model: the model.
        batch: what the model takes: it is called as `model(*batch)`.

    Returns:
        module name -> names of functions, e.g. `{"block1": ("relu",)}`; empty where a swap reaches everything.

    Raises:
        Exception: what the model raises on this batch.

    Helps: to learn what `swap_` left as it was.

    Harms: nowhere; gates that are written as functions are listed, too.

    Costs: a forward pass, somewhat slower than usual.

    Source: none.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.up, self.act, self.down = nn.Linear(2, 3), nn.GELU(), nn.Linear(3, 2)
    ...     def forward(self, x):
    ...         return torch.relu(self.down(self.act(self.up(x))))
    >>> functional(nn.Sequential(Net(), nn.Tanh()), torch.ones(1, 2))
    {'0': ('relu',)}
    """
    names = {module: name for name, module in model.named_modules()}
    calls = _Calls()
    inside = {m for m in names if is_activation(m)}
    handles = [
        m.register_forward_pre_hook(lambda m, _: calls.within.append((names[m], m in inside))) for m in names
    ]
    handles += [m.register_forward_hook(calls.leave, always_call=True) for m in names]
    try:
        with evaluating(model), torch.random.fork_rng(devices=[]), torch.no_grad(), calls:
            (model._modules.get("_orig_mod") or model)(*batch)  # compiled code would not be seen
    finally:
        for handle in handles:
            handle.remove()
    return {name: tuple(called) for name, called in calls.found.items()}


class _Place(NamedTuple):
    """Where an activation module sits."""

    name: str
    holder: nn.Module
    key: str
    module: nn.Module


class _Calls(TorchFunctionMode):
    """Notes which activation functions are called, and within which module."""

    def __init__(self) -> None:
        super().__init__()
        self.within: list[tuple[str, bool]] = []
        self.found: dict[str, list[str]] = {}

    def leave(self, *_: object) -> None:
        self.within.pop()

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        called = getattr(func, "__name__", "").strip("_")
        if called in CALLED and self.within and not any(inside for _, inside in self.within):
            here = self.found.setdefault(self.within[-1][0], [])
            if called not in here:
                here.append(called)
        return func(*args, **(kwargs or {}))


def _places(model: nn.Module) -> list[_Place]:
    known: dict[nn.Module, bool] = {}
    found = []
    for name, holder in model.named_modules():
        for key, module in holder._modules.items():
            if module is None:
                continue
            if module not in known:
                known[module] = is_activation(module)
            if known[module]:
                found.append(_Place(f"{name}.{key}" if name else key, holder, key, module))
    return found


def _chosen(model: nn.Module, places: list[_Place], olds: tuple[type[nn.Module], ...] | None) -> list[_Place]:
    """The places to be changed, before the user's exceptions."""
    root = model
    while inner := _inside(root):
        root = inner
    end = next(reversed(root._modules), "") if isinstance(root, nn.Sequential) else ""
    hidden = [place for place in places if (place.holder, place.key) != (root, end)]
    if olds is not None:
        return [place for place in hidden if type(place.module) in olds]
    return [p for p in hidden if not isinstance(p.module, GATES) and not _in_cell(p)]


def _inside(module: nn.Module) -> nn.Module | None:
    """What a wrapper holds, or the `Sequential` with which one ends."""
    if isinstance(module, nn.parallel.DistributedDataParallel | nn.DataParallel):
        wrapped: nn.Module = module.module
        return wrapped
    if "_orig_mod" in module._modules:  # torch.compile's
        return module._modules["_orig_mod"]
    last = next(reversed(module._modules.values()), None) if isinstance(module, nn.Sequential) else None
    return last if isinstance(last, nn.Sequential) else None


def _in_cell(place: _Place) -> bool:
    """A tanh beside a gate: the cell of a recurrent net."""
    if not isinstance(place.module, nn.Tanh) or isinstance(place.holder, nn.Sequential):
        return False
    return any(isinstance(other, GATES) for other in place.holder._modules.values())


def _calls_one_of(function: object, olds: tuple[type[nn.Module], ...] | None) -> bool:
    """Whether what a transformer layer keeps is a function, and one that is to be replaced."""
    if isinstance(function, nn.Module):
        return False
    as_module: dict[object, type[nn.Module]] = {F.relu: nn.ReLU, F.gelu: nn.GELU, F.silu: nn.SiLU}
    return olds is None or as_module.get(function) in olds


def _nothing(model: nn.Module, places: list[_Place], olds: tuple[type[nn.Module], ...] | None) -> str:
    if is_activation(model):
        return f"The model is itself the activation {model}, so there is nothing to put a new one into."
    asked = " or ".join(kind.__name__ for kind in olds) if olds else "hidden activation"
    here = ", ".join(f"`{place.name}` ({type(place.module).__name__})" for place in places[:5]) or "none"
    return (
        f"swap_() found no {asked} to replace in {type(model).__name__}; its activation modules: {here}. Functions "
        f"that a `forward` calls, as `F.relu(x)`, cannot be replaced from outside: `functional(model, *batch)` lists "
        f"them; put modules into their place. What ends a `Sequential` stays, and gates stay unless named in `old`."
    )


def _made(new: Callable[[], nn.Module], like: Tensor | None) -> nn.Module:
    """A new activation where the model is."""
    made: object = new()
    if not isinstance(made, nn.Module) or not is_activation(made):
        raise TypeError(
            f"swap_() got `new` that makes {made!r}; it needs an activation module, as `nn.GELU` makes one."
        )
    return made if like is None else made.to(like.device, like.dtype)


def _move_hooks(old: nn.Module, new: nn.Module) -> None:
    """The dictionaries themselves go over, so that handles given out still remove what they stand for."""
    for name, hooks in vars(old).items():
        if name.endswith(HOOKS) and isinstance(hooks, dict) and hooks:
            setattr(new, name, hooks)
    new._is_full_backward_hook = old._is_full_backward_hook


def _fast_path(activation: object) -> int:
    if activation is F.relu or type(activation) is nn.ReLU:
        return 1
    exact = isinstance(activation, nn.GELU) and activation.approximate == "none"
    return 2 if activation is F.gelu or exact else 0
