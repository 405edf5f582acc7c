"""Reads the blocks of a page from an answer in Markdown or HTML: headings, paragraphs, tables and
others.

An answer of a model need not be well-formed, so nothing here raises, and no text is dropped. What
is repaired is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from internvl_ops.page_texts.furniture import is_page_number
from internvl_ops.tasks.block_reader import BlockReader
from internvl_ops.tasks.block_types import (
    CAPTION,
    CODE,
    FIGURE,
    FOOTER,
    FORMULA,
    HEADER,
    HEADING,
    LIST,
    PAGE_NUMBER,
    PARAGRAPH,
    TABLE,
    TAGGED,
    Block,
    Blocks,
)

_WHOLE = re.compile(r"\A(`{3,})(markdown|md|html)?[ \t]*\n(.*)\Z", re.DOTALL | re.IGNORECASE)
_CAPTION = re.compile(
    r"(?:figure|fig\.|table|tab\.|abb\.|abbildung|tabelle|tableau|图|表)\s*(?:\d|[ivx]+\b|[A-Z]\b)",
    re.IGNORECASE,
)


def read_blocks(answer: str) -> Blocks:
    """Reads an answer in Markdown, with tables in HTML or Markdown.

    A table is read whether or not its tags are closed and its rows have as many cells as others. A
    page number is one that stands alone at the head or foot, or in ``<page_number>``. A header or
    footer is what the model marks as such: a page alone does not show which of its lines are
    repeated on others. A caption stands in a tag, or beside a table or figure and begins like
    ``Table 3``.
    """
    found = Blocks()
    text = answer.replace("\r\n", "\n").replace("\r", "\n")
    while (inside := _unwrapped(text)) is not None:
        text = inside
        found.repairs = ["the whole answer stood in a code block"]
    BlockReader(text, found).read()
    _mark_edges(found.blocks)
    _mark_captions(found.blocks)
    return found


def markdown(blocks: Sequence[Block]) -> str:
    """Writes blocks so that `read_blocks` reads them again."""
    return "\n\n".join(map(_written, blocks))


def _written(block: Block) -> str:
    tag = next((name for name, kind in TAGGED.items() if kind == block.type), None)
    if tag is not None:
        tag = "caption" if tag == "figcaption" and "</figcaption>" in block.text.lower() else tag
        return f"<{tag}>{block.text}</{tag}>"
    if block.type == CODE:
        longest = max(map(len, re.findall(r"`+", block.text)), default=0)
        fence = "`" * max(3, longest + 1)
        return f"{fence}text\n{block.text}\n{fence}"
    forms: dict[str, Callable[[], str]] = {
        HEADING: lambda: f"{'#' * (block.level or 1)} {block.text}",
        TABLE: lambda: block.html or block.text,
        FORMULA: lambda: _written_formula(block.text),
        FIGURE: lambda: _written_figure(block.text),
    }
    return forms.get(block.type, lambda: block.text)()


def _written_formula(text: str) -> str:
    if "$$" not in text:
        return f"$$\n{text}\n$$"
    return f"\\[\n{text}\n\\]"


def _written_figure(text: str) -> str:
    if "]" not in text:
        return f"![{text}]()"
    if "(" not in text and ")" not in text:
        return f"![]({text})"
    quote = "'" if '"' in text else '"'
    return f"<img alt={quote}{text}{quote}>"


def _unwrapped(text: str) -> str | None:
    """What stands in a code block around all of the text; None if there is none."""
    text = text.strip()
    whole = _WHOLE.match(text)
    if whole is None:
        return None
    inside = whole[3].rstrip()
    lines = inside.split("\n")
    ends = [number for number, line in enumerate(lines) if line.strip() == whole[1]]
    others = [line for line in lines if line.strip().startswith(whole[1])]
    if not ends and not others:
        return inside  # was cut off before its end
    if ends[-1:] == [len(lines) - 1] and (len(others) == 1 or (whole[2] and len(others) % 2 == 1)):
        return "\n".join(lines[:-1])
    return None


def _mark_edges(blocks: list[Block]) -> None:
    """Page numbers alone at the head or foot."""
    if sum(block.type not in (HEADER, FOOTER, PAGE_NUMBER) for block in blocks) < 2:
        return
    for place in (0, -1):
        block = blocks[place]
        dashes = block.type == LIST and block.text.endswith("-")  # "- 12 -" begins like an item
        if (block.type == PARAGRAPH or dashes) and is_page_number(block.text):
            blocks[place] = replace(block, type=PAGE_NUMBER)


def _mark_captions(blocks: list[Block]) -> None:
    for number, block in enumerate(blocks):
        beside = {one.type for one in blocks[max(0, number - 1) : number + 2]}
        if block.type == PARAGRAPH and beside & {TABLE, FIGURE} and _CAPTION.match(block.text):
            blocks[number] = replace(block, type=CAPTION)
