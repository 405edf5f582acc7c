"""Converts columns that a row only carries to the columns of the output; values that do not fit go
on as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipelines import columns as c
from pipelines.sources.arrow_types import FAILURES, as_type, json_text

_t = pa.types


@dataclass(frozen=True)
class Carry:
    """Converts the manifest's columns to those of the output.

    Args:
        types: For columns that are read with another type than the output's, the type of the
            output.
        folded: Columns that go into ``more_columns``, and their names there.
        needed: Those folded columns that later stages read.
        more: Whether the output has ``more_columns``.
    """

    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    folded: Mapping[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    more: bool = False

    def __call__(self, rows: pa.Table) -> pa.Table:
        """``rows`` with the output's types; a value that does not fit becomes null and is kept in
        ``more_columns``."""
        beside: list[dict[str, Any]] = [{} for _ in range(len(rows))]
        for name, called in self.folded.items():
            _put(beside, called, _values(rows[name]))
        for name, kind in self.types.items():
            fitted, misfits = _fit(rows[name].combine_chunks(), kind)
            rows = rows.set_column(rows.schema.get_field_index(name), name, fitted)
            _put(beside, name, misfits)
        rows = rows.drop_columns([name for name in self.folded if name not in self.needed])
        if self.more:
            texts = [_text(values) if values else None for values in beside]
            return rows.append_column(c.MORE, pa.array(texts, pa.string()))
        return _noted(rows, beside)


def _put(beside: list[dict[str, Any]], name: str, values: list[Any]) -> None:
    for row, value in enumerate(values):
        if value is not None:
            beside[row][name] = _spelled(value)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """Python values; null where Python has no such value."""
    try:
        return list(column.to_pylist())
    except FAILURES:
        return [_value(column.slice(row, 1)) for row in range(len(column))]


def _value(one: pa.ChunkedArray) -> Any:
    try:
        return one[0].as_py()
    except FAILURES:
        pass
    try:
        return one.cast(pa.string())[0].as_py()  # a time beyond Python's years
    except FAILURES:
        return "a value that cannot be shown"


def _text(values: dict[str, Any]) -> str:
    try:
        return json_text(values)
    except (*FAILURES, RecursionError):
        return json_text({name: str(value) for name, value in values.items()})


def _spelled(value: Any) -> Any:
    """Replaces numbers that JSON lacks by their names, so that they do not become null."""
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return "NaN"
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _spelled(one) for name, one in value.items()}
    return [_spelled(one) for one in value] if isinstance(value, list) else value


def _fit(column: pa.Array, kind: pa.DataType) -> tuple[pa.Array, list[Any]]:
    """The values as ``kind``, and the values that do not fit, each at its row."""
    if column.null_count == len(column):
        return pa.nulls(len(column), kind), []
    try:
        return _as_type(column, kind), []
    except FAILURES:
        fitted: list[pa.Array] = []
        misfits: list[Any] = []
        for row in range(len(column)):
            one = column.slice(row, 1)
            try:
                fitted.append(_as_type(one.take(pa.array([0])), kind))
                misfits.append(None)
            except FAILURES:
                fitted.append(pa.nulls(1, kind))
                misfits.append(_value(pa.chunked_array([one])))
        return pa.concat_arrays(fitted), misfits


def _as_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if _t.is_nested(kind) and not _t.is_nested(column.type) and column.null_count < len(column):
        raise pa.ArrowInvalid("one value is no list and no struct")
    return as_type(column, kind)


def _noted(rows: pa.Table, beside: list[dict[str, Any]]) -> pa.Table:
    """Adds notes about values that an output without ``more_columns`` cannot keep."""
    if not any(beside) or c.NOTES not in rows.column_names:
        return rows
    notes = [list(there or ()) for there in rows[c.NOTES].to_pylist()]
    for row, values in enumerate(beside):
        if values:
            notes[row].append(
                f"Not kept, as the columns of the output cannot hold it: {json_text(values)[:200]}"
            )
    column = pa.array([note or None for note in notes], rows.schema.field(c.NOTES).type)
    return rows.set_column(rows.schema.get_field_index(c.NOTES), c.NOTES, column)
