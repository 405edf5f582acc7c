"""Rows that a reader has as Arrow batches, in the columns of the plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from pipelines.sources.conversion import fit_column
from pipelines.sources.options import SourcePlan, Split
from pipelines.sources.raw_rows import RawRows


def typed(
    plan: SourcePlan,
    split: Split,
    batch: pa.RecordBatch,
    numbers: np.ndarray,
    lost: Mapping[str, str] = MappingProxyType({}),
) -> RawRows:
    """Converts every column to the type of the plan, because files written at different times may
    differ.

    Args:
        plan: Plan of the input.
        split: The file.
        batch: Some of its rows.
        numbers: int64 (n,): numbers of these rows in the file, from 1.
        lost: Columns that cannot be read, and why.
    """
    size = batch.num_rows
    raw = RawRows({}, numbers)
    constants = dict(split.constants)
    for field in plan.columns:
        where = batch.schema.get_field_index(field.name)
        if field.name in constants:
            column = pa.repeat(constants[field.name], size)
        else:
            column = batch.column(where) if where >= 0 else pa.nulls(size, field.type)
        fit_column(plan, raw, field, column)
    extra = [
        name
        for name in batch.schema.names
        if name not in plan.columns.names and not plan.options.names
    ]
    notes = [
        f"Not kept: column '{name}', which is not in the files looked at on start" for name in extra
    ]
    notes += [
        f"Not kept: column '{name}', which cannot be read ({why})" for name, why in lost.items()
    ]
    if notes:
        raw.notes |= {row: [*raw.notes.get(row, ()), *notes] for row in range(size)}
    return raw


def numbered(
    plan: SourcePlan, split: Split, batches: Iterable[pa.RecordBatch]
) -> Iterator[RawRows]:
    """The rows of batches that come in the order of their file: numbered from 1, and as many as the
    split has."""
    at, end = 0, split.max_rows
    for batch in batches:
        rows = batch if end is None else batch.slice(0, end - at)
        if rows.num_rows:
            yield typed(plan, split, rows, np.arange(at + 1, at + rows.num_rows + 1))
        at += rows.num_rows
        if at == end:
            return


def lost_rows(plan: SourcePlan, at: int, stop: int, most: int, message: str) -> Iterator[RawRows]:
    """Error rows in place of the rows from ``at`` to ``stop``, at most ``most`` at a time."""
    for first in range(at, stop, most):
        rows = min(most, stop - first)
        columns = {field.name: pa.nulls(rows, field.type) for field in plan.columns}
        yield RawRows(
            columns, np.arange(first + 1, first + rows + 1), dict.fromkeys(range(rows), message)
        )
