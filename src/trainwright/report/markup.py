"""HTML by construction: whatever is not already `Markup` is escaped, so no name or source line can break the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

UNPRINTABLE = dict.fromkeys(
    [*range(9), 11, 12, *range(14, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\ufffd",
)
"""Control characters, which HTML forbids, and those that would show a line of source in another order than it has."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(raw: object) -> Markup:
    """`raw` as HTML text, safe between tags and inside quoted attributes.

    >>> text('<b a="1">')
    '&lt;b a=&quot;1&quot;&gt;'
    """
    if isinstance(raw, Markup):
        return raw
    whole = (
        str(raw).encode("utf-8", "replace").decode("utf-8")
    )  # a lone surrogate cannot be written to a file
    return Markup(escape(whole.translate(UNPRINTABLE)))


def tag(element: str, *children: object, **attributes: str | float | None) -> Markup:
    """One element. A trailing `_` in an attribute's name is dropped and `_` becomes `-`; one that is `None`
    is left out.

    >>> tag("a", "x < y", href="#z", class_="quiet", title=None)
    '<a href="#z" class="quiet">x &lt; y</a>'
    """
    inside = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{text(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if element in ("br", "img", "hr"):
        return Markup(f"<{element}{inside}>")
    return Markup(f"<{element}{inside}>{join(children)}</{element}>")


def join(parts: Iterable[object]) -> Markup:
    """Parts one after the other, each escaped where it is not markup; `None` is nothing."""
    return Markup("".join(text(part) for part in parts if part is not None))


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str, numeric: int | None = None
) -> Markup:
    """A table whose columns from `numeric` on hold numbers; the first cell of a row is its header."""
    cells = [
        tag(
            "tr",
            *(tag("th", cell, scope="row") if i == 0 else tag("td", cell) for i, cell in enumerate(row)),
        )
        for row in rows
    ]
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *(tag("th", name, scope="col") for name in head))),
        tag("tbody", *cells),
        class_=None if numeric is None else f"numbers from-{numeric}",
    )


def scrollable(name: str) -> dict[str, str]:
    """Attributes of a box that may be wider than the page: a keyboard reaches it, and a reader names it."""
    return {"tabindex": "0", "role": "region", "aria_label": name}


def folded(summary: object, *content: object, class_: str | None = None) -> Markup:
    """Content behind a line that opens it."""
    return tag("details", tag("summary", summary), *content, class_=class_)


def sentence(prose: str) -> Markup:
    """Plain prose with `code` in back quotes, as messages have it."""
    parts = prose.split("`")
    if len(parts) % 2 == 0:  # an unpaired quote is meant as it stands
        return text(prose)
    return join(tag("code", part) if i % 2 else part for i, part in enumerate(parts))


def number(value: float, digits: int = 3) -> str:
    """A number as one would write it by hand.

    >>> [number(x) for x in (0.0, 2.302585, 12345.6, 8.6e-9, float("inf"))]
    ['0', '2.3', '12,346', '8.6e-9', 'not finite']
    """
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    size = abs(value)
    if size < 1e-3 or size >= 1e6:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        if "." in mantissa:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.{digits}g}"


def apart(one: float, other: float) -> tuple[str, str]:
    """Two numbers with as many digits as it takes to tell them apart, at most six.

    >>> apart(2.3041, 2.3026), apart(8.6e-9, 1e-4), apart(1.0, 1.0)
    (('2.304', '2.303'), ('8.6e-9', '1e-4'), ('1', '1'))
    """
    for digits in range(3, 7):
        said = number(one, digits), number(other, digits)
        if one == other or said[0] != said[1]:
            break
    return said


def markdown(source: str, *, top: int) -> Markup:
    """A page as HTML with its highest heading at level `top`; raw HTML in it is shown as text.

    Addresses are written out behind their text instead of linked: the report refers to nothing outside itself.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = parser.parse(source)
    highest = min((int(t.tag[1]) for t in tokens if t.type == "heading_open"), default=1)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) - highest + top)}"
        if token.children:
            token.children = _unlinked(token.children)
    return Markup(str(parser.renderer.render(tokens, parser.options, {})).translate(UNPRINTABLE))


def _unlinked(tokens: Sequence[Token]) -> list[Token]:
    kept: list[Token] = []
    label = ""
    address = ""
    for token in tokens:
        if token.type == "link_open":
            address, label = str(token.attrs.get("href", "")), ""
        elif token.type == "link_close":
            if address and address != label:
                kept.append(Token("text", "", 0, content=f" ({address})"))
        else:
            label += token.content
            kept.append(token)
    return kept
