"""Handles Parquet that stores a long value once and repeats it by reference: small in the file,
huge in memory.

Columns in which that is possible are read as dictionaries, which stay as small as they are in the
file. A batch is cut into pieces of the wanted size before its values are expanded.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# allowed bytes of one batch, assuming that each value is as long as its whole column in the file
_HARMLESS = 64 << 20


def may_explode(metadata: pq.FileMetaData, batch_rows: int) -> list[str]:
    """Columns of text or bytes of which a batch could be far larger than the size stated in the
    file."""
    found = {}
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            a_row = -(-column.num_values // max(1, metadata.row_group(group).num_rows))
            values = min(column.num_values, batch_rows * a_row)
            if (
                column.physical_type == "BYTE_ARRAY"
                and values * column.total_uncompressed_size > _HARMLESS
            ):
                found[column.path_in_schema] = True
    return list(found)


def pieces(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    """The rows of the batch in pieces of about ``size`` bytes after expansion; a row is never
    cut."""
    if batch.num_rows <= 1 or sum(map(_written_out, batch.columns)) <= 2 * size:
        yield batch
        return
    half = batch.num_rows // 2
    yield from pieces(batch.slice(0, half), size)
    yield from pieces(batch.slice(half), size)


def _written_out(array: pa.Array) -> int:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _written_out(array.storage)
    if pa.types.is_dictionary(kind):
        if pa.types.is_primitive(kind.value_type):
            return array.nbytes
        lengths = pc.fill_null(pc.binary_length(array.dictionary), 0).to_numpy(zero_copy_only=False)
        return int(
            lengths.astype(np.int64)[array.indices.drop_null().to_numpy(zero_copy_only=False)].sum()
        )
    if pa.types.is_struct(kind):
        return sum(map(_written_out, array.flatten()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _written_out(array.flatten())
    if pa.types.is_map(kind):
        return _written_out(array.items)
    try:
        return array.nbytes
    except pa.ArrowNotImplementedError:  # lists of views
        return array.get_total_buffer_size()
