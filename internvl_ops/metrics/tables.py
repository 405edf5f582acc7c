"""Compares tables by TEDS, the similarity of their trees.

Zhong et al., "Image-based table recognition: data, model, and evaluation" (2020), define it: 1
minus the edit distance of the trees over the number of nodes of the larger one. A node is the
table, its head or body, a row or a cell. To insert or remove one costs 1. To replace one costs 1 if
the tags or spans differ; else it is free, but for two cells, which cost the edit distance of their
texts over the length of the longer one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

from internvl_ops.metrics.edits import edits

_CELLS, _GROUPS = ("td", "th"), ("thead", "tbody", "tfoot")
_TABLE_TAGS = re.compile(r"<(/?)table\b[^>]*>", re.IGNORECASE)
_PIPES = re.compile(r"\s*\|.*\|\s*$")
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_CELL_ENDS = re.compile(r"(?<!\\)\|")
# as large; a model in a loop writes more, and comparing takes the product of both sizes
_MOST_TIMES = 10
_LARGEST_SPAN = 1_000


@dataclass
class Node:
    """A table, or a part of one.

    Args:
        tag: "table", "thead", "tbody", "tfoot", "tr" or "td".
        children: Its parts, in order.
        spans: Columns and rows over which a cell reaches.
        text: A cell's text, with single blanks.
        heading: Whether a cell is a header cell, or stands in the head of its table. Not compared.
    """

    tag: str
    children: list[Node] = field(default_factory=list)
    spans: tuple[int, int] = (1, 1)
    text: str = ""
    heading: bool = False


def tables_in(text: str) -> list[Node]:
    """The tables of a text in HTML or Markdown, in their order; one within a cell is text of that
    cell.

    A header cell is a cell, and rows that stand in no head, body or foot stand in a body, as
    browsers read them.
    """
    return [table for part, is_html in _parts(text) for table in _read(part, is_html)]


def html_tables_in(text: str) -> list[Node]:
    """The tables of a text in HTML, as `tables_in` finds them."""
    return [table for part, is_html in _parts(text) if is_html for table in _read(part, is_html)]


def _read(part: str, is_html: bool) -> list[Node]:
    return _in_html(part) if is_html else _in_markdown(part)


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Cuts a text into tables in HTML and what is between them."""
    place = depth = 0
    for tag in _TABLE_TAGS.finditer(text):
        if not tag[1] and not depth:
            yield text[place : tag.start()], False
            place = tag.start()
        depth += -1 if tag[1] else 1
        if depth == 0:
            yield text[place : tag.end()], True
            place = tag.end()
        depth = max(0, depth)
    yield text[place:], depth > 0


def teds(first: Node, second: Node) -> float:
    """The similarity of two tables, from 0 to 1. Below 0.1, where one has ten times the nodes of
    the other, it is 0."""
    sizes = count(first), count(second)
    if max(sizes) > _MOST_TIMES * min(sizes):
        return 0.0
    return 1 - tree_edits(first, second, _cost) / max(sizes)


def count(node: Node) -> int:
    """The number of nodes of a tree."""
    return 1 + sum(count(child) for child in node.children)


def _cost(first: Node, second: Node) -> float:
    if first.tag != second.tag or first.spans != second.spans:
        return 1.0
    longer = max(len(first.text), len(second.text))
    return edits(first.text, second.text) / longer if longer else 0.0


