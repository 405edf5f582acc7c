"""Folders that ``datasets.save_to_disk`` wrote: Arrow streams, named by ``state.json``. Needs no
library but Arrow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from pipelines.sources.arrow_rows import lost_rows, numbered
from pipelines.sources.arrow_types import merge, plain_type, settled
from pipelines.sources.options import DEFAULT_MEDIA_COLUMNS, SourceOptions, SourcePlan, Split
from pipelines.sources.raw_rows import RawRows
from pipelines.sources.repeated_values import pieces
from pipelines.sources.storage import Watched, kind_of, look_at, open_input, store
from pipelines.sources.tables.shared import SNAPSHOT


def inspect(
    splits: list[Split], options: SourceOptions
) -> tuple[pa.Schema, list[Split], dict[str, Any]]:
    """The files and columns of the dataset.

    Raises:
        ConfigurationError: It has several splits, was saved in a form that is not read, or a file
            is no Arrow stream.
    """
    root = _root(options)
    state = _json(options, f"{root}/state.json")
    if state.get("_indices_files") or state.get("_indices_data_files"):
        raise ConfigurationError(
            f"--input {options.uri}: this dataset was saved with a selection of its rows. Save it"
            " anew: load_from_disk(path).flatten_indices().save_to_disk(other)."
        )
    names = _names(state)
    if not names:  # save_to_disk names at least one, even of no rows
        raise ConfigurationError(
            f"--input {options.uri}: its state.json names no data-*.arrow files in _data_files, so"
            " it is not known what belongs to the dataset. Save it anew with save_to_disk."
        )
    if any("/" in name or name.startswith("..") for name in names):
        raise ConfigurationError(
            f"--input {options.uri}: state.json names files outside of the folder."
        )
    found = [Split(index, f"{root}/{name}", name) for index, name in enumerate(names)]
    media = {*DEFAULT_MEDIA_COLUMNS, *options.named_media.values()}
    columns: dict[str, pa.DataType] = {}
    for _, schema in look_at(found, _schema):
        for field in schema:
            columns[field.name] = merge(
                columns.get(field.name, pa.null()),
                plain_type(field.type),
                media=field.name in media,
            )
    fields = [(name, settled(kind)) for name, kind in columns.items()]
    return (
        pa.schema(fields),
        found,
        {SNAPSHOT: {"format": "datasets", "fingerprint": state.get("_fingerprint")}},
    )


def narrow(plan: SourcePlan) -> SourcePlan:
    """The plan as it is: nothing is known of the files."""
    return plan


def _names(state: dict[str, Any]) -> list[str]:
    """Names of the Arrow files; none if they are not written as `datasets` writes them."""
    files = state.get("_data_files")
    named = [file.get("filename") for file in files or () if isinstance(file, dict)]
    names = [name for name in named if isinstance(name, str)]
    return names if isinstance(files, list) and len(names) == len(files) else []


def _root(options: SourceOptions) -> str:
    """The folder of the one split."""
    root = options.uri.rstrip("/")
    if kind_of(f"{root}/state.json") is not None:
        return root
    splits = [str(name) for name in _json(options, f"{root}/dataset_dict.json").get("splits", ())]
    if len(splits) != 1:
        raise ConfigurationError(
            f"--input {options.uri} holds the splits {', '.join(splits)}. Give one of them, such as"
            f" --input {root}/{splits[0] if splits else 'train'}."
        )
    return f"{root}/{splits[0]}"


def _json(options: SourceOptions, uri: str) -> dict[str, Any]:
    try:
        found = json.loads(store(uri).read(uri))
    except (ValueError, FileNotFoundError) as error:
        raise ConfigurationError(f"--input {options.uri}: {uri} cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def _schema(split: Split) -> pa.Schema:
    with Watched(open_input(split.uri)) as file:
        try:
            return pa.ipc.open_stream(file).schema
        except (pa.ArrowException, OSError) as error:
            if file.failed is not None:
                raise
            raise ConfigurationError(
                f"--input: {split.uri} cannot be read as an Arrow stream: {error}"
            ) from None


def count(plan: SourcePlan, split: Split) -> int:
    """The number of rows. Reads the file."""
    rows = 0
    with Watched(open_input(split.uri)) as file:
        try:
            for batch in pa.ipc.open_stream(file):
                rows += batch.num_rows
        except (pa.ArrowException, OSError):
            if file.failed is not None:
                raise
            rows += 1  # the error row that stands for the rest
    return rows if split.max_rows is None else min(rows, split.max_rows)


def read(plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int) -> Iterator[RawRows]:
    """Yields the rows of one file, a batch of the file in memory at a time."""
    at = 0
    with Watched(open_input(split.uri)) as file:
        try:
            small = (
                piece
                for batch in _chosen(plan, file)
                for first in range(0, batch.num_rows, batch_rows)
                for piece in pieces(batch.slice(first, batch_rows), batch_bytes)
            )
            for raw in numbered(plan, split, small):
                at = int(raw.numbers[-1])
                yield raw
        except (pa.ArrowException, OSError) as error:
            if file.failed is not None:
                raise
            yield from lost_rows(
                plan, at, at + 1, 1, f"the file cannot be read from here on ({error})"
            )


def _chosen(plan: SourcePlan, file: Watched) -> pa.RecordBatchStreamReader:
    """The batches of a file, in the columns of the plan if only some are wanted."""
    if not plan.options.names:
        return pa.ipc.open_stream(file)
    schema = pa.ipc.open_stream(file).schema
    file.seek(0)
    wanted = [index for index, name in enumerate(schema.names) if name in plan.columns.names]
    return pa.ipc.open_stream(file, options=pa.ipc.IpcReadOptions(included_fields=wanted))
