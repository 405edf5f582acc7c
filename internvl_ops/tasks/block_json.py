"""Reads the blocks of a page from an answer in JSON: a list of objects with type, box and text.

Models name types and fields in their own ways, and an answer may be cut off, have LaTeX without
escaped backslashes or quotation marks within texts. Nothing here raises, no text of a block is
dropped, and what is repaired is said.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from internvl_ops.page_texts.tables import html_table
from internvl_ops.tasks.block_broken_json import ESCAPES, Outside, broken_items
from internvl_ops.tasks.block_fields import (
    BOX_FIELDS,
    LEVEL_FIELDS,
    NESTED_FIELDS,
    TEXT_FIELDS,
    TYPE_FIELDS,
    TYPES,
    first_of,
)
from internvl_ops.tasks.block_latex import restored
from internvl_ops.tasks.block_reader import balanced
from internvl_ops.tasks.block_types import (
    CAPTION,
    CODE,
    FIGURE,
    FOOTNOTE,
    FORMULA,
    FURNITURE,
    HEADING,
    LIST,
    PARAGRAPH,
    TABLE,
    Block,
    Blocks,
    Place,
)
from internvl_ops.tasks.blocks import read_blocks
from internvl_ops.tasks.boxes import GRID

_FENCE = re.compile(r"\A\s*```[a-z]*[ \t]*\n(.*?)\n?\s*(?:```)?\s*\Z", re.DOTALL | re.IGNORECASE)
_FORMULA_MARKS = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))
_WIDE_BLANK = re.compile(r"\t|[ ]{2,}")
_ITEM = re.compile(r"[ \t]*(?:[-*+•]|\d{1,9}[.)])[ \t]+\S")
_ONE_LINE = FURNITURE | {CAPTION, FOOTNOTE, HEADING, FIGURE}
_DEEPEST = 20  # of nested objects and lists
_LIST_ITEM = "list_item"


def read_json_blocks(answer: str) -> Blocks:
    """Reads an answer that should be a JSON list of blocks.

    An answer without any JSON object is read as Markdown. Boxes are thousandths of the page's width
    and height, left, top, right and bottom, or shares of them if none exceeds 1; one that reaches
    out of the page is clipped, and one that is no box is left out.
    """
    fenced = _FENCE.match(answer)
    text = fenced[1] if fenced else answer
    outside = Outside()
    items = _whole(text)
    if items is None:
        items = broken_items(text, outside)
    if not items and text.strip() not in ("", "[]", "{}"):
        found = read_blocks(answer)
        found.repairs.insert(0, "the answer was not JSON; it was read as Markdown")
        return found
    reader = _Reader(items, outside.repairs)
    reader.found.repairs += outside.notes()
    return reader.found


def _whole(text: str) -> list[Any] | None:
    """The items of an answer that is JSON; None if it is none."""
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return _items_in(value) if isinstance(value, list | dict) else None


def _items_in(value: Any, depth: int = 0) -> list[Any]:
    """The items of a list, or of the lists in an object that is no block itself."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or depth > _DEEPEST or not value:
        return [] if value in ({}, None) else [value]
    if first_of(value, TYPE_FIELDS) is None and first_of(value, TEXT_FIELDS) is None:
        inside = [one for one in value.values() if isinstance(one, list | dict)]
        if inside:
            return [item for one in inside for item in _items_in(one, depth + 1)]
    return [value]


