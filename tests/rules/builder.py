"""Runs made by hand, for the tests of rules."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trainwright.core import Run, Series, Signal


def series(places: Mapping[str, Any] | Any, steps: Any = None) -> Series:
    """A series from `{place: values}`, or from values of the whole run; steps 0, 1, 2, ... by default."""
    by_place = places if isinstance(places, Mapping) else {"": places}
    values = np.stack([np.asarray(v, np.float32) for v in by_place.values()], axis=1)
    at = np.arange(len(values)) if steps is None else np.asarray(steps)
    return Series(at.astype(np.int64), tuple(by_place), values)


def made(signals: Mapping[Signal, Series] | None = None, **facts: Any) -> Run:
    """A run with these series and these facts."""
    return Run({s.name: v for s, v in (signals or {}).items()}, facts)  # type: ignore[arg-type]


def chain(depth: int, kind: str = "Linear", activation: str | None = "relu") -> dict[str, Any]:
    """Facts of `depth` layers in a row, `0`, `1`, ..., each 32 wide and built on its own line of `net.py`."""
    site = [{"file": "net.py", "line": 10 + i} for i in range(depth)]
    modules = {str(i): module(kind, site[i], activation) for i in range(depth)}
    parameters = {f"{i}.weight": parameter([32, 32], str(i)) for i in range(depth)}
    return {"modules": modules, "parameters": parameters, "steps": 100}


def module(kind: str = "Linear", site: Any = None, activation: str | None = None) -> dict[str, Any]:
    """Facts of one module."""
    return {"type": kind, "site": site, "children": 0, "activation": activation}


def parameter(shape: list[int], owner: str, **changed: Any) -> dict[str, Any]:
    """Facts of one parameter that is trained and was initialised at random."""
    facts = {
        "shape": shape,
        "module": owner,
        "trainable": True,
        "dtype": "float32",
        "optimizer": 0,
        "initial_std": 0.1,
        "initial_mean": 0.0,
        "equal_units": False,
        "got_gradient": True,
    }
    return facts | changed


HERE = {"file": "train.py", "line": 7}


def a_loss(kind: str, **known: Any) -> dict[str, Any]:
    """What is known of one loss; what is not said is unknown."""
    unknown = dict.fromkeys(
        "input_shape target_shape input_dtype target_dtype input_range target_range classes sums_to_one "
        "input_from input_site target_integers target_counts".split()
    )
    return {"kind": kind, "site": HERE, "reduction": "mean", "extra": {}, **unknown, **known}


def a_parameter(module: str, optimizer: int | None = 0, **known: Any) -> dict[str, Any]:
    """A trainable weight that gets a gradient."""
    return {
        "shape": [4, 4],
        "module": module,
        "trainable": True,
        "dtype": "float32",
        "optimizer": optimizer,
        "initial_std": 0.5,
        "initial_mean": 0.0,
        "equal_units": False,
        "got_gradient": True,
        **known,
    }


def a_module(kind: str, children: int = 0) -> dict[str, Any]:
    return {"type": kind, "site": HERE, "children": children, "activation": None}


def a_tensor(mean: float = 0.0, std: float = 1.0, dtype: str = "float32", **known: Any) -> dict[str, Any]:
    """Statistics of inputs or targets."""
    return {
        "shape": [64, 1],
        "dtype": dtype,
        "mean": mean,
        "std": std,
        "low": mean - 3 * std,
        "high": mean + 3 * std,
        "feature_mean": None,
        "feature_std": None,
        **known,
    }


def falling(start: float, end: float, steps: int = 100, seed: int = 0) -> Any:
    """Losses that fall from `start` to `end` with 2 % noise."""
    noise = 1 + 0.02 * np.random.default_rng(seed).standard_normal(steps)
    return (end + (start - end) * np.exp(-np.arange(steps) / (steps / 5))) * noise
