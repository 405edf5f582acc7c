"""Runs one export: checks what the form needs, cuts the output into parts, and hands them to the
form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from internvl_ops.errors import ConfigurationError
from internvl_ops.stores.redaction import safe_uri
from pipelines.exports.answers import OutputView
from pipelines.exports.counts import ExportCounts
from pipelines.exports.files import FilesForm, export_files
from pipelines.exports.forms import FORMS
from pipelines.exports.options import ExportOptions
from pipelines.exports.parts import plan_parts
from pipelines.exports.rows import Beside, ResultReader, rows_of_file, sizes_of
from pipelines.exports.runner import runner
from pipelines.exports.tables import TableForm, export_table
from pipelines.exports.target import Target
from pipelines.options.rules import refuse
from pipelines.output.folder import OutputFolder
from pipelines.sources.condition import Condition

_SAMPLED = 100  # rows whose media are checked before anything is fetched


@dataclass(frozen=True)
class PlannedExport:
    """An export whose options fit the output.

    Args:
        options: Its options.
        output: The output that is exported.
        form: What is written.
        reader: Reads the rows.
        target: Where it is written.
    """

    options: ExportOptions
    output: OutputFolder
    form: FilesForm | TableForm
    reader: ResultReader
    target: Target

    def describe(self) -> str:
        """What ``--dry-run`` prints."""
        sizes = sizes_of(self.output)
        rows = sum(rows_of_file(self.output, name) for name in sizes)
        columns = ", ".join(self.reader.needs or self.reader.schema.names)
        done = self.target.done()
        there = (
            "nothing"
            if done is None
            else f"an export of {done.get('rows_out', 0):,} rows, which is brought up to date"
        )
        lines = [
            (
                f"read      {safe_uri(self.output.uri)}: {len(sizes):,} file(s),"
                f" {sum(sizes.values()) / 1e6:,.1f} MB, {rows:,} rows; {columns}"
            ),
            f"where     {self.options.where or 'all rows'}",
            f"write     {self.options.to} to {safe_uri(self.target.uri)}",
            f"there     {there}",
        ]
        return "\n".join(lines)

    def write(self) -> ExportCounts:
        """Writes the export.

        Returns:
            What became of the rows.

        Raises:
            ConfigurationError: The media may not be read.
            OSError: The store did not take a file.
        """
        form, output, reader, target = self.form, self.output, self.reader, self.target
        if isinstance(form, TableForm):
            return export_table(form, reader, target, output)
        parts = plan_parts(
            sizes_of(output), form.identity(), form.part_bytes, partial(rows_of_file, output)
        )
        first = next(reader.batches(parts[0].rows, ExportCounts()), None) if form.fetches else None
        if first is not None:
            form.check_media(first.slice(0, _SAMPLED).to_pylist())
        with runner(self.options, wanted=form.fetches and len(parts) > 1) as run:
            return export_files(form, reader, target, parts, run)


def plan_export(
    options: ExportOptions, output: OutputFolder, answers: OutputView, beside: Sequence[Beside] = ()
) -> PlannedExport:
    """Checks that the export can be made. Writes nothing, but ends what an earlier export had all
    but ended.

    Args:
        options: Its options.
        output: The output that is exported.
        answers: The same, as exports see it.
        beside: Other tables about the same units, which join the rows before the form sees them.

    Raises:
        ConfigurationError: The form cannot be made of this output, or the target holds something
            else.
    """
    read = answers.schema
    for other in beside:
        answers = replace(answers, schema=other.columns(answers.schema))
    form: FilesForm | TableForm = FORMS[options.to].load()(options, answers)
    form.joined = tuple(other.key for other in beside)
    where = Condition(options.where) if options.where else None
    if where is not None:
        where.check(answers.schema)
    if options.split_column is not None and options.split_column not in answers.schema.names:
        raise ConfigurationError(
            f"--split-column {options.split_column}: results have no such column. Columns there: "
            f"{', '.join(answers.schema.names)}."
        )
    check_effects(options, form)
    form.check()
    target = Target(options.output)
    reader = ResultReader(answers.uri, read, form.needs, where, beside)
    if isinstance(form, FilesForm):
        target.check_ours()
        if not options.dry_run:
            target.finish_commit()
    check_same(options, target)
    return PlannedExport(options, output, form, reader, target)


def check_effects(options: ExportOptions, form: FilesForm | TableForm) -> None:
    """Refuses options that have no effect on a form.

    Raises:
        ConfigurationError: Naming the option.
    """
    if options.media != "auto" and options.media not in form.media_modes:
        refuse(options, ("media",), f"--to {options.to} does not write media so")
    if options.to != "iceberg":
        refuse(options, ("catalog",), "it is for --to iceberg")
    if options.to != "webdataset":
        refuse(options, ("shard_mb",), "it is for --to webdataset")
    if not form.fetches:
        fetching = (
            "allow",
            "http_header",
            "s3_anonymous",
            "max_bytes",
            "fetch_timeout",
            "ray_address",
        )
        refuse(options, fetching, "this export fetches no media")
    if not form.fetches or form.answers.media_kind != "document":
        refuse(options, ("pdf_password",), "this export renders no pages of documents")


def check_same(options: ExportOptions, target: Target) -> None:
    """Refuses to replace an export that has another form or other options.

    Raises:
        ConfigurationError: Naming a difference.
    """
    done = target.done()
    if done is None or options.overwrite:
        return
    now = options.identity()
    for name, value in done.get("options", {}).items():
        if now.get(name) != value:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigurationError(
                f"--output {safe_uri(options.output)} holds an export with {flag} {_said(value)};"
                f" now it is {_said(now.get(name))}. Give another --output, or --overwrite to"
                " replace it."
            )


def _said(value: object) -> str:
    return "not given" if value is None else str(value)
