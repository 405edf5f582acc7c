"""Several media in one cell of a CSV, as a list: ``["a.jpg", "b.jpg"]``."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.tasks.listed import list_in

_BEGINS = r"""^\s*[\[(]\s*["']"""


def lists_in(column: pa.Array) -> pa.Array | None:
    """The media of each row, where some cells are JSON lists of texts; None if no cell is."""
    if not pa.types.is_string(column.type):  # images as bytes
        return None
    begins = pc.fill_null(pc.match_substring_regex(column, _BEGINS), False)
    if not pc.any(begins).as_py():
        return None
    cells = [
        _items(cell) if begun else None
        for cell, begun in zip(column.to_pylist(), begins.to_pylist(), strict=True)
    ]
    if not any(cells):
        return None
    single = [[cell] if cell else None for cell in column.to_pylist()]
    return pa.array(
        [cell or alone for cell, alone in zip(cells, single, strict=True)], pa.list_(pa.string())
    )


def as_cells(paths: pa.Array) -> pa.Array:
    """Lists of paths as a CSV has them: JSON of several, and a single one as it is."""
    return pa.array([_as_cell(items) for items in paths.to_pylist()], pa.string())


def _as_cell(items: list[str] | None) -> str | None:
    if not items:
        return None
    return items[0] if len(items) == 1 else json.dumps(items, ensure_ascii=False)


def _items(cell: str) -> list[str] | None:
    found = list_in(cell)
    return found if found and all(isinstance(item, str) for item in found) else None
