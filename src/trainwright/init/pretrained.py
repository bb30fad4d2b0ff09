"""Reading a file of weights without running it, and finding which of them fit a model."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Loaded", "load_matching_"]

WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts that wrappers put into names: torch.compile, FSDP, activation checkpointing. At the front also `module`."""
NESTS = ("state_dict", "model_state_dict", "model")


class Loaded(NamedTuple):
    """What became of each name when a model took weights from elsewhere.

    Helps: to see at once that a backbone came without its head, or that nothing fitted.
    Harms: nowhere.
    Costs: nothing.
    Source: the definition.

    >>> Loaded(0.9, ("body.weight",), ("head.weight",), (), {}).share
    0.9
    """

    share: float
    """Share of the model's parameters, counted by number, that were loaded: 0 to 1."""
    loaded: tuple[str, ...]
    """Names in the model that were loaded."""
    missing: tuple[str, ...]
    """Names in the model that the source has not; they keep their values."""
    unexpected: tuple[str, ...]
    """Names in the source that the model has not."""
    reshaped: dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
    """Names in both with other shapes: (model's, source's); they keep their values."""

    def __str__(self) -> str:
        lines = [f"{self.share:.1%} of the parameters loaded ({len(self.loaded)} tensors)."]
        if self.missing:
            lines.append(f"Not in the source: {listed(self.missing)}.")
        if self.unexpected:
            lines.append(f"Not in the model: {listed(self.unexpected)}.")
        if self.reshaped:
            shapes = [f"{n} {list(own)} against {list(other)}" for n, (own, other) in self.reshaped.items()]
            lines.append(f"Of another shape: {listed(tuple(shapes))}.")
        return "\n".join(lines)


def load_matching_(
    model: nn.Module, source: Mapping[str, Tensor] | str | os.PathLike[str], *, least: float = 0.9
) -> Loaded:
    """Copy into a model the weights of another that fit by name and shape, and say what became of the rest.

    Parts of names that wrappers add (`module.` of data-parallel, `_orig_mod.` of `torch.compile`, those of FSDP and
    checkpointing) are passed over on both sides, and so is a first part that only one side has (`model.conv1.weight`
    of a Lightning checkpoint). A file is never run: `.safetensors` as such, any other through
    `torch.load(weights_only=True)`, from which a state dict is taken or one nested under `state_dict`,
    `model_state_dict` or `model`.

    Args:
        model: takes the weights; dtype and device stay its own.
        source: a state dict, or the path of a file that holds one.
        least: the least share of the model's parameters (by number, 0 to 1) that must fit, else nothing is loaded.

    Returns:
        A `Loaded` with the share and the names; print it.

    Raises:
        ValueError: less than `least` fits; the file holds anything but tensors; two names become one once the
            wrappers' parts are gone; a tensor holds a value that is not finite. The model is untouched then.

    Helps: fine-tuning with another head, or from a checkpoint saved by a wrapped model, where
        `load_state_dict(strict=False)` drops what does not match without a word.
    Harms: where all must fit, `model.load_state_dict(state)` is stricter. Names that agree by chance are loaded, too.
    Costs: one read of the file and one copy.
    Source: the definition; what it guards against is listed in the documentation of `load_state_dict`.

    >>> body, head = nn.Linear(8, 64), nn.Linear(64, 3)
    >>> old = nn.Sequential(nn.Linear(8, 64), nn.Linear(64, 10))
    >>> saved = {f"module.{name}": weight for name, weight in old.state_dict().items()}
    >>> print(load_matching_(nn.Sequential(body, head), saved, least=0.5))
    74.7% of the parameters loaded (2 tensors).
    Of another shape: 1.weight [3, 64] against [10, 64], 1.bias [3] against [10].
    """
    if not 0 <= least <= 1:
        raise ValueError(f"load_matching_() got least={least}; it is a share from 0 to 1.")
    own = bare(
        {n: t for n, t in model.state_dict(keep_vars=True).items() if isinstance(t, Tensor)}, "the model"
    )
    if any(t.is_meta for t, _ in own.values()):
        raise ValueError(
            "load_matching_() got a model on the `meta` device, which has no memory to load into. Call "
            "`model.to_empty(device=...)` and initialise it first."
        )
    state = read(source) if isinstance(source, (str, os.PathLike)) else source
    given = aligned(bare(state, "the source"), own)
    fits = {n: (t, given[n][0]) for n, (t, _) in own.items() if n in given and t.shape == given[n][0].shape}
    broken = [
        own[n][1]
        for n, (_, new) in fits.items()
        if new.is_floating_point() and not bool(new.isfinite().all())
    ]
    if broken:
        raise ValueError(
            f"load_matching_() got values that are not finite for {listed(tuple(broken))}; nothing loaded."
        )
    parameters = {id(p): p.numel() for p in model.parameters()}
    total = sum(parameters.values())
    share = (
        sum({id(t): parameters.get(id(t), 0) for t, _ in fits.values()}.values()) / total if total else 0.0
    )
    report = Loaded(
        share=share,
        loaded=tuple(own[n][1] for n in fits),
        missing=tuple(name for n, (_, name) in own.items() if n not in given),
        unexpected=tuple(name for n, (_, name) in given.items() if n not in own),
        reshaped={
            own[n][1]: (tuple(own[n][0].shape), tuple(given[n][0].shape))
            for n in own
            if n in given and n not in fits
        },
    )
    if share < least or not total:
        raise ValueError(
            f"load_matching_() found a place for {share:.1%} of the model's parameters, and was asked for at least "
            f"{least:.1%}; nothing loaded. {report} Is it the file of this model? If so, pass a smaller `least`."
        )
    with torch.no_grad():
        for tensor, new in fits.values():
            tensor.copy_(new)
    return report


