"""Columns from JSON objects: their types from a sample, then arrays, value by value held against the types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa

from pipelines.sources.json_types import PLAIN_TYPES, Mixed, arrow_type, checker, common_shape
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS, SourceOptions, SourcePlan

Build = Callable[[list[Any], dict[int, str]], pa.Array]


def find_columns(rows: list[dict], options: SourceOptions) -> tuple[pa.Schema, dict[str, Any]]:
    """Columns of the sampled objects, and for ``plan.details`` which of them pass through as JSON text.

    Those are the columns whose sampled values have no type in common.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    columns, as_text = [], []
    for name in names:
        kind = _type_of(name, [row.get(name) for row in rows], options)
        columns.append(pa.field(name, kind or pa.string()))
        if kind is None:
            as_text.append(name)
    return pa.schema(columns), {"json_text": as_text}


def _type_of(name: str, values: list[Any], options: SourceOptions) -> pa.DataType | None:
    if name == "id" and options.id_column in (None, "id"):
        return pa.string()  # comes out as a string whatever it is, so numbers and strings may mix
    is_media = name in DEFAULT_MEDIA_COLUMNS or name in options.named_media.values()
    some_lists = is_media and any(isinstance(value, list) for value in values)
    if some_lists:
        values = [[value] if isinstance(value, str) else value for value in values]
    try:
        return arrow_type(common_shape(values))
    except Mixed:
        pass
    if some_lists:
        return pa.list_(pa.string())
    # JSON text would put quotes around a URI, an id or a prompt.
    is_text = is_media or name == options.id_column or name in options.prompt_columns
    return pa.string() if is_text else None


def make_builders(plan: SourcePlan) -> dict[str, Build]:
    """For each column the function that turns values into an array.

    It takes the values and the problems by row; a value that does not fit becomes null and is noted there.
    """
    return {field.name: _builder(plan, field) for field in plan.columns}


def build_columns(builders: dict[str, Build], rows: list[dict], problems: dict[int, str]) -> dict[str, pa.Array]:
    """Arrays of the columns of `rows`; a key that the sample did not have is noted in `problems`."""
    known = builders.keys()
    for index, row in enumerate(rows):
        if not row.keys() <= known:
            key = next(key for key in row if key not in known)
            problems[index] = (
                f"key '{key}' is in none of the rows sampled at start; columns there: {', '.join(known)}. "
                "Give the first rows that key too, with null, or write the manifest as Parquet"
            )
    return {name: build([row.get(name) for row in rows], problems) for name, build in builders.items()}


def _builder(plan: SourcePlan, field: pa.Field) -> Build:
    name, kind = field.name, field.type
    if name in plan.details["json_text"]:
        return lambda values, problems: pa.array(
            [None if value is None else orjson.dumps(value).decode() for value in values], pa.string()
        )
    fits = checker(kind)
    prepare = _preparation(plan, field)

    def build(values: list[Any], problems: dict[int, str]) -> pa.Array:
        if prepare:
            values = list(map(prepare, values))
        try:
            if kind in PLAIN_TYPES and set(map(type, values)) <= PLAIN_TYPES[kind]:
                return pa.array(values, kind)
        except (pa.ArrowInvalid, OverflowError):
            pass  # a number out of range: found below
        for index, value in enumerate(values):
            if not fits(value):
                problems.setdefault(index, _misfit(name, value, kind))
                values[index] = None
        return pa.array(values, kind)

    return build


def _preparation(plan: SourcePlan, field: pa.Field) -> Callable[[Any], Any] | None:
    if field.name == plan.id_column and pa.types.is_string(field.type):
        return lambda value: value if type(value) is str or value is None else _id_text(value)
    if field.name == plan.media_column and pa.types.is_list(field.type):
        return lambda value: [value] if type(value) is str else value
    return None


def _id_text(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, int | float) else value


def _misfit(name: str, value: Any, kind: pa.DataType) -> str:
    text = repr(value)
    text = text if len(text) <= 80 else text[:80] + "…"
    return (
        f"column '{name}' is {text}, but the rows sampled at start make it {kind}. "
        "Give the column one type, or write the manifest as Parquet"
    )
