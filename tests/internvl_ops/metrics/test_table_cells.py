"""Which cells stand beside each other, by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.metrics.table_cells import Cells, tables_of_cells

MARKDOWN = "| | May | June |\n|---|---|---|\n| rain | 3 | 4 |\n| sun | 5 | 6 |"
SPANS = (
    "<table><thead><tr><th colspan=2>Fruit</th></tr><tr><th>Kind</th><th>Cost</th></tr></thead>"
    "<tr><td rowspan=2>Apple</td><td>1</td></tr><tr><td>2</td></tr></table>"
)


def beside(table: Cells, text: str, relation: list[set[int]]) -> list[str]:
    return sorted(table.texts[cell] for cell in relation[table.texts.index(text)])


def named(table: Cells, cells: set[int]) -> list[str]:
    return sorted(table.texts[cell] for cell in cells)


def test_a_table_in_markdown() -> None:
    (table,) = tables_of_cells(f"before\n\n{MARKDOWN}\n\nafter")

    assert beside(table, "4", table.up) == ["June"]
    assert beside(table, "4", table.down) == ["6"]
    assert beside(table, "4", table.left) == ["3"]
    assert beside(table, "3", table.right) == ["4"]
    six = table.texts.index("6")
    assert named(table, table.headings_above(six)) == ["June"]
    assert named(table, table.headings_to_the_left(six)) == ["sun"]
    assert tables_of_cells(MARKDOWN, markdown=False) == []


def test_spans_touch_every_cell_beside_them() -> None:
    (table,) = tables_of_cells(SPANS)

    assert beside(table, "Fruit", table.down) == ["Cost", "Kind"]
    assert beside(table, "Apple", table.right) == ["1", "2"]
    assert beside(table, "2", table.left) == ["Apple"]
    assert beside(table, "2", table.up) == ["1"]
    two = table.texts.index("2")
    assert named(table, table.headings_above(two)) == ["Cost", "Fruit"]
    # without a heading in the row, the leftmost cell is one
    assert named(table, table.headings_to_the_left(two)) == ["Apple"]


def test_a_span_without_end_costs_no_memory() -> None:
    (table,) = tables_of_cells("<table><tr>" + "<td colspan=999>a" * 400 + "</table>")
    assert len(table.texts) == 400


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4), min_size=1, max_size=4))
def test_relations_are_mutual(rows: list[list[int]]) -> None:
    lines = "".join(
        "<tr>" + "".join(f'<td colspan="{wide}">x</td>' for wide in row) + "</tr>" for row in rows
    )
    (table,) = tables_of_cells(f"<table>{lines}</table>")

    assert len(table.texts) == sum(map(len, rows))
    for here, there in ((table.up, table.down), (table.left, table.right)):
        pairs = {(one, other) for one, others in enumerate(here) for other in others}
        assert pairs == {(one, other) for other, ones in enumerate(there) for one in ones}
