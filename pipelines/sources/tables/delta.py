"""Delta tables. deltalake reads the log; the files that it lists are read as other Parquet files
are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.aws import options_for
from internvl_ops.stores.base import Settings
from internvl_ops.stores.redaction import safe_text
from pipelines.extras import library
from pipelines.sources import parquet
from pipelines.sources.arrow_types import plain_type, settled
from pipelines.sources.options import SourceOptions, SourcePlan, Split
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.tables.shared import SNAPSHOT, check_inside

_DELETIONS = "deletionVectors"
_PARTITION = "partition."


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """The columns and files of the newest version.

    Raises:
        ConfigurationError: deltalake is missing, or the table has a feature that is not read.
    """
    table = _open(options.uri, None, options.settings)
    features = table.protocol().reader_features or []
    if (
        "columnMapping" in features
        or table.metadata().configuration.get("delta.columnMapping.mode", "none") != "none"
    ):
        raise ConfigurationError(
            f"--input {options.uri}: this Delta table maps the names of its columns"
            " (columnMapping), which is not read. Write its rows to Parquet, as by"
            " pq.write_table(pa.table(DeltaTable(path).scan()), 'rows.parquet')."
        )
    root = options.uri.rstrip("/")
    deleted = _deleted(table) if _DELETIONS in features else {}
    found: list[Split] = []
    for row in sorted(
        pa.table(table.get_add_actions(flatten=True)).to_pylist(), key=lambda row: row["path"]
    ):
        path = unquote(row["path"])
        uri = path if path.startswith("/") or "://" in path else f"{root}/{path}"
        check_inside(root, uri)
        rows = row.get("num_records")
        found.append(
            Split(
                len(found),
                uri,
                path,
                rows=None if rows is None else rows - deleted.get(_name(uri), 0),
                constants=tuple(
                    (name.removeprefix(_PARTITION), pa.scalar(value))
                    for name, value in row.items()
                    if name.startswith(_PARTITION)
                ),
            )
        )
    columns = [
        (field.name, settled(plain_type(field.type)))
        for field in pa.schema(table.schema().to_arrow())
    ]
    snapshot = {"format": "delta", "version": table.version()}
    return pa.schema(columns), found, {SNAPSHOT: snapshot, _DELETIONS: bool(deleted)}


def narrow(plan: SourcePlan) -> SourcePlan:
    """The plan with the files alone that may hold wanted rows, by the log's partitions and
    statistics."""
    assert plan.wanted is not None
    kept = [split for split in plan.splits if plan.wanted.may_hold(dict(split.constants))]
    bounds = plan.wanted.bounds_on(plan.columns)
    if bounds:
        table = _at(plan.options.uri, plan.snapshot["version"], plan.options.settings)
        names = set(plan.columns.names) - {
            name for split in plan.splits[:1] for name, _ in split.constants
        }
        filters = [
            (one.column, one.operator, one.values[0].as_py())
            for one in bounds
            if len(one.values) == 1 and one.column in names
        ]
        if filters:
            paths = {
                uri.rpartition("/")[2] for uri in table.file_uris(file_pruning_predicate=filters)
            }
            kept = [split for split in kept if split.uri.rpartition("/")[2] in paths]
    return replace(plan, splits=[replace(split, index=index) for index, split in enumerate(kept)])


def count(plan: SourcePlan, split: Split) -> int:
    kept = _kept(plan, split) if plan.details[_DELETIONS] else None
    return parquet.count(plan, split) if kept is None else int(kept.sum())


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    if not plan.details[_DELETIONS]:
        yield from parquet.read(plan, split, batch_rows, batch_bytes)
        return
    kept, left = _kept(plan, split), split.max_rows
    for raw in parquet.read(plan, replace(split, max_rows=None), batch_rows, batch_bytes):
        places = raw.numbers - 1
        there = np.flatnonzero(
            np.ones(len(places), bool) if kept is None else kept[np.minimum(places, len(kept) - 1)]
        )
        if left is not None:
            there = there[:left]
            left -= len(there)
        if len(there):
            yield raw.take(there)
        if left == 0:
            return


def _kept(plan: SourcePlan, split: Split) -> np.ndarray | None:
    """bool (rows,): whether a row of the file is not deleted; None if none is."""
    return _masks(plan.options.uri, plan.snapshot["version"], plan.options.settings).get(
        _name(split.uri)
    )


@lru_cache(maxsize=1)
def _masks(uri: str, version: int, settings: Settings) -> dict[str, np.ndarray]:
    masks = {}
    for batch in pa.RecordBatchReader.from_stream(_at(uri, version, settings).deletion_vectors()):
        for path, mask in zip(batch["filepath"], batch["selection_vector"], strict=True):
            masks[_name(path.as_py())] = mask.values.to_numpy(zero_copy_only=False)
    return masks


def _deleted(table: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for batch in pa.RecordBatchReader.from_stream(table.deletion_vectors()):
        for path, mask in zip(batch["filepath"], batch["selection_vector"], strict=True):
            found[_name(path.as_py())] = pc.sum(pc.invert(mask.values)).as_py()
    return found


def _name(uri: str) -> str:
    """The name of a data file, which no other of the table has."""
    return unquote(uri).rpartition("/")[2]


@lru_cache(maxsize=1)
def _at(uri: str, version: int, settings: Settings) -> Any:
    """A version of the table, opened once in a process."""
    return _open(uri, version, settings)


def _open(uri: str, version: int | None, settings: Settings) -> Any:
    """The table at a version; the newest if None."""
    deltalake = library("deltalake", "delta", "A Delta table as --input")
    try:
        return deltalake.DeltaTable(
            uri, version=version, storage_options=options_for(uri, settings)
        )
    except (deltalake.exceptions.DeltaError, OSError) as error:
        raise ConfigurationError(
            f"--input {uri} cannot be read as a Delta table: {safe_text(str(error))}"
        ) from None
