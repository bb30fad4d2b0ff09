"""What is known of a loss from the calls of torch's loss functions: its kind, what goes in, and what a
constant would score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import LossFacts, RefusedLabels, Site, TensorFacts, Training
from ..signals.sample import row_sample
from . import graph

CLASSES = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
ELEMENTWISE = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")

ROWS = 256
"""Rows of a prediction that are looked at."""

COUNTED_CLASSES = 1_000
"""Most classes whose label counts are kept with the record."""


@dataclass
class Call:
    """One call of a loss function with gradient, in this step."""

    key: tuple[str, str, int] | None
    """Function, file and line; `None` where the step is not read."""
    result: Tensor
    terms: float | Tensor = 1.0
    """How many numbers were added up, where they were: over so many the mean would be."""


@dataclass
class Known:
    """All that was seen of one loss function at one line."""

    facts: LossFacts
    counts: np.ndarray[Any, np.dtype[np.float64]] | None = None  # label histogram
    total: np.ndarray[Any, np.dtype[np.float64]] | None = None  # sum of targets per output
    squares: np.ndarray[Any, np.dtype[np.float64]] | None = None
    seen: float = 0.0
    weight: np.ndarray[Any, np.dtype[np.float64]] | None = None
    inputs: list[Tensor] = field(default_factory=list)
    sum_of: float | Tensor = 1.0
    """`Call.terms` of the last call, where backward starts from the sum as it is."""


def arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, Tensor] | None:
    """The prediction and the target of a call; `None` where they cannot be looked at."""
    both = (*args[:2], *(kwargs[k] for k in ("input", "target")[len(args[:2]) :] if k in kwargs))
    x, y = both if len(both) == 2 else (None, None)
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        return None
    if hasattr(x, "_local_tensor") or hasattr(
        y, "_local_tensor"
    ):  # DTensor: looking would start a collective
        return None
    return x, y


def terms(kind: str, x: Tensor, y: Tensor, kwargs: dict[str, Any]) -> float | Tensor:
    """How many numbers a loss adds up: 1 unless its reduction is "sum"."""
    if kwargs.get("reduction") != "sum":
        return 1.0
    if kind not in CLASSES:
        return float(max(x.numel(), y.numel()))
    if y.is_floating_point():
        return x.numel() / x.shape[1] if x.ndim > 1 else 1.0
    kept = (y.detach() != int(kwargs.get("ignore_index", -100))).sum().clamp_min(1)
    return float(kept) if kept.is_cpu else kept  # no waiting for a GPU


class Losses:
    """The training's losses by (function, file, line), in order of appearance."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str, int], Known] = {}

    def seen(
        self, key: tuple[str, str, int], site: Site | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Known:
        """The entry of a loss, made at its first call."""
        known = self.known.get(key)
        if known is None:
            pair = arguments(args, kwargs)
            x, y = pair if pair is not None else (None, None)
            known = self.known[key] = Known(
                {
                    "kind": key[0],
                    "site": site,
                    "reduction": str(kwargs.get("reduction", "mean")),
                    "input_shape": list(x.shape) if x is not None else None,
                    "target_shape": list(y.shape) if y is not None else None,
                    "input_dtype": str(x.dtype).removeprefix("torch.") if x is not None else None,
                    "target_dtype": str(y.dtype).removeprefix("torch.") if y is not None else None,
                    "input_range": None,
                    "target_range": None,
                    "classes": x.shape[1] if x is not None and x.ndim > 1 and key[0] in CLASSES else None,
                    "sums_to_one": None,
                    "input_from": None,
                    "input_site": None,
                    "target_integers": None,
                    "target_counts": None,
                    "extra": {"calls": 0},
                }
            )
        return known

    def by_hand(self, line: tuple[str, int], kind: str, shape: list[int], compared: list[int]) -> None:
        """A difference that the script squares, or takes the size of, itself; only its shapes are known."""
        key = (f"{kind} difference", *line)
        if key in self.known:
            return
        own = [1] * (len(compared) - len(shape)) + shape
        grown = [i for i, (a, b) in enumerate(zip(own, compared, strict=True)) if a != b]
        # Where the prediction had one and many came out, the target had many; elsewhere it had one at least.
        target = (
            [b if a != b else 1 for a, b in zip(own, compared, strict=True)][grown[0] :] if grown else shape
        )
        known = self.seen(key, {"file": line[0], "line": line[1]} if line[0] else None, (), {})
        known.facts["reduction"] = None
        known.facts["input_shape"], known.facts["target_shape"] = shape, target

    def read(
        self, known: Known, args: tuple[Any, ...], kwargs: dict[str, Any], training: Training
    ) -> int | None:
        """Look at the arguments of a call at a sampled step; fills facts and the training's samples.

        Returns:
            the number of the graph node that made the prediction, for naming its module.
        """
        pair = arguments(args, kwargs)
        if pair is None:
            return None
        x, y = pair
        facts = known.facts
        made_by, node = graph.made_by(x)
        facts["input_from"] = facts["input_from"] or made_by
        with torch.no_grad():
            rows, targets = _rows(known.facts["kind"], x, y)
            training.prediction, training.target = rows, targets
            _ranges(facts, rows, targets)
            self._count(known, rows, targets, kwargs)
        return node

    def _count(self, known: Known, x: Tensor, y: Tensor, kwargs: dict[str, Any]) -> None:
        """Add a batch's targets to what the constant predictor knows."""
        kind = known.facts["kind"]
        weight = kwargs.get("weight")
        if isinstance(weight, Tensor):
            known.weight = weight.detach().double().cpu().numpy()
            known.facts["extra"]["weighted"] = True
        smoothing = kwargs.get("label_smoothing")
        if smoothing:
            known.facts["extra"]["label_smoothing"] = float(smoothing)
        if isinstance(kwargs.get("pos_weight"), Tensor):
            known.facts["extra"]["weighted"] = True
        if kind in CLASSES and not y.is_floating_point():
            ignored = int(kwargs.get("ignore_index", -100))
            kept = y[(y != ignored) & (y >= 0)]
            known.facts["extra"]["ignored"] = 1 - len(kept) / max(1, len(y))
            counts = torch.bincount(kept.long(), minlength=x.shape[1]).double().cpu().numpy()
            if known.counts is None or len(counts) > len(known.counts):
                counts[: 0 if known.counts is None else len(known.counts)] += (
                    0 if known.counts is None else known.counts
                )
                known.counts = counts
            else:
                known.counts[: len(counts)] += counts
            known.seen += len(kept)
            if len(known.counts) <= COUNTED_CLASSES:
                known.facts["target_counts"] = [int(c) for c in known.counts]
            return
        values = y.double().reshape(len(y), -1).cpu().numpy()
        total, squares = values.sum(axis=0), (values**2).sum(axis=0)
        if known.total is None or known.total.shape != total.shape:
            known.total, known.squares, known.seen = total, squares, 0.0
        else:
            assert known.squares is not None
            known.total, known.squares = known.total + total, known.squares + squares
        known.seen += len(values)


def constant_loss(known: Known, original: Callable[..., Any], training: Training) -> float | None:
    """The loss of the best constant prediction on the targets seen so far, per element or sample (reduction
    "mean").

    For classes the entropy of the label frequencies (weighted as the loss weighs them), with Miller and
    Madow's correction for the number of samples; for squared error the variance; for other element-wise
    losses the loss of the mean. `None` where no constant is known for this loss.
    """
    kind = known.facts["kind"]
    smoothing = known.facts["extra"].get("label_smoothing", 0.0)
    assert isinstance(smoothing, float)
    if known.seen < 2:
        return None
    if kind in CLASSES:
        if known.counts is not None:
            share, n = known.counts, known.seen
        elif known.total is not None:  # soft targets
            share, n = known.total, known.seen
        else:
            return None
        if known.weight is not None and len(known.weight) == len(share):
            share = share * known.weight
        if share.sum() <= 0:
            return None
        share = share / share.sum()
        share = (1 - smoothing) * share + smoothing / len(share)
        positive = share[share > 0]
        entropy = float(-(positive * np.log(positive)).sum()) + (len(positive) - 1) / (2 * n)
        return min(entropy, float(np.log(len(share))))
    if known.total is None or known.squares is None:
        return None
    mean = known.total / known.seen
    if kind in BINARY:
        if known.facts["extra"].get("weighted") or (mean < 0).any() or (mean > 1).any():
            return None
        p = np.clip(mean, 1e-12, 1 - 1e-12)
        return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())
    if kind == "mse_loss":
        return float((known.squares / known.seen - mean**2).mean())
    if kind in ELEMENTWISE and training.target is not None:
        target = training.target.reshape(len(training.target), -1)
        guess = torch.as_tensor(mean, dtype=target.dtype, device=target.device).expand_as(target)
        with torch.no_grad():
            return float(original(guess, target))
    return None


