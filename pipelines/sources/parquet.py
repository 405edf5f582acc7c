"""Parquet manifests: reads footers at start, then batch after batch without holding a row group in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from internvl_ops.errors import ConfigurationError
from pipelines.sources.arrow_types import merge, plain_type, settled
from pipelines.sources.conversion import fit_column
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS, SourceOptions, SourcePlan, Split
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.repeated_values import may_explode, pieces
from pipelines.sources.storage import Watched, is_local, look_at, open_input


def inspect(splits: list[Split], options: SourceOptions) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """Reads the footers: the columns of all files, and the number of rows of each.

    With more than 2,000 files, reads only a sample, and the number of rows stays unknown.
    """
    footers = look_at(splits, _footer)
    media = {*DEFAULT_MEDIA_COLUMNS, *options.named_media.values()}
    columns: dict[str, pa.DataType] = {}
    for split, (schema, _) in footers:
        twice = {name for name in schema.names if schema.names.count(name) > 1}
        if twice:
            raise ConfigurationError(f"--input: {split.uri} has two columns '{min(twice)}'; rename one of them.")
        for field in schema:
            kind = plain_type(field.type)
            columns[field.name] = merge(columns.get(field.name, pa.null()), kind, media=field.name in media)
    if len(footers) == len(splits):
        splits = [replace(split, rows=rows) for split, (_, rows) in footers]
    return pa.schema([(name, settled(kind)) for name, kind in columns.items()]), splits, {}


def _footer(split: Split) -> tuple[pa.Schema, int]:
    with Watched(open_input(split.uri, block_size=None)) as file:
        parquet = _open(split, file)
        return parquet.schema_arrow, parquet.metadata.num_rows


def _open(split: Split, file: Watched, batch_rows: int = 0) -> pq.ParquetFile:
    # Buffered column streams: a row group of any size needs only a few megabytes of memory.
    buffer = (1 << 20) if is_local(split.uri) else (4 << 20)
    try:
        parquet = pq.ParquetFile(file, buffer_size=buffer, pre_buffer=False)
        if repeating := may_explode(parquet.metadata, batch_rows):
            file.seek(0)
            metadata = parquet.metadata
            return pq.ParquetFile(
                file, metadata=metadata, read_dictionary=repeating, buffer_size=buffer, pre_buffer=False
            )
        return parquet
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        if file.failed is not None:
            raise
        raise ConfigurationError(
            f"--input: {split.uri} cannot be read as Parquet: {error}. "
            "Give the right --input-format, or write the file anew if it was cut short."
        ) from None


def count(plan: SourcePlan, split: Split) -> int:
    try:
        return _footer(split)[1]
    except ConfigurationError:
        return 1  # the error row that stands for the file


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    """Yields the rows of one file. If a row group is damaged, each of its remaining rows becomes an error row."""
    with Watched(open_input(split.uri, block_size=None)) as file:
        try:
            parquet = _open(split, file, batch_rows)
        except ConfigurationError as error:  # with many files, not every footer was checked at start
            yield _lost(plan, 0, 1, str(error))
            return
        end = parquet.metadata.num_rows if split.max_rows is None else min(split.max_rows, parquet.metadata.num_rows)
        start = 0
        for index in range(parquet.metadata.num_row_groups):
            group = parquet.metadata.row_group(index)
            stop, at = start + group.num_rows, start
            size = max(1, min(batch_rows, batch_bytes * group.num_rows // max(1, group.total_byte_size)))
            try:
                for batch in parquet.iter_batches(batch_size=size, row_groups=[index], use_threads=False):
                    batch = batch.slice(0, max(0, end - at))
                    if not batch.num_rows:
                        return
                    for piece in pieces(batch, batch_bytes):
                        yield _typed(plan, split, piece, at)
                        at += piece.num_rows
            except (pa.ArrowException, OSError) as error:
                if file.failed is not None:
                    raise
                message = f"row group {index} is damaged from row {at + 1} on ({error}); write the file anew"
                while at < min(stop, end):
                    rows = min(batch_rows, min(stop, end) - at)
                    yield _lost(plan, at, rows, message)
                    at += rows
            start = stop


def _typed(plan: SourcePlan, split: Split, batch: pa.RecordBatch, at: int) -> RawRows:
    """Converts every column to the type of the plan, because files written at different times may differ."""
    size = batch.num_rows
    raw = RawRows({}, np.arange(at + 1, at + size + 1))
    for field in plan.columns:
        where = batch.schema.get_field_index(field.name)
        fit_column(plan, raw, field, batch.column(where) if where >= 0 else pa.nulls(size, field.type))
    extra = [name for name in batch.schema.names if name not in plan.columns.names]
    if extra:
        notes = [f"Not kept: column '{name}', which is not in the files looked at on start" for name in extra]
        raw.notes |= {row: [*raw.notes.get(row, ()), *notes] for row in range(size)}
    return raw


def _lost(plan: SourcePlan, at: int, rows: int, message: str) -> RawRows:
    columns = {field.name: pa.nulls(rows, field.type) for field in plan.columns}
    return RawRows(columns, np.arange(at + 1, at + rows + 1), dict.fromkeys(range(rows), message))
