"""Tables as bytes of Parquet, in row groups that a reader can hold."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_BYTES = 64 << 20  # of a row group in memory


def rows_per_group(table: pa.Table) -> int:
    """Rows of a row group: readers hold one in memory, whatever the size of the file."""
    return max(1, len(table) * GROUP_BYTES // max(GROUP_BYTES, table.nbytes))


def as_parquet(table: pa.Table) -> bytes:
    """A whole Parquet file as bytes."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=rows_per_group(table), compression="zstd")
    return bytes(sink.getvalue().to_pybytes())
