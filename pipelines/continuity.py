"""One table over many nights: a run writes its columns with the types that the output has already."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.access import safe_uri
from pipelines.output import ERRORS, RESULTS, OutputFolder
from pipelines.writer import ERROR_SCHEMA

# Integers that a float column takes. Of 64 bits those beyond 2**53 do not fit; such a row becomes an error.
_INTEGER_BITS = {pa.float32(): 16, pa.float64(): 64}


def fit_schema(output: OutputFolder, schema: pa.Schema, passed_over: Collection[str] = ()) -> pa.Schema:
    """``schema`` with the types of the newest results, where those can hold every value.

    Args:
        output: Of earlier runs.
        schema: Of the results that this run would write.
        passed_over: Files that do not count.

    Raises:
        ConfigurationError: A column has a type that the one in the output cannot hold, so that readers would fail or
            read wrong values. All such columns are named.
    """
    files = [*output.files(ERRORS), *output.files(RESULTS)]  # of results, if there are any
    names = [name for name in files if name not in passed_over]
    if not names:
        return schema
    there = output.read_schema(names[-1])
    if names[-1].startswith(f"{ERRORS}/"):
        there = pa.schema([field for field in there if field.name not in ERROR_SCHEMA.names])
    differing = []
    for index, field in enumerate(schema):
        if field.name not in there.names or there.field(field.name).type == field.type:
            continue
        older = there.field(field.name).type
        if _holds(older, field.type):
            schema = schema.set(index, field.with_type(older))
        else:
            differing.append(f"column {field.name!r} is {older} there, {field.type} now")
    if differing:
        raise ConfigurationError(
            f"--output {safe_uri(output.uri)} and the input do not make one table: {'; '.join(differing)}. Give the "
            "column its old type or another name in the input, give a new --output, or --overwrite to do all again."
        )
    return schema


def _holds(there: pa.DataType, now: pa.DataType) -> bool:
    """Whether values of type ``now`` can be written as ``there``."""
    if pa.types.is_null(now):
        return True
    if pa.types.is_integer(now) and pa.types.is_integer(there):
        signs = pa.types.is_signed_integer(now), pa.types.is_signed_integer(there)
        return (
            now.bit_width <= there.bit_width if signs[0] == signs[1] else signs[1] and now.bit_width < there.bit_width
        )
    if pa.types.is_integer(now) and there in _INTEGER_BITS:
        return now.bit_width <= _INTEGER_BITS[there]
    if pa.types.is_floating(now) and pa.types.is_floating(there):
        return now.bit_width <= there.bit_width
    return pa.types.is_string(now) and pa.types.is_large_string(there)