def refused_labels(
    kind: str, args: tuple[Any, ...], kwargs: dict[str, Any], step: int, site: Site | None
) -> RefusedLabels | None:
    """The labels at which a loss function has raised, if it was for them.

    A GPU raises later, and cannot be asked any more by then.
    """
    pair = arguments(args, kwargs)
    if kind not in CLASSES or pair is None or not pair[1].is_cpu or not pair[1].numel() or not pair[0].ndim:
        return None
    x, y = pair
    ignored, classes = int(kwargs.get("ignore_index", -100)), x.shape[1 if x.ndim > 1 else 0]
    wrong = y[((y < 0) | (y >= classes)) & (y != ignored)]
    if y.is_floating_point() or not wrong.numel():
        return None
    kept = y[y != ignored]
    low, high = int(kept.amin()), int(kept.amax())
    return {
        "kind": kind,
        "site": site,
        "step": step,
        "low": low,
        "high": high,
        "classes": classes,
        "ignored": ignored,
    }


def target_facts(known: Known) -> TensorFacts | None:
    """Statistics of the numbers that a loss compares with; `None` for class ids."""
    span = known.facts["target_range"]
    if known.total is None or known.squares is None or not known.seen or span is None:
        return None
    mean = known.total / known.seen
    variance = np.maximum(known.squares / known.seen - mean**2, 0)
    few = len(mean) <= COUNTED_CLASSES
    return {
        "shape": known.facts["target_shape"] or [],
        "dtype": known.facts["target_dtype"] or "float32",
        "mean": float(mean.mean()),
        "std": float(np.sqrt(np.maximum((known.squares / known.seen).mean() - mean.mean() ** 2, 0))),
        "low": span[0],
        "high": span[1],
        "feature_mean": mean.tolist() if few else None,
        "feature_std": np.sqrt(variance).tolist() if few else None,
    }


