"""Reads tables of answers, in HTML or Markdown, into one form of HTML, and repairs them.

Only tags that tables have count as tags. Whatever else looks like one, such as ``a<b``, is text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_TAG = re.compile(
    r"<(/?)(table|thead|tbody|tfoot|tr|td|th|caption|br|p|div|span|b|i|u|em|strong|sup|sub)\b([^<>]*)>",
    re.IGNORECASE,
)
_SPAN = re.compile(r"(col|row)span\s*=\s*[\"']?\s*(\d{1,9})", re.IGNORECASE)
_ROW = re.compile(r"\s*\|.*\|\s*")
RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_CELL_ENDS = re.compile(r"(?<!\\)\|")
_RAISED = {"sup": "^", "sub": "_"}  # how a plain text writes them
_WIDEST = 1_000  # columns to which spans may reach
_MOST_CELLS = 100_000  # up to which rows are made equally wide


@dataclass
class Cell:
    """A cell.

    Args:
        head: Whether it heads a column or row.
        columns: Columns over which it reaches.
        rows: Rows over which it reaches.
        text: Its text; raised and lowered parts behind ``^`` and ``_``.
        markup: The same as HTML.
    """

    head: bool = False
    columns: int = 1
    rows: int = 1
    text: str = ""
    markup: str = ""


@dataclass
class Table:
    """A table.

    Args:
        rows: Its rows of cells.
        caption: Its caption; empty without one.
        repairs: What was repaired.
    """

    rows: list[list[Cell]]
    caption: str = ""
    repairs: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """A line for each row; tabs between cells."""
        return "\n".join("\t".join(cell.text for cell in row) for row in self.rows)

    @property
    def html(self) -> str:
        """The table without anything but rows, cells and their spans, line breaks, raised and
        lowered text."""
        rows = ("".join(map(_cell_html, row)) for row in self.rows)
        return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def html_table(source: str) -> Table:
    """Reads a table from ``<table`` to its end, whichever of its tags are closed."""
    reader = _Reader()
    place = 0
    for tag in _TAG.finditer(source):
        reader.data(source[place : tag.start()])
        reader.tag(tag[2].lower(), tag[3], closes=bool(tag[1]))
        place = tag.end()
    reader.data(source[place:])
    reader.end()
    table = Table(
        [[_finished(cell) for cell in row] for row in reader.rows], " ".join(reader.caption.split())
    )
    if reader.strays:
        table.repairs.append("text between cells became cells")
    return _repaired(table)


def markdown_table(lines: Sequence[str]) -> Table:
    """Reads a table of lines with bars; its rule may be missing."""
    rule = next((number for number, line in enumerate(lines[:2]) if RULE.fullmatch(line)), None)
    rows = []
    for number, line in enumerate(lines):
        if number != rule:
            cells = _CELL_ENDS.split(line.strip().removeprefix("|").removesuffix("|"))
            rows.append([_plain(cell, head=rule == 1 and number == 0) for cell in cells])
    table = Table(rows)
    if rule is None:
        table.repairs.append("the rule below the head was missing; no row is taken for a head")
    return _repaired(table)


def markdown_lines(lines: Sequence[str]) -> int:
    """How many of the first lines are a table in Markdown; 0 if they are none."""
    if len(lines) < 2 or "|" not in lines[0]:
        return 0
    if _is_rule(lines[1]):
        count = 2
    elif _ROW.fullmatch(lines[0]) and _ROW.fullmatch(lines[1]):
        count = 1
    else:
        return 0
    bars = bool(_ROW.fullmatch(lines[0]))
    while count < len(lines) and (_ROW.fullmatch(lines[count]) if bars else "|" in lines[count]):
        count += 1
    return count


def _is_rule(line: str) -> bool:
    return "|" in line and "-" in line and bool(RULE.fullmatch(line))


class _Reader:
    """Takes tags and texts, and makes rows of them."""

    def __init__(self) -> None:
        self.rows: list[list[Cell]] = []
        self.caption = ""
        self.strays = False
        self._cell: Cell | None = None
        self._in_row = self._in_caption = False
        self._depth = 0
        self._raised: list[str] = []

    def tag(self, name: str, attributes: str, *, closes: bool) -> None:
        if name == "table":
            self._depth += -1 if closes else 1
            self.data(" ")
        elif self._depth > 1:  # a table in a cell is text of the cell
            self.data(" ")
        elif name == "caption":
            self._end_cell()
            self._in_caption = not closes
        elif name in ("td", "th"):
            self._end_cell()
            if not closes:
                self._begin_cell(name == "th", attributes)
        elif name in ("tr", "thead", "tbody", "tfoot"):
            self._end_cell()
            self._in_row = name == "tr" and not closes
            if self._in_row:
                self.rows.append([])
        elif self._cell is not None:
            self._inline(self._cell, name, closes)

    def data(self, text: str) -> None:
        text = html.unescape(text)
        if self._in_caption:
            self.caption += text
            return
        if self._cell is None:
            if not text.strip():
                return
            self.strays = True
            self._begin_cell(False, "")
        assert self._cell is not None
        self._cell.text += text
        self._cell.markup += html.escape(text, quote=False)

    def _begin_cell(self, head: bool, attributes: str) -> None:
        if not self._in_row:
            self.rows.append([])
            self._in_row = True
        spans = {found[1].lower(): max(1, int(found[2])) for found in _SPAN.finditer(attributes)}
        self._in_caption = False
        self._cell = Cell(head, spans.get("col", 1), spans.get("row", 1))
        self.rows[-1].append(self._cell)

    def end(self) -> None:
        """Ends the cell that is open."""
        self._end_cell()

    def _end_cell(self) -> None:
        if self._cell is not None:
            self._cell.markup += "".join(f"</{name}>" for name in reversed(self._raised))
        self._cell, self._raised, self._in_caption = None, [], False

    def _inline(self, cell: Cell, name: str, closes: bool) -> None:
        if name in _RAISED:
            if closes and self._raised[-1:] == [name]:
                self._raised.pop()
                cell.markup += f"</{name}>"
            elif not closes:
                self._raised.append(name)
                cell.text += _RAISED[name]
                cell.markup += f"<{name}>"
        elif name in ("br", "p", "div"):
            cell.text += " "
            cell.markup += "<br>" if name == "br" else " "


def _finished(cell: Cell) -> Cell:
    cell.text, cell.markup = " ".join(cell.text.split()), " ".join(cell.markup.split())
    return cell


def _plain(text: str, *, head: bool) -> Cell:
    reader = _Reader()
    reader.tag("td", "", closes=False)
    text, place = text.replace("\\|", "|"), 0
    for tag in _TAG.finditer(text):
        reader.data(text[place : tag.start()])
        if tag[2].lower() in ("br", "sup", "sub"):
            reader.tag(tag[2].lower(), "", closes=bool(tag[1]))
        place = tag.end()
    reader.data(text[place:])
    (cell,) = reader.rows[0]
    reader.end()
    cell.head = head
    return _finished(cell)


def _cell_html(cell: Cell) -> str:
    name = "th" if cell.head else "td"
    spans = {"colspan": cell.columns, "rowspan": cell.rows}
    said = "".join(f' {key}="{value}"' for key, value in spans.items() if value > 1)
    return f"<{name}{said}>{cell.markup}</{name}>"


def _repaired(table: Table) -> Table:
    """Clips spans that reach out of the table, and makes all rows equally wide."""
    table.rows = [row for row in table.rows if row]
    clipped = False
    for number, row in enumerate(table.rows):
        for cell in row:
            below = len(table.rows) - number
            clipped |= cell.rows > below
            cell.rows = min(cell.rows, below)
    widths = []
    for row, taken in zip(table.rows, _taken(table.rows), strict=True):
        width = taken
        for cell in row:
            if cell.columns > 1 and width + cell.columns > _WIDEST:
                clipped, cell.columns = True, 1
            width += cell.columns
        widths.append(width)
    if clipped:
        table.repairs.append("spans reached out of it")
    widest = max(widths, default=0)
    ragged = [number for number, width in enumerate(widths) if width < widest]
    if ragged and widest * len(table.rows) <= _MOST_CELLS:
        for number in ragged:
            head = all(cell.head for cell in table.rows[number])
            table.rows[number] += [Cell(head) for _ in range(widest - widths[number])]
        shown = ", ".join(str(number + 1) for number in ragged[:10]) + (
            ", …" if len(ragged) > 10 else ""
        )
        table.repairs.append(f"cells were missing in row {shown}; empty ones were added")
    return table


def _taken(rows: Sequence[Sequence[Cell]]) -> Iterator[int]:
    """How many columns of each row the cells of rows above take."""
    reaching: list[tuple[int, int]] = []  # the last row that a cell reaches, and its columns
    for number, row in enumerate(rows):
        reaching = [one for one in reaching if one[0] >= number]
        yield sum(columns for _, columns in reaching)
        reaching += [
            (number + cell.rows - 1, min(cell.columns, _WIDEST)) for cell in row if cell.rows > 1
        ]
