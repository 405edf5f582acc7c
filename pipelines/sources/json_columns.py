"""Builds columns from JSON objects: infers types from a sample, then makes arrays and checks every
value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa

from pipelines.sources.arrow_types import json_text
from pipelines.sources.conversion import set_aside, value_text
from pipelines.sources.json_types import (
    PLAIN_TYPES,
    Mixed,
    arrow_type,
    checker,
    common_shape,
    fitted,
)
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS, SourceOptions, SourcePlan
from pipelines.sources.raw_rows import RawRows

Build = Callable[[list[Any], RawRows], pa.Array]


def find_columns(
    rows: list[dict[str, Any]], options: SourceOptions
) -> tuple[pa.Schema, dict[str, Any]]:
    """Columns of the sampled objects. For ``plan.details``, also the columns that pass through as
    JSON text, as their sampled values have no type in common, and the columns that are null in the
    whole sample.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    columns, as_text, unseen = [], [], []
    for name in names:
        values = [row.get(name) for row in rows]
        kind = _type_of(name, values, options)
        columns.append(pa.field(name, kind or pa.string()))
        if kind is None:
            as_text.append(name)
        if all(value is None for value in values):
            unseen.append(name)
    return pa.schema(columns), {"json_text": as_text, "unseen": unseen}


def _type_of(name: str, values: list[Any], options: SourceOptions) -> pa.DataType | None:
    if name == "id" and options.id_column in (None, "id"):
        return pa.string()  # becomes a string in any case, so numbers and strings may mix
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
    # JSON text would add quotes to a URI, an id or a prompt.
    times = ("start", "end") if options.media_name[0] == "video" else ()
    is_text = is_media or name == options.id_column or name in (*options.prompt_columns, *times)
    return pa.string() if is_text else None


def make_builders(plan: SourcePlan) -> dict[str, Build]:
    """For each column, a function that puts its values into rows as they are read.

    Of a value that does not fit, the fitting part is kept, and the rest is noted in the row.
    """
    return {field.name: _builder(plan, field) for field in plan.columns}


def build_columns(
    builders: dict[str, Build], rows: list[dict[str, Any]], raw: RawRows, *, chosen: bool
) -> None:
    """Puts the columns of ``rows`` into ``raw``; keys that the sample did not have are noted there.

    Args:
        chosen: Whether the columns are those that the user wants, so that other keys are not noted.
    """
    known = builders.keys()
    for index, row in enumerate(rows):
        if not chosen and not row.keys() <= known:
            unknown = {key: value for key, value in row.items() if key not in known}
            text = (
                "Not kept: keys that are in none of the rows sampled at start:"
                f" {value_text(unknown)}"
            )
            raw.notes.setdefault(index, []).append(text)
    for name, build in builders.items():
        raw.columns[name] = build([row.get(name) for row in rows], raw)


def _builder(plan: SourcePlan, field: pa.Field) -> Build:
    name, kind = field.name, field.type
    if name in plan.details["json_text"]:
        return lambda values, raw: _as_text(plan, raw, name, values)
    fits = checker(kind)
    prepare = _preparation(plan, field)

    def build(values: list[Any], raw: RawRows) -> pa.Array:
        if prepare:
            values = list(map(prepare, values))
        try:
            if kind in PLAIN_TYPES and set(map(type, values)) <= PLAIN_TYPES[kind]:
                return pa.array(values, kind)
        except (pa.ArrowInvalid, OverflowError):
            pass  # a number out of range: the code below finds it
        for index, value in enumerate(values):
            if fits(value):
                continue
            if plan.is_asked(name):
                raw.problems.setdefault(index, _misfit(name, value, kind))
                values[index] = None
            else:
                try:
                    values[index], lost = fitted(value, kind)
                except RecursionError:
                    values[index], lost = None, True
                if lost:
                    text = f"column '{name}' is {kind} by the rows sampled at start"
                    raw.notes.setdefault(index, []).append(
                        f"Not kept: {text}, and this row has {value_text(value)}"
                    )
        return pa.array(values, kind)

    return build


def _as_text(plan: SourcePlan, raw: RawRows, name: str, values: list[Any]) -> pa.Array:
    texts: list[str | None] = []
    for index, value in enumerate(values):
        try:
            texts.append(None if value is None else json_text(value))
        except RecursionError:
            set_aside(plan, raw, index, name, "is nested too deep")
            texts.append(None)
    return pa.array(texts, pa.string())


def _preparation(plan: SourcePlan, field: pa.Field) -> Callable[[Any], Any] | None:
    if field.name == plan.id_column and pa.types.is_string(field.type):
        return lambda value: value if type(value) is str or value is None else _id_text(value)
    if (
        field.name == plan.media_column
        and pa.types.is_list(field.type)
        and pa.types.is_string(field.type.value_type)
    ):
        return _addresses
    if field.name == plan.media_column and pa.types.is_list(field.type):
        return lambda value: [value] if type(value) is str else value
    if field.name == plan.media_column and pa.types.is_string(field.type):
        return _address
    if (
        pa.types.is_string(field.type)
        and plan.media_kind == "video"
        and field.name in ("start", "end")
    ):
        return lambda value: value if type(value) is str or value is None else _id_text(value)
    return None


def _addresses(value: Any) -> list[Any] | None:
    """The addresses of a row in a column of lists; a row without media has none."""
    if value is None:
        return None
    return [_address(item) for item in (value if type(value) is list else [value])]


def _address(value: Any) -> Any:
    """The address of media that are an object ``{path, bytes}`` in a column of addresses; other
    values as they are."""
    if type(value) is dict and isinstance(value.get("path"), str) and value.get("bytes") is None:
        return value["path"]
    return value


def _id_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)  # exact for integers of any size
    return (
        orjson.dumps(value).decode() if isinstance(value, float) and math.isfinite(value) else value
    )


def _misfit(name: str, value: Any, kind: pa.DataType) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = "a value nested too deep"
    text = text if len(text) <= 80 else text[:80] + "…"
    return (
        f"column '{name}' is {text}, but the rows sampled at start make it {kind}. "
        "Give the column one type, or write the manifest as Parquet"
    )
