"""The pictures of a report: curves over steps with the findings on them, and what passes through the layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..core import Finding, Run, Series, Severity, Signal
from ..signals import (
    accuracy,
    activation_std,
    constant_loss,
    dead_units,
    epoch,
    grad_norm,
    learning_rate,
    loss,
    saturated_units,
    update_ratio,
    valid_accuracy,
    valid_loss,
)
from .axis import Axis, Floats, fitting, logarithmic, steps_axis, trend
from .markup import Markup, folded, join, number, scrollable, table, tag
from .svg import Flag, Line, heat_map, line_chart, profile

SMOOTH = 480
"""Readings from which on a curve is drawn faint, with its median over stretches on top."""
STRETCHES = 160
"""Most stretches that medians are taken over."""
ROWS = 96
"""Most layers in a heat map."""
TABLE_ROWS = 96
"""Most layers in the table."""
DOTTED = 60
"""Most points that are drawn as dots on their line."""
EPOCHS = 15
"""Most epoch boundaries on a chart."""


class Depth(NamedTuple):
    """How one signal is shown layer by layer."""

    what: Signal
    title: str
    short: str
    unit: str
    note: str
    share: bool = False  # between 0 and 1: a linear scale


DEPTHS = (
    Depth(
        grad_norm, "Gradient norm", "gradient", "gradient norm",
        "Norm over all parameters of a layer. The gradient travels from the last row up to the first: "
        "rows that darken towards the top learn less and less.",
    ),
    Depth(
        activation_std, "Activation spread", "activation", "standard deviation",
        "Standard deviation of what a layer puts out. The signal travels from the first row down to the last: "
        "where a row is much darker or brighter than the one above, that layer shrinks or amplifies it.",
    ),
    Depth(
        update_ratio, "Update-to-weight ratio", "update", "step over weight",
        "How far one step moves a weight, over its size, for the largest parameter of each layer.",
    ),
    Depth(
        dead_units, "Dead units", "dead", "share of units",
        "Share of units that put out zero for every sample of five readings in a row.", share=True,
    ),
    Depth(
        saturated_units, "Saturated outputs", "saturated", "share of outputs",
        "Share of an activation function's outputs that lie in its flat part, where next to no "
        "gradient passes.", share=True,
    ),
)  # fmt: skip


def curves(run: Run, findings: Sequence[Finding]) -> Markup:
    """Loss, score and learning rate over steps."""
    x = steps_axis(s.steps for s in run.series.values())
    bounds, said = _epochs(run)
    flags = [
        Flag(i, f.rule, (f.severity or Severity.HARM).name.lower(), f.steps[0], _height(run, f.steps[0]))
        for i, f in enumerate(findings, 1)
    ]
    parts: list[Markup] = []
    losses = _loss_lines(run)
    if losses:
        y = fitting(np.concatenate([line.y for line in losses]))
        parts.append(
            _figure(
                "Loss" + (" (logarithmic)" if y.log else ""),
                line_chart(
                    "Loss over steps", losses, x, y, flags=flags, epochs=bounds, unit="loss", height=300
                ),
                said,
            )
        )
    else:
        parts.append(
            tag("p", "No loss was seen, so there is no curve to draw the findings on.", class_="quiet")
        )
    scores = [
        *_smoothed(run, accuracy, "accuracy", "train"),
        *_dotted(run, valid_accuracy, "validation accuracy", "valid"),
    ]
    if scores:
        chart = line_chart(
            "Accuracy over steps", scores, x, Axis(0, 1), epochs=bounds, unit="share", height=160
        )
        parts.append(_figure("Accuracy", chart))
    rates = _rates(run)
    if rates:
        y = fitting(np.concatenate([line.y for line in rates]))
        chart = line_chart(
            "Learning rate over steps", rates, x, y, epochs=bounds, unit="learning rate", height=130
        )
        parts.append(_figure("Learning rate" + (" (logarithmic)" if y.log else ""), chart))
    parts.append(folded("These curves as a table", _curve_table(run, findings)))
    return join(parts)


def depths(run: Run, findings: Sequence[Finding]) -> Markup:
    """Each signal that is known layer by layer: as a heat map over steps, and first, typical and last reading."""
    x = steps_axis(s.steps for s in run.series.values())
    named = {w.module or w.parameter for f in findings for w in f.where}
    parts = []
    for depth in DEPTHS:
        layers = by_layer(run, depth.what)
        if not layers.places:
            continue
        shown = _thinned(layers.places, named)
        rows = [layers.places[i] for i in shown]
        values = layers.values[:, shown]
        colour = Axis(0, 1) if depth.share else logarithmic(values)
        lines = _readings(values)
        across = Axis(0, 1) if depth.share else logarithmic(np.concatenate([line.y for line in lines]))
        note = depth.note
        if len(rows) < len(layers.places):
            note += f" {len(rows)} of {len(layers.places)} layers are shown, spread over the depth."
        parts.append(
            tag(
                "figure",
                tag("figcaption", tag("h3", depth.title), tag("p", note)),
                tag(
                    "div",
                    heat_map(
                        f"{depth.title} by layer over steps",
                        rows,
                        layers.steps,
                        values,
                        x,
                        colour,
                        unit=depth.unit,
                    ),
                    class_="over-time",
                ),
                tag(
                    "div",
                    profile(f"{depth.title} by layer", rows, lines, across, unit=depth.unit),
                    class_="by-layer",
                ),
                class_="depth",
            )
        )
    if not parts:
        return tag("p", "No layer was read, so there is nothing to show by depth.", class_="quiet")
    return join([*parts, folded("These readings as a table", _depth_table(run))])


def by_layer(run: Run, what: Signal) -> Series:
    """A signal with layers as places, in the order of the network.

    Gradients of a layer's parameters are taken together (root of the sum of squares); of update ratios, that of its
    largest parameter is taken.
    """
    if what not in run:
        return Series(np.empty(0, np.int64), (), np.empty((0, 0), np.float32))
    series = run[what]
    groups: dict[str, list[int]] = {}
    for i, place in enumerate(series.places):
        if not np.isnan(series.values[:, i]).all():
            groups.setdefault(run.where(place).module or place or "(whole model)", []).append(i)
    combine = {"grad_norm": _together, "update_ratio": _of_the_largest}.get(what.name, _of_the_largest)
    order = {name: i for i, name in enumerate(run.facts.get("modules", {}))}
    groups = dict(sorted(groups.items(), key=lambda group: order.get(group[0], len(order))))
    columns = [combine(run, series, members) for members in groups.values()]
    values = np.stack(columns, axis=1) if columns else np.empty((len(series.steps), 0), np.float32)
    return Series(series.steps, tuple(groups), values)


def _together(run: Run, series: Series, members: list[int]) -> npt.NDArray[np.float32]:
    part = series.values[:, members].astype(np.float64)
    total = np.sqrt(np.nansum(part**2, axis=1))
    return np.where(np.isnan(part).all(axis=1), np.nan, total).astype(np.float32)


def _of_the_largest(run: Run, series: Series, members: list[int]) -> npt.NDArray[np.float32]:
    known = run.facts.get("parameters", {})

    def size(i: int) -> float:
        facts = known.get(series.places[i])
        return float(np.prod(facts["shape"])) if facts else 0.0

    return series.values[:, max(members, key=size)]


def _figure(title: str, chart: Markup, note: str = "") -> Markup:
    return tag(
        "figure", tag("figcaption", tag("h3", title), tag("p", note) if note else None), chart, class_="curve"
    )


def _height(run: Run, step: int) -> float | None:
    """The loss at a step, or at the last one before it."""
    if loss not in run:
        return None
    series = run[loss]
    steps, values = series.at(series.places[0] if series.places else "")
    steps, values = steps[np.isfinite(values)], values[np.isfinite(values)]
    if not len(steps):
        return None
    return float(values[max(0, int(np.searchsorted(steps, step, side="right")) - 1)])


def _loss_lines(run: Run) -> list[Line]:
    lines = _smoothed(run, loss, "training loss", "train")
    lines += _dotted(run, valid_loss, "validation loss", "valid")
    if constant_loss in run:
        steps, values = run[constant_loss].at()
        if len(steps):
            ends = steps_axis([run[loss].steps] if loss in run else [steps])
            steps = (
                np.r_[ends.low, steps[1:-1], ends.high].astype(np.int64)
                if len(steps) > 1
                else np.array([ends.low, ends.high])
            )
            values = values if len(values) > 1 else np.repeat(values, 2)
            lines.append(
                Line(f"best constant prediction ({number(float(values[-1]), 4)})", "reference", steps, values)
            )
    return lines


def _smoothed(run: Run, what: Signal, label: str, style: str) -> list[Line]:
    """The readings of each place; where there are many, faint below their median over stretches."""
    lines: list[Line] = []
    for i, place in enumerate(run[what].places[:4] if what in run else ()):
        steps, values = run[what].at(place)
        if not len(steps):
            continue
        own = f"{label} at {place}" if place else label
        colour = style if i == 0 else f"line-{i}"
        if len(steps) < SMOOTH:
            lines.append(Line(own, colour, steps, values))
        else:
            lines.append(Line(own, f"{colour} faint", steps, values))
            median = f"{own}, median of {-(-len(steps) // STRETCHES)} readings"
            lines.append(Line(median, colour, *trend(steps, values, STRETCHES)))
    return lines


def _dotted(run: Run, what: Signal, label: str, style: str) -> list[Line]:
    if what not in run:
        return []
    steps, values = run[what].at()
    return [Line(label, style, steps, values, dots=len(steps) <= DOTTED)] if len(steps) else []


def _rates(run: Run) -> list[Line]:
    """One line for all parameter groups that share their rates, at most five."""
    if learning_rate not in run:
        return []
    series = run[learning_rate]
    alike: dict[bytes, list[str]] = {}
    for i, place in enumerate(series.places):
        alike.setdefault(series.values[:, i].tobytes(), []).append(place)
    lines = []
    for i, places in enumerate(list(alike.values())[:5]):
        label = (
            "learning rate"
            if len(alike) == 1
            else f"group{'s' if len(places) > 1 else ''} {', '.join(places)}"
        )
        lines.append(Line(label, f"line-{i}", *series.at(places[0])))
    return lines


def _epochs(run: Run) -> tuple[list[int], str]:
    """Steps at which epochs begin, and a remark where not all are drawn."""
    if epoch not in run:
        return [], ""
    steps, begun = run[epoch].at()
    bounds = steps[1:][np.diff(begun) > 0].tolist()
    stride = -(-len(bounds) // EPOCHS)
    return bounds[
        :: max(1, stride)
    ], f"One in {stride} of {len(bounds) + 1} epochs is marked." if stride > 1 else ""


def _readings(values: npt.NDArray[np.float32]) -> list[Line]:
    """First, typical and last reading of each row."""
    at = np.empty(0, np.int64)
    first, last = (_edge(values, side) for side in (0, -1))
    few = values.shape[1] <= DOTTED
    finite = np.where(np.isfinite(values), values, np.nan)
    middle = np.array([np.nanmedian(c) if not np.isnan(c).all() else np.nan for c in finite.T])
    return [
        Line("first reading", "first", at, first, dots=few),
        Line("median", "middle", at, middle, dots=few),
        Line("last reading", "last", at, last, dots=few),
    ]


def _edge(values: npt.NDArray[np.float32], side: int) -> Floats:
    """The first (0) or last (-1) reading of each column."""
    kept = [c[~np.isnan(c)] for c in values.T]
    return np.array([c[side] if len(c) else np.nan for c in kept], np.float64)


def _thinned(places: Sequence[str], named: set[str | None]) -> list[int]:
    """Which rows to draw: all, or some spread over the depth with those that findings name."""
    if len(places) <= ROWS:
        return list(range(len(places)))
    spread = np.linspace(0, len(places) - 1, ROWS).round().astype(int).tolist()
    return sorted({*spread, *(i for i, place in enumerate(places) if place in named)})


def _curve_table(run: Run, findings: Sequence[Finding]) -> Markup:
    """The curves at some twenty steps spread over the run, and where findings begin."""
    known = [
        (name, run[what], place)
        for name, what in (
            ("loss", loss), ("validation loss", valid_loss), ("constant prediction", constant_loss),
            ("accuracy", accuracy), ("validation accuracy", valid_accuracy), ("learning rate", learning_rate),
        )
        if what in run and len(run[what].steps)
        for place in run[what].places[:1]
    ]  # fmt: skip
    if not known:
        return Markup("")
    x = steps_axis(series.steps for _, series, _ in known)
    wanted = {round(s) for s in np.linspace(x.low, x.high, 20)} | {f.steps[0] for f in findings}
    columns: list[Callable[[int], str]] = [_lookup(*series.at(place)) for _, series, place in known]
    rows = [[f"{step:,}", *(column(step) for column in columns)] for step in sorted(wanted)]
    caption = "The last reading at or before each step"
    return tag(
        "div",
        table(["step", *(name for name, _, _ in known)], rows, caption=caption, numeric=1),
        class_="sheet",
        **scrollable("The curves as a table"),
    )


def _lookup(steps: npt.NDArray[np.int64], values: Floats) -> Callable[[int], str]:
    def said(step: int) -> str:
        i = int(np.searchsorted(steps, step, side="right")) - 1
        return number(float(values[i]), 4) if i >= 0 else "–"

    return said


def _depth_table(run: Run) -> Markup:
    columns: list[tuple[str, dict[str, float]]] = []
    for depth in DEPTHS:
        layers = by_layer(run, depth.what)
        if layers.places:
            wanted = (2,) if depth.share else (0, 1, 2)
            lines = _readings(layers.values)
            columns += [
                (
                    f"{depth.short} {('first', 'median', 'last')[i]}",
                    dict(zip(layers.places, lines[i].y.tolist(), strict=True)),
                )
                for i in wanted
            ]
    order = list(
        dict.fromkeys([*run.facts.get("modules", {}), *(p for _, column in columns for p in column)])
    )
    order = [place for place in order if any(place in column for _, column in columns)]
    rows = [
        [
            tag("code", place),
            *("–" if np.isnan(v := column.get(place, np.nan)) else number(v) for _, column in columns),
        ]
        for place in order[:TABLE_ROWS]
    ]
    caption = "Readings by layer" + (
        f": the first {TABLE_ROWS} of {len(order)}" if len(order) > TABLE_ROWS else ""
    )
    return tag(
        "div",
        table(["layer", *(name for name, _ in columns)], rows, caption=caption, numeric=1),
        class_="sheet",
        **scrollable("The readings as a table"),
    )
