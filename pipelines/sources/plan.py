"""Examines the input before anything starts: its format, its columns, its number of rows, split by
split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_text, safe_uri
from pipelines.columns import READ
from pipelines.flags import in_flags
from pipelines.patience import read_patiently
from pipelines.sources import csv, files, jsonl, parquet, txt, webdataset
from pipelines.sources.files import with_kind
from pipelines.sources.listing import (
    check_exists,
    folder_of,
    manifest_splits,
    resolve_format,
    table_format,
)
from pipelines.sources.media_column import choose_media_column, holds_several, uri_type
from pipelines.sources.options import SEVERAL_MEDIA, SourceOptions, SourcePlan, Split
from pipelines.sources.places import columns_in_path, names_in_paths
from pipelines.sources.row_tables import finish
from pipelines.sources.storage import check_scheme, kind_of, read_with, store
from pipelines.sources.tables import delta, iceberg, lance, saved
from pipelines.sources.tables import kinds as tables
from pipelines.sources.tables.shared import SNAPSHOT
from pipelines.sources.wanted import Wanted, check_names, wanted_of

# A reader is a module: inspect(splits, options) at start, count(plan, split), and read(plan, split,
# rows, bytes).
_READERS: dict[str, Any] = {
    "parquet": parquet,
    "jsonl": jsonl,
    "csv": csv,
    "txt": txt,
    "webdataset": webdataset,
    "files": files,
    "delta": delta,
    "iceberg": iceberg,
    "lance": lance,
    "datasets": saved,
}

_SAMPLED_FILES = 4
_SAMPLED_ROWS = 500
_SAMPLED_BYTES = 4 << 20
_SAMPLED_URIS = 100
_NAMED = "named"  # key in the details of a plan: what columns are called from here on
_LOOKED_AT = 20  # tables in which a wanted row is looked for, to sample it


def plan_source(options: SourceOptions) -> SourcePlan:
    """Settles how the input is read: format, files, columns, types. Reads a sample of it, never the
    whole.

    Raises:
        ConfigurationError: The input does not exist, contains no files, or has an unknown or
            unreadable format; or a column is missing or has an unusable type. The message names the
            option, its value and what is allowed.
    """
    options = _checked(replace(options, uri=check_scheme("--input", options.uri)))
    read_with(options.settings)
    try:
        return _plan(options)
    except store(options.uri).failures as error:
        said, advice = safe_text(str(error)), store(options.uri).advice(error)
        hint = f". {in_flags(advice)}" if advice else ""
        raise ConfigurationError(
            f"--input {safe_uri(options.uri)} cannot be read: {said}{hint}"
        ) from error


def _plan(options: SourceOptions) -> SourcePlan:
    check_exists(options)
    format = table_format(options) or resolve_format(options)
    if format == "files":
        options = with_kind(options)
    base = folder_of(options)
    splits = _splits(options, format, base)
    columns, splits, details = _READERS[format].inspect(splits, options)
    inline = format == "webdataset"  # media are beside the columns, not in one
    empty = not columns.names and not inline
    if empty:
        columns = _columns_of_nothing(options)
    in_path = () if format in ("files", *tables.NAMES) else names_in_paths(splits, columns)
    named = _free_names(columns.names)
    of_paths = [pa.field(name, pa.string()) for name in in_path]
    wanted = None if empty else _wanted(options, format, pa.schema([*columns, *of_paths]))
    given = pa.schema([*(f.with_name(named[f.name]) for f in columns), *of_paths])
    shaped = options.reshape.columns(given) if options.reshape else given
    _check_columns(shaped, options)
    kind, column = options.media_name if inline else choose_media_column(shaped, options)
    plan = SourcePlan(
        options=options,
        format=format,
        base=_media_root(options, format) or base,
        columns=columns,
        schema=_passthrough(shaped, None if inline else column),
        id_column=options.id_column or ("id" if "id" in shaped.names else None),
        media_column=column,
        media_kind=kind,
        splits=splits if wanted is None else [replace(split, rows=None) for split in splits],
        details=details | {_NAMED: named},
        wanted=wanted,
        snapshot=details.get(SNAPSHOT, {}),
        in_path=in_path,
        several_media=(
            details.get(SEVERAL_MEDIA, False)
            if column is None or inline
            else holds_several(shaped.field(column).type)
        ),
        **(files.left_out(options) if format == "files" else {}),
    )
    if options.names and not options.reshape and not empty:
        plan = plan.narrowed(options.names, named)
    if wanted is not None and format in tables.NAMES:
        plan = _READERS[format].narrow(plan)
    plan = _limited(plan)
    rows = [split.rows for split in plan.splits]
    known = None if None in rows else sum(rows)  # type: ignore[arg-type]
    sample = _sample(plan)
    return replace(
        plan,
        total_rows=known,
        rows_about=sample.rows_about if known is None else known,
        row_bytes=sample.row_bytes,
        sample_uris=sample.uris,
        several_media=plan.several_media or sample.several,
    )


def _splits(options: SourceOptions, format: str, base: str) -> list[Split]:
    if format in tables.NAMES:
        return []  # the table says which files there are
    return (
        files.plan_splits(options, base)
        if format == "files"
        else manifest_splits(options, format, base)
    )


def _wanted(options: SourceOptions, format: str, columns: pa.Schema) -> Wanted | None:
    """Checks ``--columns`` and ``--where`` with the columns of the input."""
    if not options.reshape:
        check_names(options.names, columns.names)
    elif options.names and format != "csv":
        given = f"--columns {','.join(options.names)}"
        raise ConfigurationError(f"{given}: this input is read in a form of its own. Leave it out.")
    return None if options.where is None else wanted_of(options.where, columns)


def _media_root(options: SourceOptions, format: str) -> str | None:
    if options.media_root is None:
        return None
    if format in ("files", "webdataset"):
        raise ConfigurationError(
            f"--media-root {options.media_root}: the media of {format} are the input itself."
        )
    root = check_scheme("--media-root", options.media_root).rstrip("/") or "/"
    if kind_of(root) != "directory":
        raise ConfigurationError(f"--media-root {options.media_root}: no such folder.")
    return root


def _columns_of_nothing(options: SourceOptions) -> pa.Schema:
    """Columns of an empty manifest, which is a job of zero rows: the columns that the options
    name."""
    names = dict.fromkeys([options.media_name[1], options.id_column])
    return pa.schema([(name, pa.string()) for name in names if name])


def read_split(
    plan: SourcePlan, split: Split, batch_rows: int = 1_000, *, batch_bytes: int = 16 << 20
) -> Iterator[pa.Table]:
    """Reads one split as tables of ``plan.table_schema``, in the manifest's order.

    A row that cannot be read becomes a row with an error. Only a failing storage raises (OSError).

    Args:
        batch_rows: Largest number of rows in a table.
        batch_bytes: Approximate largest size of a table; tables are shorter if media are inline.
    """
    return (table for table in _tables(plan, split, batch_rows, batch_bytes) if len(table))


def _tables(
    plan: SourcePlan, split: Split, batch_rows: int, batch_bytes: int
) -> Iterator[pa.Table]:
    """See `read_split`. A table of rows of which none is wanted is empty."""
    read_with(plan.options.settings)
    reshape, wanted, left = plan.options.reshape, plan.wanted, split.most
    in_path, named = columns_in_path(split), plan.details[_NAMED]
    constants = {name: pa.scalar(in_path.get(name), pa.string()) for name in plan.in_path}
    if wanted is not None and not wanted.may_hold(constants):
        return
    for raw in _READERS[plan.format].read(plan, split, batch_rows, batch_bytes):
        raw.columns |= {
            name: pa.repeat(value, len(raw.numbers)) for name, value in constants.items()
        }
        raw = raw if wanted is None else wanted.of(raw)
        if left is not None:
            raw = raw if len(raw.numbers) <= left else raw.take(np.arange(left))
            left -= len(raw.numbers)
        raw.columns = {named.get(name, name): column for name, column in raw.columns.items()}
        yield finish(plan, split, reshape.rows(plan, split, raw) if reshape else raw)
        if left == 0:
            return


def count_rows(plan: SourcePlan) -> int | None:
    """Exact number of rows that the splits will yield. Reads text manifests to their end.

    ``None`` for WebDataset shards that are compressed or in a store, and with ``where``: counting
    would mean reading all of it.
    """
    total = 0
    for split in plan.splits:
        rows = count_split(plan, split)
        if rows is None:
            return None
        total += rows
    return total


def has_rows(plan: SourcePlan) -> bool:
    """Whether there is any row; reads at most one table."""
    if plan.total_rows is not None:
        return plan.total_rows > 0
    return any(len(table) for split in plan.splits for table in islice(_first_rows(plan, split), 1))


def _first_rows(plan: SourcePlan, split: Split) -> Iterator[pa.Table]:
    return read_patiently(
        partial(read_split, plan, split, batch_rows=1), f"{safe_uri(split.uri)} could not be read"
    )


def count_split(plan: SourcePlan, split: Split) -> int | None:
    """Exact number of rows of one split, as :func:`count_rows`."""
    read_with(plan.options.settings)
    if split.rows is None and plan.wanted is not None:
        return None
    rows = split.rows if split.rows is not None else _READERS[plan.format].count(plan, split)
    return rows if rows is None or split.max_rows is None else min(rows, split.max_rows)


def _checked(options: SourceOptions) -> SourceOptions:
    named = options.named_media
    if len(named) > 1:
        flags = " and ".join(f"--{kind}-column {name}" for kind, name in named.items())
        raise ConfigurationError(f"{flags}: a job reads one kind of media; keep one of them.")
    if options.limit is not None and options.limit < 0:
        raise ConfigurationError(f"--limit {options.limit}: allowed are 0 and more.")
    return options


def _check_columns(columns: pa.Schema, options: SourceOptions) -> None:
    names = columns.names
    if options.id_column and options.id_column not in names:
        raise ConfigurationError(
            f"--id-column {options.id_column}: no such column in the manifest. "
            f"Columns there: {', '.join(names) or 'none'}."
        )
    if options.id_column not in (None, "id") and "id" in names:
        raise ConfigurationError(
            f"--id-column {options.id_column}: the manifest also has a column 'id', and the output"
            " can hold one only. Rename it, or leave the option out to use it."
        )


def _free_names(names: Sequence[str]) -> dict[str, str]:
    """The name of each column from here on: ``manifest_<name>`` if the pipeline has a column of
    that name.

    A null character ends a name for some readers, so it is replaced.
    """
    free: dict[str, str] = {}
    for name in names:
        free[name] = name.replace("\0", "\ufffd")
        while free[name] in READ.names or (free[name] != name and free[name] in names):
            free[name] = f"manifest_{free[name]}"
    return free


def _passthrough(columns: pa.Schema, media_column: str | None) -> pa.Schema:
    fields = []
    for field in columns:
        kind = uri_type(field.type) if field.name == media_column else field.type
        if field.name != "id" and isinstance(kind, pa.DataType):
            fields.append(pa.field(field.name, kind))
    return pa.schema(fields)


def _limited(plan: SourcePlan) -> SourcePlan:
    """Limits the splits to the first `limit` rows, the same ones in every run."""
    left = plan.options.limit
    if left is None:
        return plan
    kept = []
    for number, split in enumerate(plan.splits):
        if left <= 0:
            break
        if plan.wanted is not None:
            wanted = replace(split, most=left)
            kept.append(replace(wanted, rows=sum(map(len, read_split(plan, wanted)))))
            left -= kept[-1].rows or 0
            continue
        capped = replace(split, max_rows=left)
        # no later split depends on its number of rows
        unread = number == len(plan.splits) - 1 and split.rows is None
        rows = None if unread else count_split(plan, capped)
        kept.append(replace(capped, rows=rows))
        left -= rows or 0
    return replace(plan, splits=kept)


@dataclass(frozen=True)
class _Sample:
    """What the heads of a few files show.

    Args:
        uris: Some URIs; one from each different folder comes first.
        several: Whether some row has more than one file.
        rows_about: Rows of the input if every file had as many as were read of these.
        row_bytes: Mean bytes of a row in memory.
    """

    uris: list[str]
    several: bool
    rows_about: int
    row_bytes: int


def _sample(plan: SourcePlan) -> _Sample:
    places: dict[str, str] = {}
    others: list[str] = []
    several = False
    rows = size = 0
    chosen = plan.splits[:: -(-len(plan.splits) // _SAMPLED_FILES) or 1]
    for split in chosen:
        tables = islice(
            _tables(plan, split, _SAMPLED_ROWS, _SAMPLED_BYTES),
            1 if plan.wanted is None else _LOOKED_AT,
        )
        for table in islice((table for table in tables if len(table)), 1):
            rows, size = rows + len(table), size + table.nbytes
            column = table["__media"].combine_chunks()
            several = several or (pc.max(pc.list_value_length(column)).as_py() or 0) > 1
            for media in column.flatten().to_pylist():
                if media["uri"] is None or media["bytes"] is not None:
                    continue
                place = media["uri"].rpartition("/")[0]
                if place in places:
                    others.append(media["uri"])
                places.setdefault(place, media["uri"])
    return _Sample(
        [*places.values(), *others][:_SAMPLED_URIS],
        several,
        rows_about=rows * len(plan.splits) // max(1, len(chosen)),
        row_bytes=size // max(1, rows),
    )