def tree_edits(first: Node, second: Node, cost: Callable[[Node, Node], float]) -> float:
    """The edit distance of two ordered trees, by the algorithm of Zhang and Shasha (1989).

    Args:
        first: A tree.
        second: Another one.
        cost: What replacing a node costs; inserting and removing one costs 1.
    """
    (nodes, leftmost, roots), (others, other_leftmost, other_roots) = (
        _ordered(first),
        _ordered(second),
    )
    distance = [[0.0] * len(others) for _ in nodes]
    for root in roots:
        for other in other_roots:
            top, left = leftmost[root], other_leftmost[other]
            rows, columns = root - top + 2, other - left + 2
            forest = [[float(row + column) for column in range(columns)] for row in range(rows)]
            for row in range(1, rows):
                for column in range(1, columns):
                    a, b = top + row - 1, left + column - 1
                    least = min(forest[row - 1][column], forest[row][column - 1]) + 1
                    if leftmost[a] == top and other_leftmost[b] == left:
                        least = min(least, forest[row - 1][column - 1] + cost(nodes[a], others[b]))
                        distance[a][b] = least
                    else:
                        before = forest[leftmost[a] - top][other_leftmost[b] - left]
                        least = min(least, before + distance[a][b])
                    forest[row][column] = least
    return distance[-1][-1]


def _ordered(tree: Node) -> tuple[list[Node], list[int], list[int]]:
    """The nodes, each behind its children; the number of the leftmost leaf below each; and the
    roots of parts that are compared: each node that is not the first child."""
    nodes: list[Node] = []
    leftmost: list[int] = []

    def visit(node: Node) -> int:
        leaves = [visit(child) for child in node.children]
        nodes.append(node)
        leftmost.append(leaves[0] if leaves else len(nodes) - 1)
        return leftmost[-1]

    visit(tree)
    last = {leaf: number for number, leaf in enumerate(leftmost)}
    return nodes, leftmost, sorted(last.values())


class _Tables(HTMLParser):
    """Reads the one table of an excerpt, however badly its tags are closed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.table = Node("table")
        self._group: Node | None = None
        self._row: Node | None = None
        self._cell: Node | None = None
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._depth += 1
        elif self._depth > 1:
            return
        elif tag in _GROUPS:
            self._group, self._row, self._cell = Node(tag), None, None
            self.table.children.append(self._group)
        elif tag == "tr":
            if self._group is None:
                self._group = Node("tbody")
                self.table.children.append(self._group)
            self._row, self._cell = Node("tr"), None
            self._group.children.append(self._row)
        elif tag in _CELLS:
            if self._row is None:
                self.handle_starttag("tr", [])
            assert self._row is not None
            values = dict(attrs)
            self._cell = Node(
                "td",
                spans=(_span(values.get("colspan")), _span(values.get("rowspan"))),
                heading=tag == "th" or (self._group is not None and self._group.tag == "thead"),
            )
            self._row.children.append(self._cell)
        elif tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._depth -= 1
        elif self._depth > 1:
            return
        elif tag in _GROUPS:
            self._group = self._row = self._cell = None
        elif tag == "tr":
            self._row = self._cell = None
        elif tag in _CELLS:
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.text += data


def _in_html(text: str) -> list[Node]:
    parser = _Tables()
    parser.feed(text)
    parser.close()
    for group in parser.table.children:
        for row in group.children:
            for cell in row.children:
                cell.text = " ".join(cell.text.split())
    return [parser.table]


def _span(value: str | None) -> int:
    return (
        min(int(value), _LARGEST_SPAN)
        if value and value.isascii() and value.isdigit() and int(value)
        else 1
    )


def _in_markdown(text: str) -> list[Node]:
    found: list[Node] = []
    lines = text.split("\n")
    number = 0
    while number < len(lines) - 1:
        if not (_PIPES.match(lines[number]) and _RULE.match(lines[number + 1])):
            number += 1
            continue
        table = Node("table", [Node("thead", [_row(lines[number])])])
        number += 2
        body = Node("tbody")
        while number < len(lines) and _PIPES.match(lines[number]):
            body.children.append(_row(lines[number]))
            number += 1
        if body.children:
            table.children.append(body)
        found.append(table)
    return found


def _row(line: str) -> Node:
    cells = _CELL_ENDS.split(line.strip().removeprefix("|").removesuffix("|"))
    return Node(
        "tr", [Node("td", text=" ".join(cell.replace("\\|", "|").split())) for cell in cells]
    )
