"""The layers of a network in the order in which a batch meets them, and how much gradient gets back to "
"each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core import Run, Series
from ..signals import activation_grad, activation_std, grad_norm, update_ratio, weight_norm

Floats = npt.NDArray[np.float64]

LAYERS = 3
"""Fewer layers than this have no early and late ones to compare."""


def weights(run: Run) -> tuple[str, ...]:
    """Names of the weights that an optimiser moves, in network order.

    Left out: what is frozen, biases and the scales of norms (one dimension), embeddings (most of their rows
    get no gradient), and parameters that a container owns, as class tokens and positions are.
    """
    modules, parameters = run.facts.get("modules", {}), run.facts.get("parameters", {})
    by_hand = all(p["optimizer"] is None for p in parameters.values())  # a loop without an optimiser
    kept = []
    for name, p in parameters.items():
        owner = modules.get(p["module"])
        matrix = len(p["shape"]) > 1 and p["trainable"] and (by_hand or p["optimizer"] is not None)
        if matrix and not (owner and (owner["children"] or "Embedding" in owner["type"])):
            kept.append(name)
    ran = run[activation_std].places if activation_std in run else ()
    order = {module: i for i, module in enumerate(ran)}
    if all(parameters[name]["module"] in order for name in kept):
        kept.sort(key=lambda name: order[parameters[name]["module"]])
    return tuple(kept)


def layers(run: Run) -> tuple[str, ...]:
    """Names of the modules that own `weights`, in network order."""
    parameters = run.facts.get("parameters", {})
    return tuple(dict.fromkeys(parameters[name]["module"] for name in weights(run)))


def flow(run: Run) -> Series | None:
    """How much gradient reaches each layer, places in network order.

    Where it was recorded, the gradient with respect to a layer's output; otherwise its weight's gradient
    relative to its weight. `None` where fewer than three layers have any.
    """
    if activation_grad in run:
        seen = only(run[activation_grad], layers(run))
        if len(seen.places) >= LAYERS and len(seen.steps):
            return seen
    if grad_norm not in run or weight_norm not in run:
        return None
    grads, sizes = (only(run[s], weights(run)) for s in (grad_norm, weight_norm))
    steps, here, there = np.intersect1d(grads.steps, sizes.steps, return_indices=True)
    grads, sizes = only(grads, sizes.places), only(sizes, grads.places)
    if len(grads.places) < LAYERS or not len(steps):
        return None
    relative = grads.values[here] / np.fmax(sizes.values[there], 1e-12)
    return Series(steps, grads.places, relative.astype(np.float32))


def passed(seen: Series) -> Floats:
    """Gradient of the first quarter of the layers over that of the last quarter: `(readings,)`.

    The largest, because single layers of a healthy network may get none: behind a residual branch that starts
    at zero, or the queries of an attention that still looks everywhere.
    """
    quarter = max(1, len(seen.places) // 4)
    early, late = largest(seen.values[:, :quarter]), largest(seen.values[:, -quarter:])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(late > 0, early / late, np.nan)


def grown(seen: Series) -> Floats:
    """Gradient of the first quarter of the layers over what is usual in the last quarter: `(readings,)`."""
    quarter = max(1, len(seen.places) // 4)
    early, late = (
        largest(seen.values[:, :quarter]),
        np.sort(seen.values[:, -quarter:], axis=1)[:, (quarter - 1) // 2],
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(late > 0, early / late, np.nan)


def pace(run: Run, names: tuple[str, ...]) -> float:
    """How far a step moves the fastest of these parameters, of its size: the median; NaN = unknown."""
    if update_ratio not in run:
        return float("nan")
    moved = largest(only(run[update_ratio], names).values)
    moved = moved[np.isfinite(moved)]
    return float(np.median(moved)) if moved.size else float("nan")


def only(series: Series, places: tuple[str, ...]) -> Series:
    """The series at these places, in their order; those that have no reading are left out."""
    column = {place: i for i, place in enumerate(series.places)}
    kept = tuple(p for p in places if p in column and not np.isnan(series.values[:, column[p]]).all())
    return Series(series.steps, kept, series.values[:, [column[p] for p in kept]])


def largest(values: npt.NDArray[np.float32]) -> Floats:
    """Largest of each row, NaN where a row has no reading."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    return np.asarray(np.fmax.reduce(values.astype(np.float64), axis=1))
