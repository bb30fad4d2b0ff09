"""Charts as inline SVG: lines over steps, a heat map of layers over steps, a profile over layers.

A chart has no width of its own. Places are percentages and data lie in a box of 10,000 x 10,000 that is
stretched to fit, so lines and text keep their size on a phone, on a desktop and on paper. The page's script
finds what it needs to zoom and to read values in `data-` attributes; without it nothing is missing but that.
"""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .axis import Axis, Floats, extremes
from .markup import Markup, join, tag

BOX = 10_000
PIECES = 320
"""Stretches that a line is drawn from: two points each, about the pixels of a wide screen."""
ROW = 18
"""Height of a row of a heat map in CSS pixels, where there are few."""
TALL = 560
"""Greatest height of a heat map in CSS pixels."""
LANE = 24
"""Height of one flag above a chart in CSS pixels."""

# Nine points of viridis (Smith & van der Walt, 2015): even steps look even, also without colour and to the
# colour-blind.
VIRIDIS = (
    (68, 1, 84), (72, 40, 120), (62, 73, 137), (49, 104, 142), (38, 130, 142),
    (31, 158, 137), (83, 197, 104), (170, 220, 50), (253, 231, 37),
)  # fmt: skip
LEVELS = 40
NOTHING, ZERO, BROKEN = (0, 0, 0), (145, 145, 150), (214, 39, 82)


STEP = tag("text", "step", x="-10", y="100%", dy="18", class_="title")
"""Names the axis that most charts share."""


class Line(NamedTuple):
    """One series on a chart."""

    label: str
    style: str
    """Class in the style sheet: its colour and dash."""
    x: npt.NDArray[np.int64] | Floats
    y: Floats
    """NaN or infinite where the line is broken."""
    dots: bool = False


class Flag(NamedTuple):
    """A finding on a chart."""

    number: int
    label: str
    severity: str
    step: int
    height: float | None
    """Value of the curve at that step; `None` = there is none."""


def line_chart(
    name: str, lines: Sequence[Line], x: Axis, y: Axis, *, flags: Sequence[Flag] = (), epochs: Sequence[int] = (),
    height: int = 260, unit: str = "",
) -> Markup:  # fmt: skip
    """Lines over steps, with flags planted where findings begin and a rule at each step of `epochs`."""
    data = tag(
        "svg", *(_polylines(line, x, y) for line in lines),
        class_="data", viewBox=f"0 0 {BOX} {BOX}", preserveAspectRatio="none", width="100%", height="100%",
    )  # fmt: skip
    lost = [(int(s), line) for line in lines for s in _breaks(line)]
    frame = tag(
        "svg",
        _y_axis(y), _x_axis(x), STEP, _epochs(epochs, x), data,
        *(tag("text", "✕", **_at_x(x, s), y="12", class_=f"lost {line.style}") for s, line in lost),
        *_stems(flags, x, y),
        class_="frame", height=height, role="group", aria_label=name,
    )  # fmt: skip
    plot = tag(
        "div", _flags(flags, x), frame,
        class_="plot steps", data_x0=x.low, data_x1=x.high, data_y0=_plain(y.low), data_y1=_plain(y.high),
        data_log="1" if y.log else None, data_unit=unit or None,
    )  # fmt: skip
    return join([legend(lines, epochs=bool(epochs), flags=bool(flags)), plot])


def legend(lines: Sequence[Line], *, epochs: bool = False, flags: bool = False) -> Markup:
    """The names of the lines."""
    few = sum("faint" in line.style for line in lines) <= 1  # of several curves, the medians have names
    keys = [
        tag("span", _swatch(line.style, line.dots), line.label, class_="key")
        for line in lines
        if few or "faint" not in line.style
    ]
    if epochs:
        keys.append(tag("span", _swatch("epoch"), "an epoch begins", class_="key"))
    if flags:
        keys.append(tag("span", tag("span", "1", class_="badge small"), "a finding begins", class_="key"))
    return tag("p", *keys, class_="legend")


