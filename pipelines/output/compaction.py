"""Merges small files of an output into larger ones. Each row counts once at every moment; see
`merges`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.output.documented import note_merge
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.merges import MERGE, MERGED, Merge
from pipelines.output.overwrite import overwriting_run
from pipelines.output.ownership import MARK, mark, named_run
from pipelines.output.parquet_bytes import GROUP_BYTES, rows_per_group
from pipelines.output.redo import finish_redo
from pipelines.output.resume import drop_old_errors

_OWN = (MARK, MERGED)  # what files of one kind may differ in


@dataclass
class Compacted:
    """What a compaction did, or would do.

    Args:
        before: Number of files before, in ``results/`` and ``errors/``.
        after: Number of files after.
        rows: Number of rows in merged files.
        left: Files that no run of this project wrote, which stay as they are.
    """

    before: int = 0
    after: int = 0
    rows: int = 0
    left: int = 0


def finish_merge(output: OutputFolder) -> None:
    """Ends a merge whose process died: it is done, or as if it had not begun. For the holder of the
    lease."""
    merge = output.merge_there()
    if merge is None:
        return
    if output.is_merged(merge):
        note_merge(output, merge.sources, merge.target)
        for name in merge.sources:
            if name != merge.target and output.writer(name) is not None:
                output.remove(name)
    output.remove(MERGE)


def compact(
    output: OutputFolder, file_bytes: int, *, told: Callable[[str], None] = lambda line: None
) -> Compacted:
    """Merges files that are small into files of about ``file_bytes``. For the holder of the lease.

    Args:
        output: The output.
        file_bytes: Size of a full file. Files of at least half of it stay as they are.
        told: Called with a line for each merged file.

    Raises:
        ConfigurationError: An overwrite has not ended.
        OSError: The store did not take a file.
    """
    if run := overwriting_run(output):
        raise ConfigurationError(
            f"--output {safe_uri(output.uri)}: run {run} began to replace everything here"
            " (--overwrite), and did not end. Repeat its command, and compact what it leaves."
        )
    finish_merge(output)
    finish_redo(output)
    drop_old_errors(output)  # in one file it would not show which of two errors is newer
    done = Compacted()
    for folder in (RESULTS, ERRORS):
        for group in groups(output, folder, file_bytes, done):
            rows = _merge(output, group)
            done.rows += rows
            told(
                f"{folder}: {len(group):,} files with {rows:,} rows are now"
                f" {group[-1].rpartition('/')[2]}"
            )
    return done


def groups(
    output: OutputFolder, folder: str, file_bytes: int, counted: Compacted
) -> Iterator[list[str]]:
    """The files to merge: neighbours by name, with the same columns and settings, written by runs
    of this project.

    Their order stays: the newest file says what an output is, and of two errors of a unit the newer
    one counts.
    """
    group: list[str] = []
    size, kind = 0, None
    for name in output.files(folder):
        counted.before += 1
        counted.after += 1
        bytes_there = output.size(name)
        schema = output.read_schema(name) if output.writer(name) is not None else None
        counted.left += schema is None
        small = schema is not None and bytes_there < file_bytes / 2
        now = _kind(schema) if schema is not None and small else None
        if group and (now is None or now != kind or size + bytes_there > file_bytes):
            counted.after -= len(group) - 1
            yield from [group] if len(group) > 1 else []
            group, size = [], 0
        if now is not None:
            group.append(name)
            size, kind = size + bytes_there, now
    if len(group) > 1:
        counted.after -= len(group) - 1
        yield group


def _kind(schema: pa.Schema) -> tuple[str, dict[bytes, bytes]]:
    """What files that may be merged have in common."""
    columns = [
        f"{field.name}: {field.type} {sorted((field.metadata or {}).items())}" for field in schema
    ]
    return "\n".join(columns), {
        key: value for key, value in (schema.metadata or {}).items() if key not in _OWN
    }


def _merge(output: OutputFolder, names: list[str]) -> int:
    """Merges files, in their order, into the last of them. Returns the number of rows."""
    *sources, target = names
    merge = Merge(secrets.token_hex(8), target, tuple(sources))
    data, rows = _joined(output, names, merge)
    output.write_bytes(MERGE, merge.text())
    output.write_bytes(target, data)
    finish_merge(output)
    return rows


def _joined(output: OutputFolder, names: list[str], merge: Merge) -> tuple[bytes, int]:
    """The rows of files as one Parquet file, and their number. Holds one of the files, and the new
    one, in memory."""
    schema = output.read_schema(merge.target)
    named = named_run(merge.target)
    assert named is not None, "only files of runs are merged"
    own = {**mark(named[0]), **(schema.metadata or {}), MERGED: merge.id.encode()}
    schema = schema.with_metadata(own)
    sink, rows = pa.BufferOutputStream(), 0
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        for name in names:
            waiting.append(output.read_table(name).cast(schema))
            rows += len(waiting[-1])
            if sum(table.nbytes for table in waiting) >= GROUP_BYTES or name == names[-1]:
                joined = pa.concat_tables(waiting)
                writer.write_table(joined, rows_per_group(joined))
                waiting = []
    return bytes(sink.getvalue().to_pybytes()), rows
