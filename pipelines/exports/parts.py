"""Cuts an output into parts: some rows of ``results/`` that are exported together, and kept on
resuming."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class RowRange(NamedTuple):
    """Rows of one file of ``results/``: from ``start`` on, before ``stop``; None: to the end."""

    file: str
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True)
class ExportPart:
    """Rows that are exported together.

    Args:
        number: In the order of the rows.
        rows: Where they are.
        key: Identifies the content of the rows and the options of the export.
    """

    number: int
    rows: tuple[RowRange, ...]
    key: str


def plan_parts(
    sizes: Mapping[str, int],
    options: Mapping[str, Any],
    part_bytes: int,
    count: Callable[[str], int],
) -> list[ExportPart]:
    """The parts of an output. If the output grows, all but the last of the earlier parts stay as
    they are.

    Args:
        sizes: Size of each file, in the order of the rows.
        options: What the export depends on besides the rows.
        part_bytes: Size at which a part is full, of compressed Parquet. Larger files are cut.
        count: Returns the number of rows of a file; called for files that are cut.
    """
    groups: list[list[tuple[RowRange, int]]] = []
    for name, size in sizes.items():
        if size > 2 * part_bytes:
            groups += [[(rows, size)] for rows in _cut(name, count(name), -(-size // part_bytes))]
            continue
        last = groups[-1] if groups else []
        if (
            not last
            or last[-1][0].stop is not None
            or sum(size for _, size in last) + size > part_bytes
        ):
            groups.append([])
        groups[-1].append((RowRange(name), size))
    return [
        ExportPart(number, tuple(rows for rows, _ in group), json_digest([group, options]))
        for number, group in enumerate(groups)
    ]


def _cut(name: str, rows: int, pieces: int) -> list[RowRange]:
    step = max(1, -(-rows // pieces))
    return [RowRange(name, start, min(start + step, rows)) for start in range(0, rows, step)]


def json_digest(value: Any) -> str:
    """Identifies a JSON value."""
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
