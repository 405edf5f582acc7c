"""TEDS of tables, by cases computed by hand."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvl_ops.metrics.tables import Node, count, tables_in, teds, tree_edits

# A table, its body, 2 rows and 4 cells: 8 nodes.
TABLE = "<table><tr><td>ab</td><td>cd</td></tr><tr><td>ef</td><td>gh</td></tr></table>"


def score(first: str, second: str) -> float:
    (one,), (other,) = tables_in(first), tables_in(second)
    return teds(one, other)


@pytest.mark.parametrize(
    ("changed", "cost", "nodes"),
    [
        (TABLE, 0, 8),
        (TABLE.replace("ab<", "ax<"), 0.5, 8),  # one of two letters
        (TABLE.replace("ab<", "xyz<"), 1, 8),  # three edits over three letters
        (TABLE.replace("<td>ab", '<td colspan="2">ab'), 1, 8),  # another span
        (TABLE.replace("<td>gh</td>", ""), 1, 8),  # a cell less
        # a row and its two cells less
        (TABLE.replace("<tr><td>ef</td><td>gh</td></tr>", ""), 3, 8),
        # a row with a cell more
        (TABLE.replace("</table>", "<tr><td>ij</td></tr></table>"), 2, 10),
        (
            TABLE.replace(
                "<tr><td>ab</td><td>cd</td></tr>", "<thead><tr><td>ab</td><td>cd</td></tr></thead>"
            ),
            3,
            9,
        ),
    ],
)
def test_each_difference_costs_what_the_paper_says(changed: str, cost: float, nodes: int) -> None:
    assert score(TABLE, changed) == pytest.approx(1 - cost / nodes)
    assert score(changed, TABLE) == pytest.approx(1 - cost / nodes)


@pytest.mark.parametrize(
    "same",
    [
        "<TABLE border=1><tbody><tr><th>ab</th><td> <b>cd</b></td></tr><tr><td>ef<td>gh</table>",
        "<table><tr><td>ab</td><td>cd</td><tr><td>ef</td><td>gh</td>",
        "text before " + TABLE + " and behind",
    ],
)
def test_how_a_table_is_written_does_not_matter(same: str) -> None:
    assert score(TABLE, same) == 1


def test_a_table_in_markdown_is_one_with_a_head() -> None:
    markdown = "Text\n\n| a | b\\|c |\n|---|:-:|\n| 1 | 2 |\n\nMore"
    head = "<thead><tr><th>a</th><th>b|c</th></tr></thead>"
    html = f"<table>{head}<tbody><tr><td>1</td><td>2</td></tr></tbody></table>"
    assert score(markdown, html) == 1


def test_all_tables_are_found_in_their_order() -> None:
    text = f"| a |\n|---|\n| b |\n{TABLE}\n| c |\n|---|\n\n| no table |\n"
    assert [count(table) for table in tables_in(text)] == [7, 8, 4]
    assert tables_in("no table, | not | here | and <b>none</b>") == []


def test_a_table_within_a_cell_is_a_text() -> None:
    outer = "<table><tr><td>a<table><tr><td>b</td></tr></table>c</td><td>d</td></tr></table>"
    (table,) = tables_in(outer)
    assert [cell.text for cell in table.children[0].children[0].children] == ["abc", "d"]


def test_a_table_of_a_model_in_a_loop_is_not_compared() -> None:
    endless = "<table>" + "<tr><td>1</td></tr>" * 10_000 + "</table>"
    assert score(endless, TABLE) == 0


def _slow(first: list[Node], second: list[Node]) -> float:
    """The distance of two forests by its definition."""
    if not first or not second:
        return float(sum(map(count, first or second)))
    one, other = first[-1], second[-1]
    return min(
        _slow([*first[:-1], *one.children], second) + 1,
        _slow(first, [*second[:-1], *other.children]) + 1,
        _slow(first[:-1], second[:-1])
        + _slow(one.children, other.children)
        + (one.text != other.text),
    )


def _tree(draw: random.Random, nodes: int) -> Node:
    made = [Node("td", text=draw.choice("ab"))]
    for _ in range(nodes - 1):
        child = Node("td", text=draw.choice("ab"))
        draw.choice(made).children.append(child)
        made.append(child)
    return made[0]


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_the_distance_is_that_of_its_definition(seed: int, size: int, other: int) -> None:
    draw = random.Random(seed)
    first, second = _tree(draw, size), _tree(draw, other)
    assert tree_edits(first, second, lambda a, b: float(a.text != b.text)) == _slow(
        [first], [second]
    )