def accuracy(kind: str, x: Tensor, y: Tensor, kwargs: dict[str, Any]) -> float | None:
    """Share of right answers on at most 256 rows; `None` where the targets are not class ids."""
    if kind not in CLASSES or y.is_floating_point() or x.ndim < 2:
        return None
    rows, targets = _rows(kind, x, y)
    kept = targets != int(kwargs.get("ignore_index", -100))
    if not bool(kept.any()):
        return None
    return float((rows.argmax(dim=1) == targets)[kept].float().mean())


def _rows(kind: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Some rows of prediction and target: `(rows, outputs)`, and `(rows,)` class ids or `(rows, outputs)`."""
    x, y = x.detach(), y.detach()
    if kind in CLASSES and x.ndim > 2:  # (batch, classes, positions...): some positions of each sample
        x = x.flatten(2)
        positions = slice(None, None, max(1, -(-x.shape[0] * x.shape[2] // ROWS)))
        x = x[:, :, positions].transpose(1, 2).reshape(-1, x.shape[1])
        y = (
            y.flatten(1)[:, positions].reshape(-1)
            if not y.is_floating_point()
            else y.flatten(2)[:, :, positions].transpose(1, 2).reshape(x.shape)
        )
    elif kind in CLASSES and x.ndim == 1:
        x, y = x.unsqueeze(0), y.reshape(-1)
    x = x.reshape(len(x), -1) if x.ndim else x.reshape(1, 1)
    y = y if y.ndim == 1 and kind in CLASSES else (y.reshape(len(y), -1) if y.ndim else y.reshape(1, 1))
    x, y = row_sample(x, ROWS), row_sample(y, ROWS)
    outputs = max(1, 65_536 // max(1, len(x)))  # pictures: some of their points
    if kind not in CLASSES and x.shape[1] > outputs and y.shape == x.shape:
        every = slice(None, None, -(-x.shape[1] // outputs))
        x, y = x[:, every], y[:, every]
    return x.float(), y.float() if y.is_floating_point() else y


def _ranges(facts: LossFacts, x: Tensor, y: Tensor) -> None:
    lows, highs = (
        torch.stack([x.amin(), y.float().amin()]).tolist(),
        torch.stack([x.amax(), y.float().amax()]).tolist(),
    )
    facts["input_range"] = _wider(facts["input_range"], lows[0], highs[0])
    facts["target_range"] = _wider(facts["target_range"], lows[1], highs[1])
    whole = not y.is_floating_point() or bool((y == y.round()).all())
    facts["target_integers"] = whole and facts["target_integers"] is not False
    if x.shape[1] > 1:
        distributions = lows[0] >= 0 and bool(((x.sum(dim=1) - 1).abs() < 1e-3).all())
        facts["sums_to_one"] = distributions and facts["sums_to_one"] is not False


def _wider(known: list[float] | None, low: float, high: float) -> list[float]:
    return [low, high] if known is None else [min(low, known[0]), max(high, known[1])]