def heat_map(
    name: str, rows: Sequence[str], steps: npt.NDArray[np.int64], values: npt.NDArray[np.float32], x: Axis,
    colour: Axis,
    *, unit: str, columns: int = 80,
) -> Markup:  # fmt: skip
    """Layers from top to bottom, steps from left to right, colour for the value.

    Args:
        values: `(readings, rows)`; NaN = no reading, infinite = not finite. Of the readings that share a column the one
            furthest from its row's median is drawn, so that spikes and dips survive.
    """
    levels = _levels(steps, values, x, colour, columns)
    image = tag(
        "image", href="data:image/png;base64," + base64.b64encode(png(levels, _palette())).decode(),
        width=BOX, height=BOX, preserveAspectRatio="none", class_="pixels",
    )  # fmt: skip
    data = tag(
        "svg", image,
        class_="data", viewBox=f"0 0 {BOX} {BOX}", preserveAspectRatio="none", width="100%", height="100%",
    )  # fmt: skip
    frame = tag(
        "svg", data, _row_labels(rows), _x_axis(x, grid=False), STEP,
        class_="frame", height=rows_height(len(rows)), role="group", aria_label=name,
    )  # fmt: skip
    plot = tag(
        "div", frame,
        class_="plot steps heat", data_x0=x.low, data_x1=x.high, data_y0=_plain(colour.low), data_y1=_plain(colour.high),
        data_log="1" if colour.log else None, data_unit=unit, data_rows="\n".join(rows),
    )  # fmt: skip
    return join([plot, _scale(colour, unit, levels)])


def profile(name: str, rows: Sequence[str], lines: Sequence[Line], value: Axis, *, unit: str) -> Markup:
    """Layers from top to bottom, values from left to right: the same rows as the heat map beside it.

    Args:
        lines: `y` holds one value a row; `x` is not used.
    """
    n = len(rows)
    place = (np.arange(n) + 0.5) / n
    data = tag(
        "svg", *(_points(value.at(line.y), place, np.isfinite(line.y), line) for line in lines),
        class_="data", viewBox=f"0 0 {BOX} {BOX}", preserveAspectRatio="none", width="100%", height="100%",
    )  # fmt: skip
    frame = tag(
        "svg", _x_axis(value, wanted=4), data, _row_labels(rows),
        class_="frame", height=rows_height(n), role="group", aria_label=name,
    )  # fmt: skip
    plot = tag(
        "div", frame,
        class_="plot profile", data_x0=_plain(value.low), data_x1=_plain(value.high), data_log="1" if value.log else None,
        data_unit=unit, data_rows="\n".join(rows),
    )  # fmt: skip
    return join([plot, legend(lines)])


def rows_height(rows: int) -> int:
    """Height of a chart with that many rows, in CSS pixels."""
    return max(54, min(TALL, rows * ROW))


def png(levels: npt.NDArray[np.uint8], palette: Sequence[tuple[int, int, int]]) -> bytes:
    """A picture of palette entries, the first of which is transparent.

    Source: Portable Network Graphics specification (third edition), section 11; filter 0 on each line.
    """

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = levels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(levels, np.uint8))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", bytes(c for colour in palette for c in colour))
        + chunk(b"tRNS", b"\0")
        + chunk(b"IDAT", zlib.compress(lines, 9))
        + chunk(b"IEND", b"")
    )


def tick(value: float) -> str:
    """A tick's label: a power of ten beyond the plain range.

    >>> tick(1e-5), tick(9.5e-5), tick(0.25), tick(20000.0)
    ('10⁻⁵', '9.5·10⁻⁵', '0.25', '20,000')
    """
    size = abs(value)
    mantissa, _, exponent = f"{value:.6e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    if size and not (1e-3 if mantissa == "1" else 1e-4) <= size < 1e6:
        power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return power if mantissa == "1" else f"{mantissa}·{power}"
    return f"{value:,.10g}"


def _polylines(line: Line, x: Axis, y: Axis) -> Markup:
    kept = extremes(line.y, PIECES)
    if not len(kept):
        return Markup("")
    breaks = np.flatnonzero(~np.isfinite(line.y))
    ends = np.searchsorted(kept, breaks)
    return join(
        _points(x.at(line.x[part]), 1 - y.at(line.y[part]), np.ones(len(part), bool), line)
        for part in np.split(kept, np.unique(ends))
        if len(part)
    )


def _points(across: Floats, down: Floats, here: npt.NDArray[np.bool_], line: Line) -> Markup:
    xs, ys = np.rint(across[here] * BOX).astype(int), np.rint(down[here] * BOX).astype(int)
    if not len(xs):
        return Markup("")
    points = [f"{a},{b}" for a, b in zip(xs, ys, strict=True)]
    drawn = tag(
        "polyline",
        points=" ".join(points if len(points) > 1 else points * 2),
        class_=line.style,
        data_label=line.label,
    )
    if not line.dots:
        return drawn
    # A line of no length with round ends is a dot that keeps its shape in a stretched box.
    dots = "".join(f"M{p}h0" for p in points)
    return join([drawn, tag("path", d=dots, class_=f"dots {line.style}")])


