"""Iceberg tables, without a catalog: pyiceberg reads the metadata and the files, through the stores
of this package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.base import Settings
from internvl_ops.stores.redaction import safe_text
from pipelines.extras import library
from pipelines.sources.arrow_rows import lost_rows, numbered
from pipelines.sources.arrow_types import plain_type, settled
from pipelines.sources.options import SourceOptions, SourcePlan, Split
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.repeated_values import pieces
from pipelines.sources.sql_tree import TypedBound
from pipelines.sources.storage import kind_of, parent_of, store
from pipelines.sources.tables.kinds import is_metadata
from pipelines.sources.tables.shared import SNAPSHOT, check_inside

_HINT = "version-hint.text"


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """The columns and data files of the current snapshot.

    Raises:
        ConfigurationError: pyiceberg is missing or cannot read it, or it is not clear which
            metadata are current.
    """
    library("pyiceberg.table", "iceberg", "An Iceberg table as --input")
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    place = metadata_place(options.uri)
    metadata = _metadata(place, options.settings)
    snapshot = metadata.current_snapshot()
    snapshot_id = None if snapshot is None else snapshot.snapshot_id
    kept = {"format": "iceberg", "metadata": place, "snapshot_id": snapshot_id}
    schema = schema_to_pyarrow(metadata.schema(), include_field_ids=False)
    columns = pa.schema((field.name, settled(plain_type(field.type))) for field in schema)
    return columns, _splits(place, snapshot_id, (), options), {SNAPSHOT: kept}


def metadata_place(uri: str) -> str:
    """The file with the current metadata: ``uri`` itself, or what its folder says.

    Raises:
        ConfigurationError: Several files may be the current one.
    """
    root = uri.rstrip("/")
    if is_metadata(root):
        return root
    folder = f"{root}/metadata"
    if kind_of(f"{folder}/{_HINT}") is not None:
        hint = store(folder).read(f"{folder}/{_HINT}").decode(errors="replace").strip()
        if "/" in hint:
            raise ConfigurationError(
                f"--input {uri}: {_HINT} names {hint!r:.100}, which is no file of its folder."
            )
        if is_metadata(hint):
            return f"{folder}/{hint}"
        return f"{folder}/{f'v{hint}' if hint.isdecimal() else hint}.metadata.json"
    numbered = [(int(found[1]), name) for name in store(folder).names(folder)
                if is_metadata(name) and (found := re.match(r"v?(\d+)", name))]  # fmt: skip
    newest = [name for number, name in numbered if number == max(numbered)[0]]
    if len(newest) != 1:
        raise ConfigurationError(
            f"--input {uri}: its folder does not say which metadata are current"
            f" ({', '.join(newest) or 'none'}). Give the file that the catalog names, --input"
            " …/metadata/NAME.metadata.json."
        )
    return f"{folder}/{newest[0]}"


@lru_cache(maxsize=1)
def _metadata(place: str, settings: Settings) -> Any:
    from pyiceberg.serializers import FromInputFile

    from pipelines.sources.tables.iceberg_files import StoreFiles

    try:
        return FromInputFile.table_metadata(StoreFiles().new_input(place))
    except (ValueError, OSError, KeyError) as error:
        raise ConfigurationError(
            f"--input: {place} cannot be read as metadata of an Iceberg table:"
            f" {safe_text(str(error)):.300}"
        ) from None


@lru_cache(maxsize=2)
def _tasks(
    place: str, snapshot_id: int | None, bounds: tuple[TypedBound, ...], settings: Settings
) -> dict[str, Any]:
    """The tasks of a scan, each a data file with its deletions, by the file."""
    from pyiceberg.table import DataScan

    from pipelines.sources.tables.iceberg_files import StoreFiles

    if snapshot_id is None:
        return {}
    scan = DataScan(
        _metadata(place, settings),
        StoreFiles(),
        row_filter=_filter(bounds),
        snapshot_id=snapshot_id,
    )
    try:
        return {task.file.file_path: task for task in scan.plan_files()}
    except (ValueError, NotImplementedError) as error:
        raise ConfigurationError(
            f"--input: {place} has files that pyiceberg does not read:"
            f" {safe_text(str(error)):.300}. Let its engine rewrite the data files, or write its"
            " rows to Parquet."
        ) from None


def _filter(bounds: tuple[TypedBound, ...]) -> Any:
    from pyiceberg import expressions as e

    made: dict[str, Any] = {
        "=": e.EqualTo,
        "<": e.LessThan,
        "<=": e.LessThanOrEqual,
        ">": e.GreaterThan,
        ">=": e.GreaterThanOrEqual,
    }
    any_of: Any = e.In
    found: Any = e.AlwaysTrue()
    for bound in bounds:
        values = [
            (
                value.as_py()
                if pa.types.is_integer(value.type) or pa.types.is_boolean(value.type)
                else _text(value)
            )
            for value in bound.values
        ]
        one = (
            made[bound.operator](bound.column, values[0])
            if len(values) == 1
            else any_of(bound.column, values)
        )
        found = e.And(found, one)
    return found


def _text(value: pa.Scalar) -> str:
    text = str(value.cast(pa.string()))
    return text.replace(" ", "T") if pa.types.is_timestamp(value.type) else text


def _splits(
    place: str, snapshot_id: int | None, bounds: tuple[TypedBound, ...], options: SourceOptions
) -> list[Split]:
    tasks = _tasks(place, snapshot_id, bounds, options.settings)
    root = parent_of(parent_of(place))
    for task in tasks.values():
        for file in (task.file, *task.delete_files):
            check_inside(root, file.file_path)
    return [
        Split(
            index,
            path,
            path.rpartition("/")[2],
            rows=None if tasks[path].delete_files else tasks[path].file.record_count,
        )
        for index, path in enumerate(sorted(tasks))
    ]


def narrow(plan: SourcePlan) -> SourcePlan:
    """The plan with the files alone that may hold wanted rows, by the partitions and statistics of
    the manifests."""
    assert plan.wanted is not None
    bounds = tuple(plan.wanted.bounds_on(plan.columns))
    splits = _splits(plan.snapshot["metadata"], plan.snapshot["snapshot_id"], bounds, plan.options)
    return replace(plan, splits=[replace(split, rows=None) for split in splits])


def count(plan: SourcePlan, split: Split) -> int:
    rows = sum(
        len(raw.numbers)
        for raw in read(replace(plan, columns=pa.schema([])), split, 1 << 20, 1 << 40)
    )
    return rows if split.max_rows is None else min(rows, split.max_rows)


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    """Yields the rows of one data file, which pyiceberg holds in memory as a whole."""
    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.io.pyarrow import ArrowScan

    from pipelines.sources.tables.iceberg_files import StoreFiles

    settings, snapshot = plan.options.settings, plan.snapshot
    metadata = _metadata(snapshot["metadata"], settings)
    task = _tasks(snapshot["metadata"], snapshot["snapshot_id"], (), settings)[split.uri]
    names = [field.name for field in metadata.schema().fields]
    chosen = [name for name in names if name in plan.columns.names] or names[:1]
    scan = ArrowScan(metadata, StoreFiles(), metadata.schema().select(*chosen), AlwaysTrue())
    at = 0
    try:
        small = (
            piece.slice(first, batch_rows)
            for batch in scan.to_record_batches([task])
            for piece in pieces(batch, batch_bytes)
            for first in range(0, piece.num_rows, batch_rows)
        )
        for raw in numbered(plan, split, small):
            at = int(raw.numbers[-1])
            yield raw
    except (pa.ArrowException, ValueError) as error:
        yield from lost_rows(plan, at, at + 1, 1, f"the file cannot be read from here on ({error})")