class _Reader:
    """Makes blocks of items.

    Args:
        items: The items.
        repairs: What was repaired in the JSON of an item, by its number, from 0.
    """

    def __init__(self, items: Sequence[Any], repairs: Mapping[int, str]) -> None:
        self.found = Blocks()
        self._shares = _are_shares(items)
        for number, item in enumerate(items):
            if number in repairs:
                self._repaired(repairs[number])
            self._item(item)

    def _repaired(self, what: str) -> None:
        self.found.repairs.append(f"block {len(self.found.blocks) + 1}: {what}")

    def _item(self, item: Any, depth: int = 0) -> None:
        if not isinstance(item, dict):
            if text := _plain(item).strip():
                self._repaired("it was a text without a type; it stands as a paragraph")
                self.found.blocks.append(Block(PARAGRAPH, text))
            return
        named = first_of(item, TYPE_FIELDS)
        key = re.sub(r"[\s\-/]+", "_", named.strip().lower()) if isinstance(named, str) else ""
        kind, level = TYPES.get(key, (PARAGRAPH, None))
        place = self._place(first_of(item, BOX_FIELDS))
        if key not in TYPES:
            what = f"the type {named!r:.40} is unknown" if named is not None else "it had no type"
            self._repaired(f"{what}; it stands as a paragraph")
        said = _said_level(first_of(item, LEVEL_FIELDS))
        value, nested = _content(item)
        self._block(kind, value, said or level, place, merges=key == _LIST_ITEM)
        caption = item.get("caption")
        if isinstance(caption, str) and caption.strip() and caption != value:
            self.found.blocks.append(Block(CAPTION, " ".join(caption.split())))
        for one in nested if depth < _DEEPEST else ():
            self._item(one, depth + 1)

    def _block(
        self, kind: str, value: Any, level: int | None, place: Place | None, *, merges: bool
    ) -> None:
        before = len(self.found.blocks)
        if kind == TABLE:
            self._table(value, place)
        else:
            text, restores = restored(_plain(value, lists=kind == LIST), formula=kind == FORMULA)
            if restores:
                self._repaired(ESCAPES)
            self._text(kind, text.strip(), level, place)
        blocks = self.found.blocks
        if merges and before and len(blocks) > before and blocks[before - 1].type == LIST:
            item, earlier = blocks.pop(), blocks.pop()
            both = f"{earlier.text}\n{item.text}"
            blocks.append(Block(LIST, both, place=_around(earlier.place, item.place)))

    def _text(self, kind: str, text: str, level: int | None, place: Place | None) -> None:
        if kind == HEADING:
            marks = re.match(r"(#{1,6})[ \t]+", text)
            level = level or (len(marks[1]) if marks else 1)
            text = text[marks.end() :] if marks else text
        if kind == FORMULA:
            text = self._formula(text)
        if kind == CODE and (fenced := _FENCE.match(text)):
            text = fenced[1]
        if kind == LIST and not _ITEM.match(text):
            text = "\n".join(f"- {line.strip()}" for line in text.split("\n") if line.strip())
        if kind in _ONE_LINE:
            text = " ".join(text.split())
        if text or (kind == FIGURE):
            self.found.blocks.append(
                Block(kind, text, level if kind == HEADING else None, place=place)
            )

    def _formula(self, text: str) -> str:
        for opens, closes in _FORMULA_MARKS:
            if text.startswith(opens):
                text = text.removeprefix(opens).removesuffix(closes).strip()
                break
        text, missing = balanced(text)
        if missing:
            self._repaired(f"a formula lacked {missing}")
        return text

    def _table(self, value: Any, place: Place | None) -> None:
        rows = value if isinstance(value, list) else None
        if rows and all(isinstance(row, list) for row in rows):
            lines = [" | ".join(_plain(cell).replace("|", "\\|") for cell in row) for row in rows]
            text = "\n".join(f"| {' '.join(line.split())} |" for line in lines)
            # The first row of such a table is its head only if the model says so, and it cannot.
            text = text if len(lines) > 1 else _one_cell_each(lines[0].split(" | "))
        else:
            text, _ = restored(_plain(value), formula=False)
        if not text.strip():
            return
        inside = read_blocks(text)
        if not any(block.type == TABLE for block in inside.blocks):
            self._repaired("a table had no cells; each line is a row")
            inside = Blocks(_lined_table(text), [])
        for repair in inside.repairs:
            what = repair.partition(": ")[2] or repair
            if not (rows and "rule below the head" in what):
                self._repaired(what)
        for block in inside.blocks:
            at = place if block.type == TABLE else None
            self.found.blocks.append(Block(block.type, block.text, block.level, block.html, at))

    def _place(self, said: Any) -> Place | None:
        if said is None:
            return None
        numbers = _numbers(said)
        if numbers is None:
            self._repaired("its box was not four numbers; it has none")
            return None
        left, top, right, bottom = (one if self._shares else one / GRID for one in numbers)
        sides = [min(left, right), min(top, bottom), max(left, right), max(top, bottom)]
        inside = [min(max(side, 0.0), 1.0) for side in sides]
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            off = sides != inside
            where = "lay off the page" if off else "had no width or no height"
            self._repaired(f"its box {where}; it has none")
            return None
        if sides != inside:
            self._repaired("its box reached out of the page and was clipped")
        return inside[0], inside[1], inside[2], inside[3]


