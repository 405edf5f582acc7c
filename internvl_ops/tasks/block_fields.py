"""How models name the fields and types of blocks in JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from internvl_ops.tasks.block_types import (
    CAPTION,
    CODE,
    FIGURE,
    FOOTER,
    FOOTNOTE,
    FORMULA,
    HEADER,
    HEADING,
    LIST,
    PAGE_NUMBER,
    PARAGRAPH,
    TABLE,
)

TYPE_FIELDS = ("type", "category", "label", "class", "block_type")
BOX_FIELDS = ("box", "bbox", "bbox_2d", "box_2d", "bounding_box", "position", "coordinates")
LEVEL_FIELDS = ("level", "depth")
TEXT_FIELDS = (
    "text",
    "content",
    "markdown",
    "html",
    "latex",
    "value",
    "description",
    "items",
    "rows",
    "cells",
)
NESTED_FIELDS = ("children", "blocks", "elements")
# By the name in lower case with underscores: the type, and the level of a heading. Besides this
# project's own names these are the classes of DocLayNet, which layout models are trained on, and
# those of OmniDocBench.
TYPES: dict[str, tuple[str, int | None]] = {
    **{
        name: (name, None)
        for name in (
            HEADING,
            PARAGRAPH,
            LIST,
            TABLE,
            FORMULA,
            FIGURE,
            CAPTION,
            FOOTNOTE,
            CODE,
            HEADER,
            FOOTER,
            PAGE_NUMBER,
        )
    },
    "title": (HEADING, 1),
    "document_title": (HEADING, 1),
    "doc_title": (HEADING, 1),
    "section_header": (HEADING, 2),
    "section_title": (HEADING, 2),
    "subtitle": (HEADING, 2),
    "paragraph_title": (HEADING, 2),
    "text": (PARAGRAPH, None),
    "text_block": (PARAGRAPH, None),
    "plain_text": (PARAGRAPH, None),
    "body": (PARAGRAPH, None),
    "body_text": (PARAGRAPH, None),
    "abstract": (PARAGRAPH, None),
    "reference": (PARAGRAPH, None),
    "list_item": (LIST, None),
    "bullet_list": (LIST, None),
    "ordered_list": (LIST, None),
    "equation": (FORMULA, None),
    "equation_isolated": (FORMULA, None),
    "isolate_formula": (FORMULA, None),
    "math": (FORMULA, None),
    "picture": (FIGURE, None),
    "image": (FIGURE, None),
    "chart": (FIGURE, None),
    "diagram": (FIGURE, None),
    "photo": (FIGURE, None),
    "photograph": (FIGURE, None),
    "logo": (FIGURE, None),
    "table_caption": (CAPTION, None),
    "figure_caption": (CAPTION, None),
    "image_caption": (CAPTION, None),
    "page_footnote": (FOOTNOTE, None),
    "table_footnote": (FOOTNOTE, None),
    "figure_footnote": (FOOTNOTE, None),
    "code_block": (CODE, None),
    "algorithm": (CODE, None),
    "code_txt": (CODE, None),
    "page_header": (HEADER, None),
    "running_head": (HEADER, None),
    "page_footer": (FOOTER, None),
    "folio": (PAGE_NUMBER, None),
}


def first_of(item: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The first of these fields that is there and not null."""
    return next((item[name] for name in names if item.get(name) is not None), None)
