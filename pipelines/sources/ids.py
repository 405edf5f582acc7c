"""Ids: taken from the id column, or made from the media and prompt of a row."""

from __future__ import annotations

import hashlib
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_BYTES_OF_ID = 16


def ids_from_column(column: pa.Array) -> pa.Array:
    """Ids as strings; null if there is none. Binary ids that are not text become hexadecimal."""
    ids = _as_text(column)
    missing = pc.equal(ids, "")
    if pa.types.is_floating(column.type):  # pandas makes floats of integers where some are missing
        missing = pc.or_(missing, pc.is_nan(column))
    return pc.if_else(missing, pa.scalar(None, pa.string()), ids)


def _as_text(column: pa.Array) -> pa.Array:
    """Values of any type as strings. Each value is converted alone, so the result does not depend
    on the batch."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if not (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    ):
        try:
            return column.cast(pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            pass
    return pa.array([_text(value) for value in column.to_pylist()], pa.string())


def _text(value: Any) -> str | None:
    if not isinstance(value, bytes):
        return None if value is None else str(value)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() else value.hex()


def made_ids(media: pa.ListArray, prompts: dict[str, pa.Array]) -> pa.Array:
    """Ids of rows that have none: the same media and the same prompt give the same id, wherever the
    row is.

    Both the content *and* the path of inline bytes count: in published datasets the path alone is
    often the same in every row. A null or empty prompt column counts as missing.

    Args:
        media: ``list<struct<uri, bytes>>``.
        prompts: The prompt columns by name, all as long as `media`.
    """
    items = media.flatten()
    uris, contents = pc.struct_field(items, "uri"), pc.struct_field(items, "bytes")
    keys = pc.fill_null(_framed(uris), "")
    if contents.null_count < len(contents):
        digests = [None if value is None else "#" + _digest(value) for value in _views(contents)]
        keys = pc.binary_join_element_wise(
            keys, pc.fill_null(pa.array(digests, pa.string()), ""), ""
        )
    lengths = pc.fill_null(pc.list_value_length(media), 0)
    offsets = pc.cumulative_sum(pa.concat_arrays([pa.array([0], pa.int32()), lengths]))
    key = pc.binary_join(pa.ListArray.from_arrays(offsets, keys), "")
    for name in sorted(prompts):
        values = _as_text(prompts[name])
        part = pc.binary_join_element_wise(f"|{name}=", _framed(values), "")
        empty = pc.fill_null(pc.equal(values, ""), True)
        key = pc.binary_join_element_wise(key, pc.if_else(empty, "", part), "")
    blake2b = hashlib.blake2b
    return pa.array(
        [blake2b(k.encode(), digest_size=_BYTES_OF_ID).hexdigest() for k in key.to_pylist()],
        pa.string(),
    )


def _framed(values: pa.Array) -> pa.Array:
    """Each value after its length, so that joined values are unambiguous."""
    return pc.binary_join_element_wise(pc.binary_length(values).cast(pa.string()), values, ":")


def _views(contents: pa.Array) -> list[pa.Buffer | None]:
    return [scalar.as_buffer() if scalar.is_valid else None for scalar in contents]


def _digest(value: pa.Buffer) -> str:
    return hashlib.blake2b(value, digest_size=_BYTES_OF_ID).hexdigest()
