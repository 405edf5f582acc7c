"""Which cells of a table stand above, below and beside each other, and which are headings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from internvl_ops.metrics.tables import Node, html_tables_in

_RULE = re.compile(r"[\s|:-]+$")
_MOST_CELLS = 100_000  # of a grid; spans of a model in a loop would make more


@dataclass(frozen=True)
class Cells:
    """The cells of a table, by number.

    Args:
        texts: The text of each.
        headings: Those that are headings.
        up: For each cell, those that touch it from above; a cell that spans columns has several.
        down: The same below.
        left: The same to the left.
        right: The same to the right.
    """

    texts: list[str]
    headings: frozenset[int]
    up: list[set[int]]
    down: list[set[int]]
    left: list[set[int]]
    right: list[set[int]]

    def headings_above(self, cell: int) -> set[int]:
        """The headings above a cell; without any, the topmost cells above it."""
        return self._headings(cell, self.up)

    def headings_to_the_left(self, cell: int) -> set[int]:
        """The headings to the left of a cell; without any, the leftmost cells of its rows."""
        return self._headings(cell, self.left)

    def _headings(self, cell: int, beside: Sequence[set[int]]) -> set[int]:
        seen, waiting = set(), {cell}
        while waiting:
            seen.add(one := waiting.pop())
            waiting |= beside[one] - seen
        seen.discard(cell)
        return (seen & self.headings) or {one for one in seen if not beside[one]}


def tables_of_cells(text: str, *, markdown: bool = True) -> list[Cells]:
    """The tables of a text: those in Markdown, then those in HTML.

    A table in Markdown is two or more lines in a row that have a ``|``; its first row and its first
    column are headings. In HTML, header cells and those of the table's head are.
    """
    found = [_of_rows(rows) for rows in _markdown_tables(text)] if markdown else []
    return found + [_of_rows(_html_rows(table)) for table in html_tables_in(text)]


def _html_rows(table: Node) -> list[list[Node]]:
    return [row.children for group in table.children for row in group.children]


def _markdown_tables(text: str) -> Iterator[list[list[Node]]]:
    lines: list[str] = []
    for line in [*text.strip().split("\n"), ""]:
        if "|" in line:
            lines.append(line)
            continue
        if len(lines) > 1:
            rows = [_markdown_row(one) for one in lines if not _RULE.match(one)]
            for number, row in enumerate(rows):
                for column, cell in enumerate(row):
                    cell.heading = number == 0 or column == 0
            yield rows
        lines = []


def _markdown_row(line: str) -> list[Node]:
    cells = [cell.strip() for cell in line.split("|")]
    cells = cells[1:] if cells[0] == "" else cells
    cells = cells[:-1] if cells and cells[-1] == "" else cells
    return [Node("td", text=cell) for cell in cells]


def _of_rows(rows: Sequence[Sequence[Node]]) -> Cells:
    cells = [cell for row in rows for cell in row]
    numbers = iter(range(len(cells)))
    grid: dict[tuple[int, int], int] = {}
    for line, row in enumerate(rows):
        column = 0
        for cell in row:
            number = next(numbers)
            while (line, column) in grid:
                column += 1
            wide, high = cell.spans
            high = min(high, len(rows) - line)
            if len(grid) + wide * high > _MOST_CELLS:
                wide = high = 1
            for row_below in range(high):
                for column_beside in range(wide):
                    grid.setdefault((line + row_below, column + column_beside), number)
            column += wide
    up, down, left, right = ([set[int]() for _ in cells] for _ in range(4))
    for (line, column), number in grid.items():
        for other, here, there in (
            (grid.get((line - 1, column)), up, down),
            (grid.get((line, column - 1)), left, right),
        ):
            if other is not None and other != number:
                here[number].add(other)
                there[other].add(number)
    headings = frozenset(number for number, cell in enumerate(cells) if cell.heading)
    return Cells([cell.text for cell in cells], headings, up, down, left, right)
