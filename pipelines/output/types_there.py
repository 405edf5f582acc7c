"""Checks whether a column of the output can hold the values of the current manifest."""

from __future__ import annotations

import pyarrow as pa

from pipelines.sources.arrow_types import is_list

_t = pa.types
# Bits of the integers that a float column takes. 64-bit integers beyond 2**53 do not fit exactly
# and go to ``more_columns``.
_INTEGER_BITS = {pa.float32(): 16, pa.float64(): 64}
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}  # decimal digits of integers, by their bits
_UNITS = ("s", "ms", "us", "ns")


def holds(there: pa.DataType, now: pa.DataType) -> bool:
    """Whether values of type ``now`` can be written as ``there``."""
    if there == now or _t.is_null(now):
        return True
    if _t.is_integer(now):
        return _holds_integers(there, now)
    if _t.is_floating(now) and _t.is_floating(there):
        return bool(now.bit_width <= there.bit_width)
    if _t.is_decimal(now) and _t.is_decimal(there):
        return bool(
            now.scale <= there.scale and now.precision - now.scale <= there.precision - there.scale
        )
    if _t.is_timestamp(there):
        return _holds_times(there, now)
    if is_list(there) and is_list(now):
        return not _t.is_fixed_size_list(there) and holds(there.value_type, now.value_type)
    if _t.is_struct(there) and _t.is_struct(now):
        fields = {field.name: field.type for field in there}
        return all(field.name in fields and holds(fields[field.name], field.type) for field in now)
    return bool(_t.is_string(now) and _t.is_large_string(there))


def _holds_integers(there: pa.DataType, now: pa.DataType) -> bool:
    if there in _INTEGER_BITS:
        return bool(now.bit_width <= _INTEGER_BITS[there])
    if _t.is_decimal(there):
        return bool(_DIGITS[now.bit_width] <= there.precision - there.scale)
    if not _t.is_integer(there):
        return False
    signs = _t.is_signed_integer(now), _t.is_signed_integer(there)
    return bool(
        now.bit_width <= there.bit_width
        if signs[0] == signs[1]
        else signs[1] and now.bit_width < there.bit_width
    )


def _holds_times(there: pa.DataType, now: pa.DataType) -> bool:
    if _t.is_date(now):
        return there.tz is None
    finer = _t.is_timestamp(now) and _UNITS.index(now.unit) <= _UNITS.index(there.unit)
    return finer and (now.tz is None) == (there.tz is None)