def _breaks(line: Line) -> list[float]:
    """Where a stretch that is not finite begins (at most twelve of them)."""
    broken = np.isinf(line.y)
    starts = np.flatnonzero(broken & ~np.r_[False, broken[:-1]])
    return [float(line.x[i]) for i in starts[:12]]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}".rstrip("0").rstrip(".") + "%"


def _plain(value: float) -> str:
    return f"{value:.6g}"


def _at_x(x: Axis, value: float) -> dict[str, str]:
    """Attributes that place something at a value along x; `data-x` lets the script move it."""
    fraction = float(x.at(value))
    return {"x": _percent(fraction), "data_x": f"{fraction:.4f}"}


def _upright(x: Axis, value: float, style: str, y1: str = "0", y2: str = "100%") -> Markup:
    at = _at_x(x, value)
    return tag("line", x1=at["x"], x2=at["x"], y1=y1, y2=y2, class_=style, data_x=at["data_x"])


def _x_axis(x: Axis, *, grid: bool = True, wanted: int = 7) -> Markup:
    ticks = x.ticks(wanted)
    if not x.log and x.high - x.low >= 1 and wanted == 7:  # steps are whole
        ticks = [t for t in ticks if t == round(t)]
    labels = [
        tag("text", tick(t), **_at_x(x, t), y="100%", dy="18", class_="sparse" if i % 2 else None)
        for i, t in enumerate(ticks)
    ]
    lines = [_upright(x, t, "grid") for t in ticks] if grid else []
    return tag("g", *lines, *labels, class_="x axis", aria_hidden="true")


def _y_axis(y: Axis) -> Markup:
    parts = []
    for t in y.ticks(5):
        at = _percent(1 - float(y.at(t)))
        parts.append(tag("line", x1="0", x2="100%", y1=at, y2=at, class_="grid"))
        parts.append(tag("text", tick(t), x="-10", y=at, dy="4"))
    return tag("g", *parts, class_="y axis", aria_hidden="true")


def _row_labels(rows: Sequence[str]) -> Markup:
    """Names of the rows: all of them where there is room, otherwise every second, fifth, tenth, ..."""
    n = len(rows)
    stride = next(s for s in (1, 2, 5, 10, 20, 50, 100, 10**9) if rows_height(n) * s / n >= 13)
    labels = []
    for i in range(0, n, stride):
        at = {"x": "-8", "y": _percent((i + 0.5) / n), "dy": "4"}
        if len(rows[i]) <= 13:
            labels.append(tag("text", rows[i], **at))
        else:
            labels.append(tag("text", _end(rows[i], 22), **at, class_="wide"))
            labels.append(tag("text", _end(rows[i], 13), **at, class_="narrow"))
    return tag("g", *labels, class_="rows axis", aria_hidden="true")


def _end(name: str, length: int) -> str:
    return name if len(name) <= length else "…" + name[1 - length :]


def _epochs(epochs: Sequence[int], x: Axis) -> Markup:
    lines = [_upright(x, step, "epoch") for step in epochs]
    return tag("g", *lines, aria_hidden="true")


def _flags(flags: Sequence[Flag], x: Axis) -> Markup | None:
    """One lane a flag, ordered so that no stem runs through a name."""
    if not flags:
        return None
    left = sorted((f for f in flags if float(x.at(f.step)) <= 0.5), key=lambda f: f.step)
    right = sorted((f for f in flags if float(x.at(f.step)) > 0.5), key=lambda f: -f.step)
    parts: list[Markup] = []
    for lane, flag in enumerate(lanes := [*left, *right]):
        parts.append(_upright(x, flag.step, f"stem {flag.severity}", y1=str(lane * LANE + 10)))
        at, middle = _at_x(x, flag.step), lane * LANE + 11
        side = {"dx": "15"} if flag in left else {"dx": "-15", "text_anchor": "end"}
        parts.append(
            tag(
                "a",
                tag("title", f"Finding {flag.number}, {flag.label}: from step {flag.step}"),
                tag("circle", cx=at["x"], cy=middle, r="9", data_x=at["data_x"]),
                tag("text", str(flag.number), **at, y=middle, dy="4", class_="digit"),
                tag("text", flag.label, **at, y=middle, dy="4", class_="name", **side),
                href=f"#finding-{flag.number}",
                class_=f"flag {flag.severity}",
            )
        )
    return tag(
        "svg",
        *parts,
        class_="flags",
        height=len(lanes) * LANE,
        role="group",
        aria_label="Where findings begin",
    )


