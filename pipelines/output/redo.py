"""Answers again: new rows of units that have a row already take the place of the old ones, file by
file.

A run with ``--only`` writes its rows to ``_runs/.redo/`` first. At its end, each file of
``results/`` that holds an old row is written again under its own name with the new row in the same
place, in one step. So at every moment, for every reader, a unit has its old or its new row. If the
run dies before that, or in the middle, the next one goes on with it. A unit that fails again keeps
its result, and its error goes to ``_runs/<run id>/failed/``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.output.documented import mark_stale
from pipelines.output.fences import STAGED_ERRORS, STAGED_RESULTS
from pipelines.output.folder import ERRORS, RESULTS, RUNS, OutputFolder
from pipelines.output.merges import MERGED
from pipelines.output.ownership import MARK, mark, named_run
from pipelines.output.parquet_bytes import as_parquet

HISTORY = "history"
KEEPS_HISTORY = b"keep_history"  # in the metadata of a staged file
FOLDERS = {RESULTS: STAGED_RESULTS, ERRORS: STAGED_ERRORS}
_AGAIN = b"rewritten_by"  # in the metadata of a file of results/ in which rows were replaced
_SUFFIX = ".again"


@dataclass
class Replaced:
    """What became of the units that were done again.

    Args:
        results: Units whose result was replaced by a new one.
        errors: Units that had an error or no row, and have a result now.
        failed: Units without a result whose new error replaces the old one.
        kept: Units that failed and keep the result that they had.
    """

    results: int = 0
    errors: int = 0
    failed: int = 0
    kept: int = 0


def finish_redo(output: OutputFolder, *, part: bool = False) -> Replaced:
    """Puts rows that were written again into the places of the old ones. For the holder of the
    lease.

    It may die at any call of the store and be repeated.

    Args:
        output: The output.
        part: Whether the lease is that of a part of a job, beside which others may run.

    Raises:
        ConfigurationError: A part was to finish what a whole run began.
    """
    results, errors = output.files(STAGED_RESULTS), output.files(STAGED_ERRORS)
    if not results and not errors:
        return Replaced()
    if part:
        raise ConfigurationError(
            f"--shard: a run with --only did not end on {safe_uri(output.uri)}. Repeat its command"
            " first, or run `internvl-batch compact` on the output, which ends it."
        )
    done = Replaced()
    staged, failed = _Staged.of(output, results), _Staged.of(output, errors)
    had_result = np.zeros(len(failed.ids), bool)
    owned = output.writers(RESULTS)
    newest = max((name for name in owned if owned[name]), default=None)
    for name, table in output.read_tables(RESULTS, ["id", "run_id"]):
        had_result |= _within(failed.ids, table["id"])
        if owned.get(name) is not None:
            done.results += _replace_in(output, name, table, staged)
    for index, name in enumerate(results):
        rows = output.read_table(name).filter(pa.array(~staged.placed_of(index), pa.bool_()))
        done.errors += len(rows)
        _put(output, RESULTS, name, rows, newest or _newest(output, ERRORS))
    for index, name in enumerate(errors):
        of_results = pa.array(had_result[failed.slice_of(index)], pa.bool_())
        rows = output.read_table(name)
        kept, moved = rows.filter(of_results), rows.filter(pc.invert(of_results))
        done.kept, done.failed = done.kept + len(kept), done.failed + len(moved)
        _put(output, ERRORS, name, moved, _newest(output, ERRORS) or newest)
        if len(kept):
            output.write_table(f"{RUNS}/{_run_of(name)}/failed/{name.rpartition('/')[2]}", kept)
    for name in (*results, *errors):
        output.remove(name)
    return done


@dataclass
class _Staged:
    """The rows of staged files, in the order of the files.

    Args:
        files: Names of the files.
        ids: Ids of all rows.
        runs: Run of each row.
        starts: Where the rows of each file begin, and the number of all rows.
        placed: bool (n,): rows that stand in ``results/``.
    """

    files: Sequence[str]
    ids: pa.Array
    runs: pa.Array
    starts: np.ndarray
    placed: np.ndarray = field(repr=False)
    _read: tuple[str, pa.Table] | None = None

    @classmethod
    def of(cls, output: OutputFolder, files: Sequence[str]) -> _Staged:
        tables = [output.read_table(name, ["id", "run_id"]) for name in files]
        rows = (
            pa.concat_tables(tables)
            if tables
            else pa.table({"id": pa.array([], pa.string()), "run_id": []})
        )
        columns = [rows[name].cast(pa.string()).combine_chunks() for name in ("id", "run_id")]
        starts = np.cumsum([0, *map(len, tables)])
        return cls(files, columns[0], columns[1], starts, np.zeros(len(rows), bool))

    def slice_of(self, index: int) -> slice:
        return slice(int(self.starts[index]), int(self.starts[index + 1]))

    def placed_of(self, index: int) -> np.ndarray:
        return self.placed[self.slice_of(index)]

    def rows(self, output: OutputFolder, places: np.ndarray) -> pa.Table:
        """Rows by their places, in this order."""
        files = np.searchsorted(self.starts, places, side="right") - 1
        parts, order = [], []
        for index in np.unique(files).tolist():
            mine = np.flatnonzero(files == index)
            if self._read is None or self._read[0] != self.files[index]:
                self._read = self.files[index], output.read_table(self.files[index])
            parts.append(self._read[1].take(pa.array(places[mine] - self.starts[index])))
            order.append(mine)
        return pa.concat_tables(parts).take(pa.array(np.argsort(np.concatenate(order))))


def _within(ids: pa.Array, there: pa.ChunkedArray) -> np.ndarray:
    return pc.is_in(ids, value_set=there.cast(pa.string()).combine_chunks()).to_numpy(
        zero_copy_only=False
    )


def _replace_in(output: OutputFolder, name: str, ids: pa.Table, staged: _Staged) -> int:
    """Writes a file of results again with the new rows in the places of the old ones. Returns how
    many."""
    found = pc.index_in(ids["id"].cast(pa.string()), value_set=staged.ids)
    at = np.flatnonzero(pc.is_valid(found).to_numpy())
    places = found.drop_null().to_numpy().astype(np.int64)
    staged.placed[places] = True
    theirs = ids["run_id"].cast(pa.string()).take(pa.array(at)).to_numpy()
    new = theirs != staged.runs.take(pa.array(places)).to_numpy(zero_copy_only=False)
    at, places = at[new], places[new]
    if not len(at):
        return 0
    table, rows = output.read_table(name), staged.rows(output, places)
    run = _run_of(staged.files[0])
    old = table.take(pa.array(at))
    if output.read_metadata(staged.files[0]).get(KEEPS_HISTORY):
        output.write_table(f"{HISTORY}/{run}.{name.rpartition('/')[2]}", old)
    if "parent" in table.column_names:
        mark_stale(output, old["parent"].drop_null().to_pylist())
    schema = _with_new_columns(table.schema, rows.schema)
    order = np.arange(len(table))
    order[at] = len(table) + np.arange(len(at))
    joined = (
        pa.concat_tables([_fit(table, schema), _fit(rows, schema)])
        .take(pa.array(order))
        .combine_chunks()
    )
    _write_again(output, name, joined, run)
    return len(at)


def _write_again(output: OutputFolder, name: str, table: pa.Table, run: str) -> None:
    """Replaces a file. An export knows a file that it has by name and size, so the size becomes
    another one."""
    named = named_run(name)
    assert named is not None, "only files of runs are rewritten"
    before = output.size(name)
    said = {**mark(named[0]), **(table.schema.metadata or {}), _AGAIN: run.encode()}
    data = as_parquet(table.replace_schema_metadata(said))
    while len(data) == before:
        said[_AGAIN] += b" "
        data = as_parquet(table.replace_schema_metadata(said))
    output.write_bytes(name, data)


def _put(output: OutputFolder, folder: str, staged: str, rows: pa.Table, like: str | None) -> None:
    """Writes rows of units without a result as a new file, with the settings of the output's own
    answers.

    The name is one that no fence counts: a run that was taken over has no file of it.
    """
    if not len(rows):
        return
    named = named_run(staged)
    assert named is not None, "staged files are those of runs"
    name = f"{named[0]}{_SUFFIX}"
    there: dict[bytes, Any] = {}
    if like is not None:
        schema = output.read_schema(like)
        there = {
            key: value
            for key, value in (schema.metadata or {}).items()
            if key not in (MARK, MERGED, _AGAIN)
        }
        if like.startswith(f"{folder}/"):
            rows = _fit(rows, _with_new_columns(schema, rows.schema))
    said = {**(rows.schema.metadata or {}), **there, **mark(name)}
    said.pop(KEEPS_HISTORY, None)
    output.write_table(
        f"{folder}/{name}-{named[1]:06d}.parquet", rows.replace_schema_metadata(said)
    )


def _newest(output: OutputFolder, folder: str) -> str | None:
    return max((name for name in output.files(folder) if named_run(name)), default=None)


def _run_of(name: str) -> str:
    named = named_run(name)
    assert named is not None, "staged files are those of runs"
    return named[0]


def _with_new_columns(there: pa.Schema, now: pa.Schema) -> pa.Schema:
    """The columns of a file, and those that it lacks."""
    new = [column for column in now if column.name not in there.names]
    return pa.schema([*there, *new], metadata=there.metadata)


def _fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table in these columns; those that it lacks are null."""
    columns = [
        (
            table[column.name].cast(column.type)
            if column.name in table.column_names
            else pa.nulls(len(table), column.type)
        )
        for column in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)
