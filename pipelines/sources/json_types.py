"""Arrow types for JSON values: inferred from a sample, then checked against every later value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from pipelines.sources.arrow_types import json_text

_EXACT_IN_DOUBLE = 1 << 53
_INT64 = 1 << 63
_DEEPEST = 16  # levels of lists and objects; Parquet readers fail somewhere beyond 30
_MOST_KEYS = 512  # an object with more, in all rows together, is a dictionary whose keys are data

# A shape describes what a sample of values has in common: one of the names below, a list of one
# shape as ("list", shape), or a dict of shapes for an object. Arrow types cannot replace it,
# because they do not record whether an integer fits a double.
Shape = Any
_UNKNOWN = "null"
_ARROW = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "large int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    _UNKNOWN: pa.string(),  # no value seen: later ones are most likely text
}


class Mixed(Exception):
    """The values have no type in common."""


def shape_of(value: Any, depth: int = 0) -> Shape:
    """Shape of one value from a JSON reader. Raises Mixed for a value that is nested deeper than
    columns may be."""
    if depth > _DEEPEST:
        raise Mixed
    if value is None:
        return _UNKNOWN
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            raise Mixed
        return "int" if abs(value) <= _EXACT_IN_DOUBLE else "large int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return ("list", common_shape(value, depth + 1))
    return {key: shape_of(item, depth + 1) for key, item in value.items()}


def common_shape(values: Iterable[Any], depth: int = 0) -> Shape:
    """Shape that fits all values. Raises Mixed if there is none."""
    shape: Shape = _UNKNOWN
    for value in values:
        shape = _merge(shape, shape_of(value, depth))
    return shape


def _merge(one: Shape, other: Shape) -> Shape:
    if one == other or other == _UNKNOWN:
        return one
    if one == _UNKNOWN:
        return other
    if isinstance(one, dict) and isinstance(other, dict):
        if len(one | other) > _MOST_KEYS:
            raise Mixed
        return {
            key: _merge(one.get(key, _UNKNOWN), other.get(key, _UNKNOWN)) for key in one | other
        }
    if isinstance(one, tuple) and isinstance(other, tuple):
        return ("list", _merge(one[1], other[1]))
    if isinstance(one, str) and isinstance(other, str):
        numbers = {one, other}
        if numbers == {"int", "float"}:
            return "float"
        if numbers == {"int", "large int"}:
            return "large int"
    raise Mixed


def arrow_type(shape: Shape) -> pa.DataType:
    """Arrow type for a shape. Raises Mixed for an object without keys, which Parquet cannot
    hold."""
    if isinstance(shape, str):
        return _ARROW[shape]
    if isinstance(shape, tuple):
        return pa.list_(arrow_type(shape[1]))
    if not shape:
        raise Mixed
    return pa.struct([(key, arrow_type(item)) for key, item in shape.items()])


def checker(kind: pa.DataType) -> Callable[[Any], bool]:
    """Makes a function that checks whether a value fits the type exactly, without loss or
    conversion."""
    if pa.types.is_struct(kind):
        fields = {field.name: checker(field.type) for field in kind}
        return lambda value: (
            value is None
            or (
                type(value) is dict
                and all(key in fields and fields[key](item) for key, item in value.items())
            )
        )
    if pa.types.is_list(kind):
        fits = checker(kind.value_type)
        return lambda value: value is None or (type(value) is list and all(map(fits, value)))
    if pa.types.is_int64(kind):
        return lambda value: value is None or (type(value) is int and -_INT64 <= value < _INT64)
    if pa.types.is_float64(kind):
        return lambda value: (
            value is None
            or type(value) is float
            or (type(value) is int and abs(value) <= _EXACT_IN_DOUBLE)
        )
    plain = bool if pa.types.is_boolean(kind) else str
    return lambda value: value is None or type(value) is plain


def fitted(value: Any, kind: pa.DataType) -> tuple[Any, bool]:
    """The part of a value that fits the type, and whether anything was lost.

    A float without a fraction becomes an integer, a single value becomes a list of it, and any
    value can become text. Keys that the type lacks are left out, and everything else that does not
    fit becomes null.
    """
    if checker(kind)(value):
        return value, False
    if pa.types.is_string(kind):
        return json_text(value), False
    if pa.types.is_list(kind):
        found = [
            fitted(item, kind.value_type)
            for item in (value if isinstance(value, list) else [value])
        ]
        if not isinstance(value, list) and any(lost for _, lost in found):
            return None, True
        return [item for item, _ in found], any(lost for _, lost in found)
    if pa.types.is_struct(kind) and isinstance(value, dict):
        there = {field.name: fitted(value.get(field.name), field.type) for field in kind}
        lost = any(lost for _, lost in there.values()) or any(key not in there for key in value)
        return {key: item for key, (item, _) in there.items()}, lost
    if (
        pa.types.is_int64(kind)
        and isinstance(value, float)
        and value.is_integer()
        and abs(value) <= _EXACT_IN_DOUBLE
    ):
        return int(value), False
    return None, True


# Python types of which any value fits, so that a whole column is checked at once. For numbers the
# range must fit too; building the array checks that.
PLAIN_TYPES: dict[pa.DataType, set[type]] = {
    pa.bool_(): {bool, type(None)},
    pa.int64(): {int, type(None)},
    pa.float64(): {float, int, type(None)},
    pa.string(): {str, type(None)},
}