def _stems(flags: Sequence[Flag], x: Axis, y: Axis) -> list[Markup]:
    parts = []
    for flag in flags:
        at = _at_x(x, flag.step)
        down = _percent(1 - float(y.at(flag.height))) if flag.height is not None else "100%"
        parts.append(_upright(x, flag.step, f"stem {flag.severity}", y2=down))
        parts.append(
            tag("circle", cx=at["x"], cy=down, r="4.5", class_=f"point {flag.severity}", data_x=at["data_x"])
        )
    return parts


def _swatch(style: str, dots: bool = False) -> Markup:
    inside = (
        tag("line", x1="7", x2="7", y1="0", y2="10", class_=style)
        if style == "epoch"
        else tag("line", x1="1", x2="25", y1="5", y2="5", class_=style)
    )
    dot = tag("path", d="M13,5h0", class_=f"dots {style}") if dots else None
    return tag("svg", inside, dot, width="14" if style == "epoch" else "26", height="10", aria_hidden="true")


def _palette() -> list[tuple[int, int, int]]:
    """No reading, zero, not finite, and the colours from low to high."""
    at = np.linspace(0, len(VIRIDIS) - 1, LEVELS)
    channels = [np.interp(at, np.arange(len(VIRIDIS)), [c[i] for c in VIRIDIS]) for i in range(3)]
    ramp = [(round(float(r)), round(float(g)), round(float(b))) for r, g, b in zip(*channels, strict=True)]
    return [NOTHING, ZERO, BROKEN, *ramp]


def _levels(
    steps: npt.NDArray[np.int64], values: npt.NDArray[np.float32], x: Axis, colour: Axis, columns: int
) -> npt.NDArray[np.uint8]:
    """Palette entries `(rows, columns)`. A column without readings shows the last ones before it."""
    columns = int(max(1, min(columns, x.high - x.low + 1)))
    bucket = np.minimum((x.at(steps) * columns).astype(int), columns - 1)
    place = colour.at(values)  # not-a-number stays so
    entry = np.where(np.isnan(values), 0, 3 + np.rint(place * (LEVELS - 1))).astype(np.uint8)
    entry[np.isinf(values)] = 2
    if colour.log:
        entry[values <= 0] = 1
    with np.errstate(invalid="ignore"):
        typical = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else 0.0 for c in place.T])
        odd = np.where(np.isnan(values), -1.0, np.where(np.isinf(values), 9.0, np.abs(place - typical)))
    result = np.zeros((values.shape[1], columns), np.uint8)
    starts = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]]) if len(bucket) else np.empty(0, int)
    for start, stop in zip(starts, np.r_[starts[1:], len(bucket)], strict=True):
        oddest = start + odd[start:stop].argmax(axis=0)
        drawn = entry[oddest, np.arange(values.shape[1])]
        result[:, bucket[start] :] = np.where(drawn > 0, drawn, result[:, bucket[start]])[:, None]
    return result


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + bytes(colour).hex()


def _scale(colour: Axis, unit: str, levels: npt.NDArray[np.uint8]) -> Markup:
    """The legend of a heat map; the script also reads the colours from it."""
    ramp = _palette()
    used = set(np.unique(levels).tolist())
    bars = [
        tag("rect", x=_percent(i / LEVELS), width=_percent(1.02 / LEVELS), height="10", fill=_hex(c))
        for i, c in enumerate(ramp[3:])
    ]
    labels = [
        tag("text", tick(t), x=_percent(float(colour.at(t))), y="26", class_="sparse" if i % 2 else None)
        for i, t in enumerate(colour.ticks(5))
    ]
    ramp_svg = tag(
        "svg", *bars, tag("g", *labels, class_="x axis"), height="32", class_="ramp", aria_hidden="true"
    )
    extra = [
        tag("span", tag("svg", tag("rect", width="12", height="12", fill=_hex(ramp[i])), width="12", height="12"), label, class_="key")
        for i, label in ((1, "zero"), (2, "not finite"))
        if i in used
    ]  # fmt: skip
    return tag("div", tag("span", unit, class_="unit"), ramp_svg, *extra, class_="scale")
