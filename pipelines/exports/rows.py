"""Reads the rows of an output for an export, batch after batch: only the columns that are needed,
only the rows wanted.

Other tables about the same units join in here. A `Beside` sees each batch before a form does: it
may add columns, change values, or leave rows out with a reason. Verdicts of a filter and texts of
reviews are such tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.exports.counts import ExportCounts
from pipelines.exports.parts import RowRange
from pipelines.output.folder import RESULTS, OutputFolder
from pipelines.patience import patiently, read_patiently
from pipelines.sources.condition import Condition

BATCH_ROWS = 4096


class Beside(Protocol):
    """Another table, joined to the rows by ``id``. Picklable."""

    @property
    def key(self) -> str:
        """Identifies its content: parts that were exported with another content are exported
        again."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of the rows that it looks at besides ``id``."""

    def columns(self, schema: pa.Schema) -> pa.Schema:
        """The columns of the rows after the join: all there were, and its own."""

    def join(self, rows: pa.Table) -> tuple[pa.Table, Counter[str]]:
        """The rows of a batch with what the other table says, and how many were left out, by
        reason."""


@dataclass(frozen=True)
class ResultReader:
    """Reads results.

    Args:
        uri: The output.
        schema: Columns of its results, all of them.
        needs: Columns to read; None for all.
        where: Which rows are wanted, after the joins.
        beside: Other tables about the same units, in the order in which they are joined.
    """

    uri: str
    schema: pa.Schema
    needs: tuple[str, ...] | None = None
    where: Condition | None = None
    beside: Sequence[Beside] = ()

    def narrowed(self, names: Sequence[str]) -> ResultReader:
        """The same rows with these columns alone, and those that a condition may look at."""
        return replace(self, needs=tuple(names))

    @property
    def _read(self) -> pa.Schema:
        if self.needs is None or self.where is not None:  # a condition may look at any column
            return self.schema
        needs = {"id", *self.needs, *(name for other in self.beside for name in other.needs)}
        return pa.schema(
            [field for field in self.schema if field.name in needs], metadata=self.schema.metadata
        )

    def batches(self, part: Sequence[RowRange], counts: ExportCounts) -> Iterator[pa.Table]:
        """The wanted rows of a part, in order. Counts the rows read and those that are left out."""
        output = OutputFolder(self.uri)
        for piece in part:
            read = partial(_read_rows, output, piece, self._read)
            for rows in read_patiently(
                read, f"{safe_uri(output.uri)}/{piece.file} could not be read on"
            ):
                counts.rows_in += len(rows)
                for other in self.beside:
                    rows, left_out = other.join(rows)
                    counts.left_out += left_out
                if self.where is not None:
                    wanted = self.where.rows(rows)
                    counts.left_out["where"] += len(rows) - len(wanted)
                    rows = wanted
                if len(rows):
                    yield rows
        counts.left_out = +counts.left_out


def _read_rows(output: OutputFolder, piece: RowRange, schema: pa.Schema) -> Iterator[pa.Table]:
    with output.fs.open(f"{output.root.rstrip('/')}/{piece.file}", "rb") as file:
        parquet = pq.ParquetFile(file, pre_buffer=False)
        there = [column for column in schema.names if column in parquet.schema_arrow.names]
        groups, at = _groups(parquet.metadata, piece)
        for batch in parquet.iter_batches(
            batch_size=BATCH_ROWS, columns=there, row_groups=groups, use_threads=False
        ):
            start, end = (
                max(piece.start - at, 0),
                len(batch) if piece.stop is None else max(piece.stop - at, 0),
            )
            at += len(batch)
            wanted = batch.slice(start, max(0, min(end, len(batch)) - start))
            if len(wanted):
                yield _fit(pa.Table.from_batches([wanted]), schema, piece.file)


def _groups(metadata: pq.FileMetaData, piece: RowRange) -> tuple[list[int], int]:
    """The row groups that hold rows of a piece, and the number of rows before the first of them."""
    groups: list[int] = []
    first = at = 0
    for index in range(metadata.num_row_groups):
        rows = metadata.row_group(index).num_rows
        if at + rows > piece.start and (piece.stop is None or at < piece.stop):
            first = first if groups else at
            groups.append(index)
        at += rows
    return groups, first


def rows_of_file(output: OutputFolder, name: str) -> int:
    """The number of rows of a file of an output."""

    def count() -> int:
        with output.fs.open(f"{output.root.rstrip('/')}/{name}", "rb") as file:
            return int(pq.read_metadata(file).num_rows)

    return patiently(count, f"{safe_uri(output.uri)}/{name} could not be read")


def _fit(rows: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    """The rows in the columns of the newest file; files of before ``--new-columns add`` have
    fewer."""
    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            columns.append(pa.nulls(len(rows), field.type))
            continue
        try:
            columns.append(rows[field.name].cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
            raise ConfigurationError(
                f"{name}: column {field.name!r} is of another type than later: {error}"
            ) from None
    return pa.table(columns, schema=schema)


def sizes_of(output: OutputFolder) -> dict[str, int]:
    """The size of each file of ``results/``, in the order of the rows."""
    path = f"{output.root.rstrip('/')}/{RESULTS}"
    entries = patiently(
        lambda: output.fs.ls(path, detail=True),
        f"{safe_uri(output.uri)}/{RESULTS} could not be listed",
    )
    sizes = {entry["name"].rpartition("/")[2]: int(entry["size"]) for entry in entries}
    return {name: sizes[name.rpartition("/")[2]] for name in output.files(RESULTS)}
