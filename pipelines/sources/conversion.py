"""Converts columns to the types of the plan, value by value if one does not fit.

A value that is only carried does not fail its row: the value becomes null, and a note in the row
says what it was.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipelines.sources.arrow_types import FAILURES, as_type, check_times, json_text
from pipelines.sources.options import SourcePlan
from pipelines.sources.raw_rows import RawRows

_SHOWN = 200  # characters of a value in a note


def value_text(value: Any) -> str:
    """A value as text for a message."""
    try:
        text = json_text(value)
    except (ValueError, TypeError, RecursionError):
        text = "a value that cannot be shown"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def set_aside(plan: SourcePlan, raw: RawRows, row: int, column: str, why: str) -> None:
    """Notes a value that the results cannot hold. It is the row's error if the column takes part in
    the request."""
    if plan.is_asked(column):
        raw.problems.setdefault(row, f"column '{column}' {why}")
    else:
        raw.notes.setdefault(row, []).append(f"Not kept: column '{column}' {why}")


def fit_column(plan: SourcePlan, raw: RawRows, field: pa.Field, column: pa.Array) -> None:
    """Puts ``column`` into ``raw`` with the type of ``field``."""
    try:
        fitted = _checked(as_type(column, field.type))
    except FAILURES:
        values = [
            _fit_value(plan, raw, field, column.slice(row, 1), row) for row in range(len(column))
        ]
        fitted = pa.concat_arrays(values) if values else pa.nulls(0, field.type)
    raw.columns[field.name] = fitted


def _fit_value(
    plan: SourcePlan, raw: RawRows, field: pa.Field, value: pa.Array, row: int
) -> pa.Array:
    try:
        # A copy: a slice would be cast with its neighbours.
        return _checked(as_type(value.take(pa.array([0])), field.type))
    except FAILURES as error:
        mended = _with_replacements(field, value)
        if mended is not None:
            set_aside(
                plan, raw, row, field.name, "holds bytes that are not UTF-8; they are U+FFFD here"
            )
            return pa.nulls(1, field.type) if plan.is_asked(field.name) else mended
        set_aside(
            plan, raw, row, field.name, f"is {_show(value)}, which is no {field.type} ({error})"
        )
        return pa.nulls(1, field.type)


def _checked(column: pa.Array) -> pa.Array:
    """``column``, after a check that readers can read its values. Raises one of `FAILURES`."""
    column.validate(full=True)
    check_times(column)
    return column


def _with_replacements(field: pa.Field, value: pa.Array) -> pa.Array | None:
    """Text in which invalid UTF-8 bytes are replaced; None if the value is no text."""
    if field.type != pa.string() or not (
        pa.types.is_string(value.type) or pa.types.is_binary(value.type)
    ):
        return None
    return pa.array(
        [value.take(pa.array([0])).cast(pa.binary())[0].as_py().decode(errors="replace")]
    )


def _show(value: pa.Array) -> str:
    try:
        return value_text(value.to_pylist()[0])
    except (ValueError, TypeError, OverflowError):
        pass
    try:
        return str(value.cast(pa.string())[0].as_py())  # a time that Python has not
    except FAILURES:
        return "a damaged value"
