"""Parquet manifests: reads footers at start, then batch after batch without holding a row group in
memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from internvl_ops.errors import ConfigurationError
from pipelines.sources.arrow_rows import lost_rows, typed
from pipelines.sources.arrow_types import merge, plain_type, settled
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS, SourceOptions, SourcePlan, Split
from pipelines.sources.places import columns_in_path
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.repeated_values import may_explode, pieces
from pipelines.sources.storage import Watched, is_local, look_at, open_input


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """Reads the footers: the columns of all files, and the number of rows of each.

    With more than 2,000 files, reads only a sample, and the number of rows stays unknown.
    """
    footers = look_at(splits, _footer)
    media = {*DEFAULT_MEDIA_COLUMNS, *options.named_media.values()}
    columns: dict[str, pa.DataType] = {}
    for split, (schema, _) in footers:
        twice = {name for name in schema.names if schema.names.count(name) > 1}
        if twice:
            raise ConfigurationError(
                f"--input: {split.uri} has two columns '{min(twice)}'; rename one of them."
            )
        for field in schema:
            kind = plain_type(field.type)
            columns[field.name] = merge(
                columns.get(field.name, pa.null()), kind, media=field.name in media
            )
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
                file,
                metadata=metadata,
                read_dictionary=repeating,
                buffer_size=buffer,
                pre_buffer=False,
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
    """Yields the rows of one file."""
    with Watched(open_input(split.uri, block_size=None)) as file:
        try:
            parquet = _open(split, file, batch_rows)
        # with many files, not every footer was checked at start
        except ConfigurationError as error:
            yield from lost_rows(plan, 0, 1, 1, str(error))
            return
        end = (
            parquet.metadata.num_rows
            if split.max_rows is None
            else min(split.max_rows, parquet.metadata.num_rows)
        )
        start = 0
        kept = _groups(plan, parquet, file)
        for index in range(parquet.metadata.num_row_groups):
            stop = min(end, start + parquet.metadata.row_group(index).num_rows)
            group = _RowGroup(parquet, file, index, batch_rows, batch_bytes, _chosen(plan, parquet))
            if index in kept and _may_hold(plan, split, group):
                yield from _rows_of_group(plan, split, group, start, stop)
            start = stop


def _chosen(plan: SourcePlan, parquet: pq.ParquetFile) -> list[str] | None:
    """The columns that are read of a file; None for all."""
    if not plan.options.names or plan.options.reshape:
        return None
    return [name for name in parquet.schema_arrow.names if name in plan.columns.names]


def _groups(plan: SourcePlan, parquet: pq.ParquetFile, file: Watched) -> Collection[int]:
    """The row groups that may hold wanted rows, by their statistics."""
    every = range(parquet.metadata.num_row_groups)
    expression = None if plan.wanted is None else plan.wanted.expression(parquet.schema_arrow)
    if expression is None:
        return every
    try:
        return {
            group.id
            for group in ds.ParquetFileFormat().make_fragment(file).subset(expression).row_groups
        }
    except (pa.ArrowException, OSError, ValueError):
        if file.failed is not None:
            raise
        return every


def _may_hold(plan: SourcePlan, split: Split, group: _RowGroup) -> bool:
    """Whether a row group holds wanted rows: by a look at the columns of the condition, if others
    are larger."""
    if plan.wanted is None:
        return True
    there = group.parquet.schema_arrow.names
    looked_at = [
        name for name in plan.wanted.columns if name in there and name not in dict(split.constants)
    ]
    if not looked_at or set(looked_at) >= set(there if group.chosen is None else group.chosen):
        return True
    condition = replace(
        plan,
        columns=pa.schema(field for field in plan.columns if field.name in plan.wanted.columns),
    )
    in_path = columns_in_path(split)
    try:
        for batch in group.batches(looked_at):
            raw = typed(condition, split, batch, np.arange(batch.num_rows))
            for name in plan.in_path:
                raw.columns[name] = pa.repeat(
                    pa.scalar(in_path.get(name), pa.string()), batch.num_rows
                )
            if len(plan.wanted.of(raw).numbers):
                return True
    except (pa.ArrowException, OSError):
        if group.file.failed is not None:
            raise
        return True
    return False


@dataclass(frozen=True)
class _RowGroup:
    """One row group of an open file, and the largest number of rows and bytes of a batch."""

    parquet: pq.ParquetFile
    file: Watched
    index: int
    batch_rows: int
    batch_bytes: int
    chosen: list[str] | None = None  # columns to read; None for all

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows, in these columns. Raises ArrowException or OSError at damage."""
        group = self.parquet.metadata.row_group(self.index)
        size = max(
            1,
            min(
                self.batch_rows, self.batch_bytes * group.num_rows // max(1, group.total_byte_size)
            ),
        )
        for batch in self.parquet.iter_batches(size, [self.index], columns, use_threads=False):
            yield from pieces(batch, self.batch_bytes)

    def problem(self, column: str) -> str | None:
        """Why a column cannot be read; None if it can."""
        try:
            for _ in self.batches([column]):
                pass
        except (pa.ArrowException, OSError) as error:
            if self.file.failed is not None:
                raise
            return str(error)
        return None


def _rows_of_group(
    plan: SourcePlan, split: Split, group: _RowGroup, start: int, stop: int
) -> Iterator[RawRows]:
    """The rows of one row group, which are the rows from ``start`` to ``stop`` of the file.

    At damage, each column that is only carried and cannot be read becomes null, with a note. If
    that does not help, each remaining row becomes an error.
    """
    at = start
    lost: dict[str, str] = {}
    while at < stop:
        names = [
            name for name in group.chosen or group.parquet.schema_arrow.names if name not in lost
        ]
        batches, first = group.batches(names if lost or group.chosen else None), start
        try:
            while at < stop and (batch := next(batches, None)) is not None:
                # rows before `at` come a second time
                new = batch.slice(max(0, at - first), stop - max(at, first))
                first += batch.num_rows
                if new.num_rows:
                    numbers = np.arange(at + 1, at + new.num_rows + 1)
                    yield typed(plan, split, new, numbers, lost)
                    at += new.num_rows
            return
        except (pa.ArrowException, OSError) as error:
            if group.file.failed is not None:
                raise
            carried = (
                []
                if lost
                else [
                    name for name in plan.columns.names if not plan.is_asked(name) and name in names
                ]
            )
            lost = {name: problem for name in carried if (problem := group.problem(name))}
            if not lost:
                message = (
                    f"row group {group.index} is damaged from row {at + 1} on ({error}); write the"
                    " file anew"
                )
                yield from lost_rows(plan, at, stop, group.batch_rows, message)
                return