def read(path: str | os.PathLike[str]) -> Mapping[str, Tensor]:
    """The state dict in a file, or the one nested in it."""
    if os.fspath(path).endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{os.fspath(path)} holds more than tensors, and reading it would run code from it. Have it saved as "
            f"`torch.save(model.state_dict(), path)` or as .safetensors by someone who trusts it."
        ) from error
    while isinstance(held, Mapping) and not any(isinstance(v, Tensor) for v in held.values()):
        inside = next((held[n] for n in NESTS if isinstance(held.get(n), Mapping)), None)
        if inside is None:
            break
        held = inside
    if not (isinstance(held, Mapping) and any(isinstance(v, Tensor) for v in held.values())):
        raise ValueError(
            f"{os.fspath(path)} holds no state dict: expected names with tensors, got {type(held).__name__}. "
            f"Save one with `torch.save(model.state_dict(), path)`."
        )
    return held


def bare(state: Mapping[str, object], whose: str) -> dict[str, tuple[Tensor, str]]:
    """Name without the parts of wrappers -> tensor, full name."""
    found: dict[str, tuple[Tensor, str]] = {}
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):  # extra state of a module
            continue
        parts = [p for p in name.split(".") if p not in WRAPPERS]
        while parts[0] == "module" and len(parts) > 1:
            parts = parts[1:]
        short = ".".join(parts)
        if short in found:
            raise ValueError(
                f"`{name}` and `{found[short][1]}` of {whose} are both `{short}` without their wrappers."
            )
        found[short] = tensor, name
    return found


def aligned(
    given: dict[str, tuple[Tensor, str]], own: dict[str, tuple[Tensor, str]]
) -> dict[str, tuple[Tensor, str]]:
    """The source's names as the model has them, where one side has a first part more."""
    if not given.keys() & own.keys():
        firsts = {n.partition(".")[0] for n in given}
        if len(firsts) == 1:
            cut = {n.partition(".")[2]: t for n, t in given.items()}
            if cut.keys() & own.keys():
                return cut
        for first in {n.partition(".")[0] for n in own}:
            longer = {f"{first}.{n}": t for n, t in given.items()}
            if longer.keys() & own.keys():
                return longer
    return given


def listed(names: tuple[str, ...], most: int = 8) -> str:
    """The first few names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
