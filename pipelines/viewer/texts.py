"""Texts for the page: Markdown as a tree of a few known elements, and two texts with what differs
marked.

The page builds elements from the tree by name and puts texts in as text. No answer ever becomes
markup: HTML in it is text, a link is its words and its address, a picture is its description.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from internvl_ops.page_texts.tables import html_table

LONGEST_RENDERED = 50_000  # characters; the rest of a longer text is shown as plain text
MOST_COMPARED = 6_000  # words of one text that are compared
_LONGEST_LABEL = 200  # characters of a block's text that name its place on the picture
_LONGEST_TABLE = 200_000  # characters of HTML; cells of a longer table are shown without spans
Node = str | dict[str, Any]  # a text, or {"tag": …, "children": […]}
_TAGS = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre",
                   "code", "em", "strong", "s", "table", "thead", "tbody", "tr", "th", "td", "hr",
                   "br"))  # fmt: skip
_WORDS = re.compile(r"\s+|\w+|[^\w\s]", re.UNICODE)
_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(
    ["table", "strikethrough"]
)


def rendered(text: str) -> list[Node]:
    """Markdown as a tree of elements of `_TAGS`, from the first `LONGEST_RENDERED` characters."""
    root: list[Node] = []
    _fill(root, _markdown.parse(text[:LONGEST_RENDERED]))
    return root


def blocks(said: Any) -> list[dict[str, Any]]:
    """The column ``blocks`` of `ocr --blocks`.

    Args:
        said: The column as JSON.

    Returns:
        Of each block its ``kind``, its ``content`` as a tree, the beginning of its text as
        ``label``, and its ``box``: x1, y1, x2, y2 in pixels of the page, or None if its place is
        not known. Empty if there is no such column, or more of it than was read.
    """
    try:
        return [
            {
                "kind": _kind(block),
                "content": _content(block),
                "label": block["text"][:_LONGEST_LABEL],
                "box": _box(block.get("box")),
            }
            for block in json.loads(said)
        ]
    except (TypeError, ValueError, KeyError, AttributeError):
        return []  # another column of this name, or one that was cut off


def _box(said: Any) -> list[float] | None:
    """Four corners from a list or a struct of them; None for anything else."""
    if isinstance(said, dict):
        said = [said.get(side) for side in ("x1", "y1", "x2", "y2")]
    if not isinstance(said, list) or len(said) != 4:
        return None
    known = [side for side in said if isinstance(side, int | float) and math.isfinite(side)]
    return known if len(known) == 4 else None


def _kind(block: dict[str, Any]) -> str:
    kind = str(block["type"]).replace("_", " ")
    return kind if block["level"] is None else f"{kind} {block['level']}"


def _content(block: dict[str, Any]) -> list[Node]:
    text = block["text"]
    if block["type"] == "table":
        return [_table(str(block.get("html") or ""), text)]
    return _lines(text)


def _table(html: str, text: str) -> Node:
    """A table of its cells, with their spans where the HTML is there and not too long."""
    if "<table" in html[:_LONGEST_TABLE] and len(html) <= _LONGEST_TABLE:
        rows = [
            [
                _element("th" if cell.head else "td", *_lines(cell.text))
                | {"columns": cell.columns, "rows": cell.rows}
                for cell in row
            ]
            for row in html_table(html).rows
        ]
    else:
        rows = [[_element("td", cell) for cell in line.split("\t")] for line in text.split("\n")]
    return _element("table", _element("tbody", *(_element("tr", *row) for row in rows)))


def _lines(text: str) -> list[Node]:
    parts: list[Node] = []
    for line in text.split("\n"):
        parts += [_element("br"), line] if parts else [line]
    return parts


def _element(tag: str, *children: Node) -> dict[str, Any]:
    return {"tag": tag, "children": list(children)}


def _fill(root: list[Node], tokens: Sequence[Token]) -> None:
    open_lists = [root]
    for token in tokens:
        here = open_lists[-1]
        if token.nesting == 1:
            element: dict[str, Any] = {
                "tag": token.tag if token.tag in _TAGS else "span",
                "children": [],
            }
            if token.type == "link_open":
                element["address"] = str(token.attrGet("href") or "")
            here.append(element)
            open_lists.append(element["children"])
        elif token.nesting == -1:
            open_lists.pop()
            if token.type == "link_close":
                _write_out_address(open_lists[-1])
        else:
            here.extend(_leaf(token))


def _leaf(token: Token) -> Iterator[Node]:
    if token.type == "inline":
        children: list[Node] = []
        _fill(children, token.children or [])
        yield from children
    elif token.type in ("fence", "code_block"):
        yield {"tag": "pre", "children": [token.content]}
    elif token.type == "code_inline":
        yield {"tag": "code", "children": [token.content]}
    elif token.type == "image":
        yield f"[picture: {token.content} {token.attrGet('src') or ''}]"
    elif token.type == "softbreak":
        yield "\n"
    elif token.tag in ("br", "hr"):
        yield {"tag": token.tag, "children": []}
    elif token.content:
        yield token.content


def _write_out_address(here: list[Node]) -> None:
    """Puts the address of a link behind its words: a link leads nowhere from here, and hides
    nothing."""
    link = here[-1]
    assert isinstance(link, dict)
    address = link.pop("address", "")
    if address and link["children"] != [address]:
        here.append(f" ({address})")


def difference(first: str, second: str) -> dict[str, Any]:
    """The parts of two texts, word by word.

    Returns:
        ``parts``: a list of {"op": "same", "first" or "second", "text": …}; ``similarity`` from 0
        to 1; ``complete``: whether all of both texts was compared.
    """
    words, others = _WORDS.findall(first), _WORDS.findall(second)
    complete = len(words) <= MOST_COMPARED and len(others) <= MOST_COMPARED
    words, others = words[:MOST_COMPARED], others[:MOST_COMPARED]
    matcher = difflib.SequenceMatcher(
        None, words, others, autojunk=len(words) + len(others) > 2_000
    )
    parts = []
    for op, start, end, other_start, other_end in matcher.get_opcodes():
        if op == "equal":
            parts.append({"op": "same", "text": "".join(words[start:end])})
            continue
        if start < end:
            parts.append({"op": "first", "text": "".join(words[start:end])})
        if other_start < other_end:
            parts.append({"op": "second", "text": "".join(others[other_start:other_end])})
    return {"parts": parts, "similarity": matcher.ratio(), "complete": complete}
