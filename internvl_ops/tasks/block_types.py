"""What the blocks of a page are."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

HEADING, PARAGRAPH, LIST, TABLE, FORMULA, CODE = (
    "heading",
    "paragraph",
    "list",
    "table",
    "formula",
    "code",
)
FIGURE, CAPTION, FOOTNOTE, HEADER, FOOTER, PAGE_NUMBER = (
    "figure",
    "caption",
    "footnote",
    "header",
    "footer",
    "page_number",
)
FURNITURE = frozenset({HEADER, FOOTER, PAGE_NUMBER})
"""Types of what belongs to a page and not to its text."""
PLACE = pa.struct([(side, pa.float64()) for side in ("x1", "y1", "x2", "y2")])
BLOCK = pa.struct(
    [
        ("type", pa.string()),
        ("level", pa.int32()),
        ("order", pa.int32()),
        ("text", pa.string()),
        ("html", pa.string()),
        ("box", PLACE),
        ("box_points", PLACE),
    ]
)
BLOCKS = pa.list_(BLOCK)
# Tags that say what a block is.
TAGGED = {
    "header": HEADER,
    "footer": FOOTER,
    "page_number": PAGE_NUMBER,
    "figcaption": CAPTION,
    "caption": CAPTION,
    "footnote": FOOTNOTE,
}
# Left, top, right and bottom, as shares of the width and height of the upright page.
Place = tuple[float, float, float, float]


@dataclass(frozen=True)
class Block:
    """A part of a page.

    Args:
        type: One of this module's names, such as ``heading``.
        text: Its text, without the marks of its type; Markdown of a paragraph or list, LaTeX of a
            formula, lines of cells with tabs between them of a table, the description of a figure.
        level: Of a heading, from 1 to 6.
        html: Of a table.
        place: Where it is on the page, if that is known.
    """

    type: str
    text: str
    level: int | None = None
    html: str | None = None
    place: Place | None = None


@dataclass
class Blocks:
    """The blocks of a page.

    Args:
        blocks: In their order.
        repairs: What was repaired, a sentence each.
    """

    blocks: list[Block] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)

    def rows(
        self, size: tuple[float, float], points: tuple[float, float] | None = None
    ) -> list[dict[str, object]]:
        """The blocks as values of `BLOCKS`, counted from 1.

        Args:
            size: Width and height of the page in pixels, for ``box``.
            points: The same in points of a PDF, for ``box_points``; None for other media.
        """
        return [
            {
                "type": block.type,
                "level": block.level,
                "order": number,
                "text": block.text,
                "html": block.html,
                "box": box_of(block.place, size),
                "box_points": None if points is None else box_of(block.place, points),
            }
            for number, block in enumerate(self.blocks, 1)
        ]


def on_page(place: Place) -> Place | None:
    """The part of a place that is on the page; None if there is none."""
    left, top, right, bottom = (min(max(side, 0.0), 1.0) for side in place)
    return (left, top, right, bottom) if left < right and top < bottom else None


def box_of(place: Place | None, size: tuple[float, float]) -> dict[str, float] | None:
    """A place on a page of this width and height, as a value of `PLACE`; rounded to hundredths."""
    if place is None:
        return None
    sides = (side * size[number % 2] for number, side in enumerate(place))
    names = (field.name for field in PLACE)
    return dict(zip(names, (round(side, 2) for side in sides), strict=True))
