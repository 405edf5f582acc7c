"""Types of columns that Delta and Iceberg have no equal of, and what holds all their values
there."""

from __future__ import annotations

import pyarrow as pa

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.float16(): pa.float32(),
    pa.null(): pa.string(),
}


def held(type_: pa.DataType) -> pa.DataType:
    """The type in a table: wider integers for those without sign, whole numbers for durations,
    lists of any length."""
    if (
        pa.types.is_list(type_)
        or pa.types.is_large_list(type_)
        or pa.types.is_fixed_size_list(type_)
    ):
        return pa.list_(held(type_.value_type))
    if pa.types.is_struct(type_):
        return pa.struct([pa.field(field.name, held(field.type)) for field in type_])
    if pa.types.is_duration(type_):
        return pa.int64()  # of its unit, as DuckDB and Spark read it from Parquet
    if pa.types.is_timestamp(type_):
        return pa.timestamp("us", "UTC" if type_.tz else None)
    return _WIDER.get(type_, type_)


def held_schema(schema: pa.Schema) -> pa.Schema:
    """The columns of a table."""
    return pa.schema(
        [pa.field(field.name, held(field.type)) for field in schema], metadata=schema.metadata
    )