def _one_cell_each(cells: Sequence[str]) -> str:
    return f"<table><tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr></table>"


def _lined_table(text: str) -> list[Block]:
    """A table of lines, with cells between tabs or wide blanks."""
    lines = (line.strip() for line in text.split("\n"))
    rows = ["<tr><td>" + _WIDE_BLANK.sub("<td>", line) for line in lines if line]
    table = html_table(f"<table>{''.join(rows)}</table>")
    return [Block(TABLE, table.text, html=table.html)]


def _content(item: Mapping[str, Any]) -> tuple[Any, list[Any]]:
    """The text of a block, whatever its form, and the blocks within it."""
    values = [item[name] for name in TEXT_FIELDS if item.get(name) not in (None, "")]
    nested: list[Any] = []
    texts: list[Any] = []
    for value in [*values, *(item[name] for name in NESTED_FIELDS if item.get(name))]:
        if isinstance(value, list) and any(_is_block(one) for one in value):
            nested += value
        elif isinstance(value, dict) and _is_block(value):
            nested.append(value)
        elif value not in texts:
            texts.append(value)
    if len(texts) <= 1:
        return (texts[0] if texts else ""), nested
    return "\n".join(_plain(text, lists=isinstance(text, list)) for text in texts), nested


def _is_block(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(first_of(value, TYPE_FIELDS), str)


def _plain(value: Any, *, lists: bool = False) -> str:
    """Any value of JSON as a text: lists line by line, or as nested lists of Markdown."""
    return "\n".join(_lines(value, 0, lists=lists))


def _lines(value: Any, depth: int, *, lists: bool) -> Iterator[str]:
    if isinstance(value, list) and depth < _DEEPEST:
        for one in value:
            inner = isinstance(one, list)
            for number, line in enumerate(_lines(one, depth + inner, lists=lists)):
                begins = lists and not inner and not number and not _ITEM.match(line)
                yield f"{'  ' * depth}- {line}" if begins else line
    elif isinstance(value, dict) and depth < _DEEPEST:
        for name, one in value.items():
            if name not in BOX_FIELDS and name not in TYPE_FIELDS:
                inner = isinstance(one, list)
                yield from _lines(one, depth + inner, lists=lists)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _said_level(said: Any) -> int | None:
    if isinstance(said, str) and (digits := re.search(r"[1-9]", said)):
        return min(6, int(digits[0]))
    if isinstance(said, int | float) and not isinstance(said, bool) and math.isfinite(said):
        return min(6, max(1, int(said)))
    return None


def _numbers(said: Any) -> list[float] | None:
    """Left, top, right and bottom of a box as given; None if it is none."""
    if isinstance(said, str):
        said = re.findall(r"-?\d+(?:\.\d+)?", said)
    if isinstance(said, dict):
        said = _named_sides(said)
    flat: list[Any] = []
    for one in said if isinstance(said, list) else ():
        flat += one if isinstance(one, list) else [one]
    numbers = [_number(one) for one in flat]
    known = [one for one in numbers if one is not None]
    if len(known) != len(numbers) or len(known) not in (4, 8):
        return None
    if len(known) == 8:  # the corners of a tilted box
        across, down = known[::2], known[1::2]
        return [min(across), min(down), max(across), max(down)]
    return known


def _named_sides(said: Mapping[str, Any]) -> list[Any]:
    names = {name.lower(): value for name, value in said.items()}
    for four in (
        ("x1", "y1", "x2", "y2"),
        ("left", "top", "right", "bottom"),
        ("x_min", "y_min", "x_max", "y_max"),
        ("xmin", "ymin", "xmax", "ymax"),
    ):
        if all(side in names for side in four):
            return [names[side] for side in four]
    return []


def _number(said: Any) -> float | None:
    try:
        value = float(said) if not isinstance(said, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _are_shares(items: Sequence[Any]) -> bool:
    """Whether boxes are shares of the page: some have fractions, and none exceeds 1."""
    boxes = (_numbers(first_of(one, BOX_FIELDS)) for one in items if isinstance(one, dict))
    numbers = [number for box in boxes for number in box or ()]
    return any(0 < number < 1 for number in numbers) and max(numbers) <= 1


def _around(one: Place | None, other: Place | None) -> Place | None:
    if one is None or other is None:
        return one or other
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )
