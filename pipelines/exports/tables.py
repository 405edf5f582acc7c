"""Drives the forms that are tables: a commit for each run of the output, which names the run.

A table remembers, in the same commit, which content of a run it has. A run whose content is there
already is passed over, so that repeating an export changes nothing. Rows whose id is in the table
already replace the row there; if a run has none, its rows are appended. Rows are streamed, and of
the table only the digests of its ids are in memory.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.exports.base import ExportForm
from pipelines.exports.counts import ExportCounts
from pipelines.exports.parts import RowRange, json_digest
from pipelines.exports.records import check_export_columns
from pipelines.exports.rows import ResultReader, sizes_of
from pipelines.exports.target import DONE, UNFINISHED, Target
from pipelines.ledger.finished import FinishedUnits, unit_key, unit_keys
from pipelines.output.folder import OutputFolder
from pipelines.output.ownership import named_run

OTHERS = "no run"  # of files in results/ that no run wrote
SPLIT = "split"  # column with the split of a row, if splits are asked for
PROGRAM = "internvl-batch"  # tells tables of this program from others


class TableForm(ExportForm):
    """Writes a form of table."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of the table."""
        kept = self.options.kept_columns
        fields = [
            field for field in self.answers.schema if kept is None or field.name in (*kept, "id")
        ]
        split = [pa.field(SPLIT, pa.string())] if self.splitter.asked else []
        return pa.schema([field.remove_metadata() for field in fields] + split)

    @property
    def needs(self) -> tuple[str, ...]:
        return (*self.schema.names, *self.splitter.needs)

    def check(self) -> None:
        check_export_columns(self.options.kept_columns or (), self.answers.schema)
        if self.options.overwrite:
            raise ConfigurationError(
                f"--overwrite: a {self.options.to} table is added to, by id. Give another --output,"
                " or remove it."
            )
        if self.splitter.asked and SPLIT in self.answers.schema.names:
            raise ConfigurationError(
                f"--split: results have a column {SPLIT!r} already. Use it by --split-column"
                f" {SPLIT}, or leave it out by --columns."
            )

    def open(self, target: Target) -> bool:
        """Opens the table.

        Returns:
            Whether there is one.

        Raises:
            ConfigurationError: There is one that no export wrote.
        """
        raise NotImplementedError

    def committed(self, run: str) -> str | None:
        """The key of the content of a run that the table has; None if it has none."""
        raise NotImplementedError

    def ids(self) -> Iterator[pa.Array | pa.ChunkedArray]:
        """The ids in the table, in batches."""
        raise NotImplementedError

    def commit(self, run: str, key: str, rows: pa.RecordBatchReader, *, again: bool) -> None:
        """Adds the rows of a run in one commit, which makes the table if there is none.

        Args:
            run: Id of the run; the commit names it.
            key: Key of the content; in the same commit.
            rows: The rows; can be read once.
            again: Whether some ids are in the table already: these rows replace those.
        """
        raise NotImplementedError


def foreign(target: Target, what: str) -> ConfigurationError:
    """The error for a table that no export wrote."""
    return ConfigurationError(
        f"--output {safe_uri(target.uri)} is {what} that no export of this program made. Give an"
        " empty or a new folder."
    )


def export_table(
    form: TableForm, reader: ResultReader, target: Target, output: OutputFolder
) -> ExportCounts:
    """Writes an export to a table.

    Returns:
        The counts, of all runs.

    Raises:
        ConfigurationError: The target holds something else.
        OSError: The store did not take a commit.
    """
    if not form.open(target):
        target.check_ours()
    before = target.done() or {}
    sizes = sizes_of(output)
    runs: dict[str, list[str]] = {}
    for name in sizes:
        named = named_run(name)
        runs.setdefault(named[0] if named else OTHERS, []).append(name)
    keys = {
        run: json_digest([[[name, sizes[name]] for name in names], form.identity()])[:15]
        for run, names in runs.items()
    }
    target.begin({"to": form.options.to, "runs": len(runs)})
    commits = _Commits(form, reader, target)
    counts, told = ExportCounts(), {}
    for run, names in runs.items():
        of_run = commits.make(run, keys[run], names, before.get("runs", {}).get(run, {}))
        told[run] = {"key": keys[run], **of_run.as_dict()}
        counts.add(of_run)
    counts.check()
    target.write_json(DONE, {**form.about(counts), "runs": told})
    target.remove_folder(UNFINISHED)
    return counts


class _Commits:
    def __init__(self, form: TableForm, reader: ResultReader, target: Target) -> None:
        self._form, self._reader, self._target = form, reader, target
        self._there: FinishedUnits | None = None

    def make(
        self, run: str, key: str, names: Sequence[str], before: Mapping[str, Any]
    ) -> ExportCounts:
        """Commits the rows of a run, unless the table has them. Returns their counts."""
        is_there = self._form.committed(run) == key
        if is_there and before.get("key") == key:
            return ExportCounts.from_dict(dict(before))
        part = [RowRange(name) for name in names]
        counts, again = self._counted(part)
        if is_there or not counts.rows_out:
            return counts
        failed: list[Exception] = []
        rows = pa.RecordBatchReader.from_batches(self._form.schema, self._batches(part, failed))
        try:
            self._form.commit(run, key, rows, again=again)
        except Exception as error:
            # Libraries wrap an error of the rows that they read.
            raise (failed[0] if failed else self._in_words(error)) from error
        return counts

    def _counted(self, part: Sequence[RowRange]) -> tuple[ExportCounts, bool]:
        """The counts of a part, and whether the table has one of its ids."""
        reader = self._reader.narrowed(["id", *self._form.splitter.needs])
        counts, again = ExportCounts(), False
        for rows, splits in self._wanted(reader, part, counts):
            counts.out.update(splits)
            again = again or bool(
                (self._known.find([unit_key(one) for one in rows["id"].to_pylist()]) >= 0).any()
            )
        counts.check()
        return counts, again

    def _batches(
        self, part: Sequence[RowRange], failed: list[Exception]
    ) -> Iterator[pa.RecordBatch]:
        schema = self._form.schema
        try:
            for rows, splits in self._wanted(self._reader, part, ExportCounts()):
                chosen = rows.select([name for name in schema.names if name in rows.column_names])
                if self._form.splitter.asked:
                    chosen = chosen.append_column(SPLIT, pa.array(splits, pa.string()))
                yield from chosen.cast(schema).to_batches()
        except Exception as error:
            failed.append(error)
            raise

    def _wanted(
        self, reader: ResultReader, part: Sequence[RowRange], counts: ExportCounts
    ) -> Iterator[tuple[pa.Table, list[str]]]:
        """The rows of a part that are in a split, and their splits."""
        for rows in reader.batches(part, counts):
            splits = self._form.splitter.splits_of(rows)
            inside = [split is not None for split in splits]
            counts.left_out["split"] += inside.count(False)
            wanted = rows.filter(pa.array(inside, pa.bool_()))
            if len(wanted):
                yield wanted, [split for split in splits if split is not None]
        counts.left_out = +counts.left_out

    @property
    def _known(self) -> FinishedUnits:
        """The ids of the table before this export; no two runs of an output have an id in
        common."""
        if self._there is None:
            self._there = FinishedUnits()
            for ids in self._form.ids():
                self._there.add(unit_keys(ids), 0)
        return self._there

    def _in_words(self, error: Exception) -> Exception:
        said = " ".join(str(error).split())
        if "No space left on device" in said or getattr(error, "errno", None) == errno.ENOSPC:
            return OSError(errno.ENOSPC, said)
        if isinstance(error, ConfigurationError):
            return error
        return OSError(
            f"--output {safe_uri(self._target.uri)}: the table could not be written: {said:.600}"
        )
