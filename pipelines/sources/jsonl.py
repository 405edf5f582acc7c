"""JSONL manifests: types found in a sample, every later line held against them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.sources.json_types import PLAIN_TYPES, Mixed, arrow_type, checker, common_shape
from pipelines.sources.lines import Broken, Line, batches, read_filled_lines
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS, SourceOptions, SourcePlan, Split
from pipelines.sources.rows import RawRows

_SAMPLED_ROWS = 10_000
_SAMPLED_BYTES = 16 << 20


def inspect(splits: list[Split], options: SourceOptions) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """Finds columns and types in about 10,000 rows or 16 MiB, taken from the heads of the files.

    A column whose sampled values have no type in common passes through as JSON text.
    """
    rows, first_bad = _sample(splits)
    if not rows:
        if first_bad is None:
            return pa.schema([]), splits, {}
        raise ConfigurationError(
            f"--input {options.uri}: none of the lines looked at is a JSON object; {first_bad}. JSONL has one object a "
            "line; a JSON array becomes that by: jq -c '.[]'"
        )
    names = dict.fromkeys(name for row in rows for name in row)
    columns, as_text = [], []
    for name in names:
        kind = _type_of(name, [row.get(name) for row in rows], options)
        columns.append(pa.field(name, kind or pa.string()))
        if kind is None:
            as_text.append(name)
    return pa.schema(columns), splits, {"json_text": as_text}


def _sample(splits: list[Split]) -> tuple[list[dict], str | None]:
    rows: list[dict] = []
    first_bad = None
    share = max(1, _SAMPLED_ROWS // max(1, len(splits)))
    size = 0
    for split in splits:
        for number, line in islice(read_filled_lines(split.uri), share):
            value = _parse(line)
            if isinstance(value, dict):
                rows.append(value)
            else:
                first_bad = first_bad or f"{split.name}:{number}: {value}"
            size += len(line) if isinstance(line, bytes) else 0
            if size > _SAMPLED_BYTES:
                return rows, first_bad
    return rows, first_bad


def _type_of(name: str, values: list[Any], options: SourceOptions) -> pa.DataType | None:
    if name == "id" and options.id_column in (None, "id"):
        return pa.string()  # comes out as a string whatever it is, so numbers and strings may mix
    if name in DEFAULT_MEDIA_COLUMNS or name in options.named_media.values():
        types = {type(value) for value in values}
        if {list, str} <= types:
            values = [[value] if isinstance(value, str) else value for value in values]
    try:
        return arrow_type(common_shape(values))
    except Mixed:
        return None


def count(plan: SourcePlan, split: Split) -> int:
    return sum(1 for _ in islice(read_filled_lines(split.uri), split.max_rows))


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    builders = {f.name: _builder(plan, f) for f in plan.columns}
    for batch in batches(islice(read_filled_lines(split.uri), split.max_rows), batch_rows):
        yield _rows(builders, batch)


def _parse(line: bytes | Broken) -> dict | str:
    """The object on a line, or what is wrong with it."""
    if isinstance(line, Broken):
        return line.message
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"not JSON ({error}); one object a line is needed"
    return value if isinstance(value, dict) else f"a JSON {type(value).__name__}, where an object is needed"


def _rows(builders: dict[str, Builder], batch: list[Line]) -> RawRows:
    problems: dict[int, str] = {}
    known = builders.keys()
    rows: list[dict] = []
    loads = orjson.loads
    for index, (_, line) in enumerate(batch):
        try:
            row = loads(line)  # type: ignore[arg-type]
            if type(row) is dict and row.keys() <= known:
                rows.append(row)
                continue
        except (orjson.JSONDecodeError, TypeError):
            row = None
        rows.append({} if row is None or type(row) is not dict else row)
        problems[index] = _complaint(line, known)
    columns = {name: build([row.get(name) for row in rows], problems) for name, build in builders.items()}
    numbers = np.fromiter((number for number, _ in batch), np.int64, len(batch))
    return RawRows(columns, numbers, problems)


def _complaint(line: bytes | Broken, known: Any) -> str:
    value = _parse(line)
    if isinstance(value, str):
        return value
    key = next(key for key in value if key not in known)
    return (
        f"key '{key}' is in none of the rows looked at on start; columns there: {', '.join(known)}. "
        "Move such a row to the front, or write the manifest as Parquet"
    )


Builder = Callable[[list[Any], dict[int, str]], pa.Array]


def _builder(plan: SourcePlan, field: pa.Field) -> Builder:
    """Makes the function that turns a column's values into an array and notes the rows whose value does not fit."""
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
    if field.name == "id" and plan.id_column == "id":
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
        f"column '{name}' is {text}, but the rows looked at on start make it {kind}. "
        "Give the column one type, or write the manifest as Parquet"
    )
