"""Converts column types: from any Arrow type to the types that pandas, DuckDB, Polars, Spark and
datasets read.

Views, dictionaries, run-end encoded and extension types become the plain type of their values, in
lists and structs too. If a column has different types in different files, they are merged into one
that holds the values of both.
"""

from __future__ import annotations

import base64
import datetime
import functools
import json
import math
import uuid
import zoneinfo
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_DEEPEST = 16  # levels of lists and structs; Parquet readers fail somewhere beyond 30
_t = pa.types
_UNITS = ("s", "ms", "us", "ns")
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
# Days since 1970, one less at both ends, so that the time in any zone is within the years that
# Python has.
_FIRST_DAY = (datetime.date.min - datetime.date(1970, 1, 1)).days + 1
_LAST_DAY = (datetime.date.max - datetime.date(1970, 1, 1)).days
FAILURES = (
    pa.ArrowInvalid,
    pa.ArrowNotImplementedError,
    pa.ArrowTypeError,
    OverflowError,
    ValueError,
    TypeError,
)


def plain_type(kind: pa.DataType, depth: int = 0) -> pa.DataType:
    """The type that values of ``kind`` have from here on. Types that no reader knows become text,
    nested ones JSON."""
    if isinstance(kind, pa.BaseExtensionType):
        named = {"arrow.uuid": pa.string(), "arrow.json": pa.string(), "arrow.bool8": pa.bool_()}
        return named.get(getattr(kind, "extension_name", "")) or plain_type(
            kind.storage_type, depth
        )
    if _t.is_dictionary(kind) or _t.is_run_end_encoded(kind):
        return plain_type(kind.value_type, depth)
    if is_list(kind):
        return _plain_list(kind, depth)
    if _t.is_struct(kind):
        names = [field.name for field in kind]
        if not names or len(set(names)) < len(names) or depth >= _DEEPEST:
            return pa.string()
        return pa.struct([(field.name, plain_type(field.type, depth + 1)) for field in kind])
    if _t.is_decimal(kind):
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 else pa.string()
    if _t.is_timestamp(kind):
        # Spark reads no finer unit
        return pa.timestamp("us" if kind.unit == "ns" else kind.unit, _zone(kind.tz))
    for is_kind, becomes in _PLAIN:
        if is_kind(kind):
            return becomes
    return kind


_PLAIN = [
    (lambda kind: _t.is_large_string(kind) or _t.is_string_view(kind), pa.string()),
    (
        lambda kind: (
            _t.is_large_binary(kind) or _t.is_binary_view(kind) or _t.is_fixed_size_binary(kind)
        ),
        pa.binary(),
    ),
    (_t.is_float16, pa.float32()),
    (_t.is_date64, pa.date32()),
    (
        lambda kind: (
            _t.is_map(kind) or _t.is_union(kind) or _t.is_time(kind) or _t.is_interval(kind)
        ),
        pa.string(),
    ),
]


@functools.cache
def _zone(name: str | None) -> str | None:
    """A time zone that readers know; Polars knows no offset (``+05:30``). The moments stay the
    same: the zone only says how they are shown."""
    if name is None:
        return None
    try:
        return zoneinfo.ZoneInfo(name).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return "UTC"


def _plain_list(kind: pa.DataType, depth: int) -> pa.DataType:
    if depth >= _DEEPEST:
        return pa.string()
    inner = plain_type(kind.value_type, depth + 1)
    if _t.is_fixed_size_list(kind) and inner == kind.value_type:
        return pa.list_(inner, kind.list_size)
    return pa.list_(inner)


def is_list(kind: pa.DataType) -> bool:
    views = _t.is_list_view(kind) or _t.is_large_list_view(kind)
    return views or _t.is_list(kind) or _t.is_large_list(kind) or _t.is_fixed_size_list(kind)


