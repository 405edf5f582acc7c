"""Parquet manifests: footers at start, then batch after batch without holding a row group in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from internvl_ops.errors import ConfigurationError
from pipelines.sources.options import SourceOptions, SourcePlan, Split
from pipelines.sources.rows import RawRows
from pipelines.sources.storage import S3, Watched, look_at, open_input


def inspect(splits: list[Split], options: SourceOptions) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """Reads the footers: the columns of all files, and the rows of each.

    Of more than 2,000 files a sample is read, and rows stay unknown.
    """
    footers = look_at(splits, _footer)
    columns = pa.schema([])
    for split, (schema, _) in footers:
        twice = {name for name in schema.names if schema.names.count(name) > 1}
        if twice:
            raise ConfigurationError(f"--input: {split.uri} has two columns '{min(twice)}'; rename one of them.")
        schema = pa.schema([pa.field(f.name, f.type) for f in schema])
        try:
            columns = pa.unify_schemas([columns, schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ConfigurationError(
                f"--input {options.uri}: columns of {split.name} differ from the files before it: {error}"
            ) from None
    partitions = {name for split in splits for name in _partitions(split)} - set(columns.names)
    for name in sorted(partitions):
        columns = columns.append(pa.field(name, pa.string()))
    if len(footers) == len(splits):
        splits = [replace(split, rows=rows) for split, (_, rows) in footers]
    return columns, splits, {}


def _partitions(split: Split) -> dict[str, str]:
    """Columns that stand in the path, as Hive and Spark write them: ``lang=en/part-0.parquet``."""
    pairs = [folder.split("=", 1) for folder in split.name.split("/")[:-1] if "=" in folder]
    return {name: unquote(value) for name, value in pairs if value != "__HIVE_DEFAULT_PARTITION__"}


def _footer(split: Split) -> tuple[pa.Schema, int]:
    with Watched(open_input(split.uri, block_size=None)) as file:
        parquet = _open(split, file)
        return parquet.schema_arrow, parquet.metadata.num_rows


def _open(split: Split, file: Watched) -> pq.ParquetFile:
    # Buffered column streams: a row group of any size goes through a few megabytes of memory.
    buffer = (4 << 20) if split.uri.startswith(S3) else (1 << 20)
    try:
        return pq.ParquetFile(file, buffer_size=buffer, pre_buffer=False)
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
    """Yields the rows of one file. A row group that is damaged costs its remaining rows, each an error row."""
    with Watched(open_input(split.uri, block_size=None)) as file:
        try:
            parquet = _open(split, file)
        except ConfigurationError as error:  # of many files not every footer was looked at on start
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
                    yield _typed(plan, split, batch, at)
                    at += batch.num_rows
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
    """Gives every column the type of the plan; files written at different times may differ."""
    size = batch.num_rows
    raw = RawRows({}, np.arange(at + 1, at + size + 1))
    in_path = _partitions(split)
    for field in plan.columns:
        where = batch.schema.get_field_index(field.name)
        if where >= 0:
            column = batch.column(where)
        elif field.name in in_path:
            column = pa.repeat(in_path[field.name], size)
        else:
            column = pa.nulls(size, field.type)
        if not column.type.equals(field.type):
            try:
                column = column.cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
                raw.problems |= dict.fromkeys(
                    range(size),
                    f"column '{field.name}' is {column.type} in this file and {field.type} in others ({error})",
                )
                column = pa.nulls(size, field.type)
        raw.columns[field.name] = _checked(column, field.name, raw.problems)
    extra = [name for name in batch.schema.names if name not in plan.columns.names]
    if extra:
        message = f"column '{extra[0]}' is not in the files looked at on start; write all parts with the same columns"
        raw.problems |= dict.fromkeys(range(size), message)
    return raw


def _checked(column: pa.Array, name: str, problems: dict[int, str]) -> pa.Array:
    """The column without values that are not what its type says, such as text that is not UTF-8.

    Parquet readers do not look, and everything further down would fail for the whole batch.
    """
    try:
        column.validate(full=True)
        return column
    except pa.ArrowInvalid:
        keep: list[int | None] = list(range(len(column)))
    for row in range(len(column)):
        try:
            column.take(pa.array([row])).validate(full=True)  # a copy: a slice would look at its neighbours too
        except pa.ArrowInvalid as error:
            problems[row] = f"column '{name}' holds a damaged value ({error}); text has to be UTF-8"
            keep[row] = None
    return column.take(pa.array(keep, pa.int64()))


def _lost(plan: SourcePlan, at: int, rows: int, message: str) -> RawRows:
    columns = {field.name: pa.nulls(rows, field.type) for field in plan.columns}
    return RawRows(columns, np.arange(at + 1, at + rows + 1), dict.fromkeys(range(rows), message))
