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
FIGURE, CAPTION, HEADER, FOOTER, PAGE_NUMBER = (
    "figure",
    "caption",
    "header",
    "footer",
    "page_number",
)
BLOCKS = pa.list_(
    pa.struct(
        [
            ("type", pa.string()),
            ("level", pa.int32()),
            ("order", pa.int32()),
            ("text", pa.string()),
            ("html", pa.string()),
        ]
    )
)
# Tags that say what a block is.
TAGGED = {
    "header": HEADER,
    "footer": FOOTER,
    "page_number": PAGE_NUMBER,
    "figcaption": CAPTION,
    "caption": CAPTION,
}


@dataclass(frozen=True)
class Block:
    """A part of a page.

    Args:
        type: One of this module's names, such as ``heading``.
        text: Its text, without the marks of its type; Markdown of a paragraph or list, LaTeX of a
            formula, lines of cells with tabs between them of a table, the description of a figure.
        level: Of a heading, from 1 to 6.
        html: Of a table.
    """

    type: str
    text: str
    level: int | None = None
    html: str | None = None


@dataclass
class Blocks:
    """The blocks of a page.

    Args:
        blocks: In their order.
        repairs: What was repaired, a sentence each.
    """

    blocks: list[Block] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, object]]:
        """The blocks as values of `BLOCKS`, counted from 1."""
        return [vars(block) | {"order": number} for number, block in enumerate(self.blocks, 1)]