def merge(one: pa.DataType, other: pa.DataType, *, media: bool = False) -> pa.DataType:
    """The plain type that holds the values of both: a wider type, a list of the other type or, if
    there is none, text.

    Args:
        media: Texts are addresses, which fit into a struct of ``path`` and ``bytes``.
    """
    if one == other or _t.is_null(other):
        return one
    if _t.is_null(one):
        return other
    if is_list(one) or is_list(other):
        inner = (kind.value_type if is_list(kind) else kind for kind in (one, other))
        return pa.list_(merge(*inner, media=media))
    if _t.is_struct(one) and _t.is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            fields[field.name] = merge(fields.get(field.name, pa.null()), field.type)
        return pa.struct(list(fields.items()))
    if media:
        return pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    if _t.is_timestamp(one) or _t.is_timestamp(other):
        return _merged_times(one, other)
    if _t.is_duration(one) and _t.is_duration(other):
        return max((one, other), key=lambda kind: _UNITS.index(kind.unit))
    if {one, other} == {pa.string(), pa.binary()}:
        return pa.binary()
    return _merged_numbers(one, other) or pa.string()


def _merged_times(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if not all(_t.is_timestamp(kind) or _t.is_date(kind) for kind in (one, other)):
        return pa.string()
    stamps = [kind for kind in (one, other) if _t.is_timestamp(kind)]
    zones = {kind.tz for kind in stamps}
    if None in zones and len(zones) > 1:
        return pa.string()
    finest = max((kind.unit for kind in stamps), key=_UNITS.index)
    return pa.timestamp(finest, zones.pop() if len(zones) == 1 else "UTC")


def _merged_numbers(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    integers = [kind for kind in (one, other) if _t.is_integer(kind)]
    decimals = [kind for kind in (one, other) if _t.is_decimal(kind)]
    if len(integers) == 2:
        signed = [kind for kind in integers if _t.is_signed_integer(kind)]
        if len(signed) != 1:
            return max(integers, key=lambda kind: kind.bit_width)
        unsigned = next(kind for kind in integers if kind not in signed)
        width = max(signed[0].bit_width, 2 * unsigned.bit_width)
        return {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}.get(width, pa.decimal128(20, 0))
    if decimals and len(decimals) + len(integers) == 2:
        scale = max(kind.scale for kind in decimals)
        whole = max([20 for _ in integers] + [kind.precision - kind.scale for kind in decimals])
        return pa.decimal128(whole + scale, scale) if whole + scale <= 38 else None
    if all(_t.is_integer(kind) or _t.is_floating(kind) for kind in (one, other)):
        return pa.float64()
    return None


def settled(kind: pa.DataType) -> pa.DataType:
    """``kind``, with text in place of types for which no value was ever seen."""
    if _t.is_null(kind):
        return pa.string()
    if _t.is_struct(kind):
        return pa.struct([(field.name, settled(field.type)) for field in kind])
    if is_list(kind):
        inner = settled(kind.value_type)
        return kind if inner == kind.value_type else pa.list_(inner)
    return kind


def as_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values as ``kind``, which `plain_type`, `merge` and `settled` made from their type.

    Raises:
        One of `FAILURES`: a value does not fit.
    """
    given = array.type
    if given == kind:
        return array
    if isinstance(given, pa.BaseExtensionType):
        if getattr(given, "extension_name", "") == "arrow.uuid" and kind == pa.string():
            return pa.array([_uuid(value) for value in array.to_pylist()], kind)
        return as_type(array.storage, kind)
    if _t.is_dictionary(given):
        values = as_type(array.dictionary, plain_type(given.value_type))
        return as_type(values.take(array.indices), kind)
    if _t.is_run_end_encoded(given):
        return as_type(pc.run_end_decode(array), kind)
    if _t.is_list(kind):
        return _as_list(array, kind)
    if _t.is_struct(kind):
        return _as_struct(array, kind)
    if (
        _t.is_timestamp(given)
        and given.unit == "ns"
        and _t.is_timestamp(kind)
        and kind.unit != "ns"
    ):
        return _microseconds(array).cast(kind)
    if kind == pa.string() and (is_list(given) or _t.is_nested(given) or _t.is_time(given)):
        return pa.array([_text(value) for value in _values(array)], kind)
    if kind == pa.string() and _t.is_duration(given):  # a bare number would not say its unit
        return pc.binary_join_element_wise(array.cast(pa.int64()).cast(kind), given.unit, " ")
    return array.cast(kind)


def _microseconds(array: pa.Array) -> pa.Array:
    """Drops the last three digits of nanoseconds; rounds down, also before 1970."""
    nanoseconds = array.cast(pa.int64())
    whole = pc.divide(nanoseconds, 1000)
    cut = pc.less(pc.subtract(nanoseconds, pc.multiply(whole, 1000)), 0)
    return pc.subtract(whole, cut.cast(pa.int64())).cast(pa.timestamp("us", array.type.tz))


def _as_list(array: pa.Array, kind: pa.DataType) -> pa.Array:
    missing = array.is_null()
    # only a few functions accept lists of views
    if _t.is_list_view(array.type) or _t.is_large_list_view(array.type):
        lengths = np.where(missing, 0, array.sizes)
        items = as_type(array.values, kind.value_type)
        ends = zip(array.offsets.to_pylist(), lengths.tolist(), strict=True)
        items = items.take(
            pa.array(
                [place for start, size in ends for place in range(start, start + size)], pa.int64()
            )
        )
    elif is_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        items = array.flatten()
    else:  # a single value, in a column that holds lists in other files
        lengths = np.asarray(pc.if_else(missing, 0, 1))
        items = array.drop_null()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    inner = as_type(items, kind.value_type)
    made = pa.ListArray.from_arrays(pa.array(offsets), inner, mask=missing)
    return made if made.type == kind else made.cast(kind)


def _as_struct(array: pa.Array, kind: pa.DataType) -> pa.Array:
    # the address or content of media, in a column that is a struct in other files
    if not _t.is_struct(array.type):
        name = "bytes" if _t.is_binary(array.type) else "path"
        array = pa.StructArray.from_arrays([array], [name], mask=array.is_null())
    there = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
    size = len(array)
    children = [
        as_type(there[field.name], field.type)
        if field.name in there
        else pa.nulls(size, field.type)
        for field in kind
    ]
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())


def check_times(array: pa.Array) -> None:
    """Refuses dates and times that Python has not, such as DuckDB's infinity: readers fail at the
    whole file.

    Raises:
        ArrowInvalid: A value is before the year 1 or after the year 9999.
    """
    kind = array.type
    if is_list(kind) or _t.is_struct(kind):
        children = [array.flatten()] if is_list(kind) else array.flatten()
        for child in children:
            check_times(child)
    elif _t.is_date32(kind) or _t.is_timestamp(kind):
        a_day = 1 if _t.is_date32(kind) else _PER_DAY[kind.unit]
        days = (array.cast(pa.int32()) if _t.is_date32(kind) else array).cast(pa.int64())
        found = pc.min_max(days).as_py()
        if found["min"] is not None and not (
            _FIRST_DAY * a_day <= found["min"] and found["max"] < _LAST_DAY * a_day
        ):
            raise pa.ArrowInvalid("it is not within the years 1 to 9999")


def _uuid(value: Any) -> str | None:
    return (
        None
        if value is None
        else str(uuid.UUID(bytes=value) if isinstance(value, bytes) else value)
    )


def _values(array: pa.Array) -> list[Any]:
    """Python values; maps whose keys are texts become dicts."""
    if _t.is_map(array.type) and _t.is_string(array.type.key_type):
        try:
            return array.to_pylist(maps_as_pydicts="strict")
        except KeyError:  # a key is there twice, which a dict cannot hold
            pass
    return array.to_pylist()


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return value.isoformat() if isinstance(value, datetime.time) else json_text(value)


def json_text(value: Any) -> str:
    """JSON of any value: integers of any size stay exact, NaN and Infinity become null, bytes
    become base64."""
    try:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_other
        )
    except ValueError:
        finite = _finite(value)
        return json.dumps(
            finite, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_other
        )


def _other(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
