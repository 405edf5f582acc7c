"""One table over many runs: every file of an output has the columns of its first file, in the same
order and types.

Polars and datasets refuse files whose columns differ, and old files are never rewritten. So the
first run settles the columns. Columns that a later manifest lacks are null. Additional columns go
into ``more_columns``, as JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from internvl_ops.errors import ConfigurationError
from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from pipelines import columns as c
from pipelines.options.job_options import JobOptions
from pipelines.output.folder import ERRORS, RESULTS, OutputFolder
from pipelines.output.overwrite import replaced_files
from pipelines.output.ownership import named_run
from pipelines.output.result_columns import (
    DOCUMENT_INFO,
    ERROR_SCHEMA,
    MEASURE_COLUMNS,
    carried_names,
    first_own,
    kept_names,
    own_columns,
    result_schema,
)
from pipelines.output.types_there import holds
from pipelines.sources import SourcePlan, has_rows
from pipelines.stages.carried import Carry
from pipelines.wiring.media import explodes

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Columns:
    """The columns that a run writes, given the earlier files of the output.

    Args:
        schema: Schema of ``results/``.
        names: Names of the manifest's columns from the first stage on.
        types: For carried columns that are read with another type, the type of the output; by the
            names above.
        folded: Columns that go into ``more_columns``: their names as above, and in the manifest.
        absent: Columns that the output has and for which this run has no values.
    """

    schema: pa.Schema
    names: Mapping[str, str]
    types: Mapping[str, pa.DataType] = field(default_factory=dict)
    folded: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    def carry(self, plan: SourcePlan) -> Carry:
        """The function that converts rows of ``plan`` to these columns."""
        needed = tuple(kept for kept, name in self.folded.items() if plan.is_asked(name))
        return Carry(dict(self.types), dict(self.folded), needed, more=c.MORE in self.schema.names)

    @property
    def note(self) -> str | None:
        """A notice for the user, if there is one."""
        if not self.folded:
            return None
        names = ", ".join(map(repr, self.folded.values()))
        return (
            f"the output was begun without column {names}: values go into {c.MORE}, as JSON"
            " (--new-columns)"
        )


def own_columns_of(options: JobOptions, plan: SourcePlan, task: Task) -> pa.Schema:
    """Columns of results apart from the manifest's."""
    answered = task.outcome.columns(task.columns, samples=options.n, log_probs=options.log_probs)
    measures = MEASURE_COLUMNS[plan.media_kind, explodes(options, plan.media_kind)]
    stats = c.STATS if options.media_stats else pa.schema([])
    layer = [c.TEXT_LAYER, c.COMPARED] if options.text_layer != "ignore" else []
    return own_columns(task, answered, pa.unify_schemas([measures, stats, *layer]))


def columns_of(
    output: OutputFolder,
    options: JobOptions,
    plan: SourcePlan,
    task: Task,
    passed_over: Collection[str] = (),
) -> Columns:
    """The columns that a run writes, so that its files and the earlier ones form one table.

    Raises:
        ConfigurationError: They cannot form one table, or the options forbid it; the message names
            the columns.
    """
    own, earlier = own_columns_of(options, plan, task), _look(output, passed_over)
    if earlier is not None and earlier.folder == RESULTS:
        # An output that was begun before there were these columns stays as it is; without the
        # number of parts, its files are listed again every night.
        later = {c.NUM_PARTS, *DOCUMENT_INFO}.difference(earlier.schema.names)
        own = pa.schema([field for field in own if field.name not in later])
    names = _names(plan.schema, own, earlier.schema if earlier else None)
    now = result_schema(plan.schema, task, own, names)
    if earlier is None:
        return Columns(now, names)
    new = {
        names[name]: name for name in plan.schema.names if names[name] not in earlier.schema.names
    }
    unseen = [names[name] for name in plan.details.get("unseen", ()) if name in names]
    try:
        schema = _fit(output, now, earlier, options.new_columns, unseen)
    except ConfigurationError:
        if has_rows(plan):
            raise
        return Columns(now, names)  # an empty manifest writes nothing
    carried = [name for name in carried_names(schema) if name in now.names]
    return Columns(
        schema=schema,
        names=names,
        types={
            name: schema.field(name).type
            for name in carried
            if schema.field(name).type != now.field(name).type
        },
        folded={} if options.new_columns == "add" else new,
        absent=tuple(name for name in schema.names if name not in now.names),
    )


def check_columns(output: OutputFolder, options: JobOptions, plan: SourcePlan, task: Task) -> None:
    """Refuses, before anything starts, what `columns_of` would refuse. Logs which columns are
    new."""
    said = columns_of(output, options, plan, task, replaced_files(output)).note
    if said:
        note(logger, "notice", f"Note: {said}")


def fit_schema(
    output: OutputFolder,
    schema: pa.Schema,
    passed_over: Collection[str] = (),
    *,
    new_columns: str = "json",
    unseen: Collection[str] = (),
) -> pa.Schema:
    """``schema`` with the columns of the newest results, if those can hold every value.

    Args:
        output: Output with the files of earlier runs.
        schema: Schema of the results that this run would write.
        passed_over: Files that do not count.
        new_columns: How to treat columns that the output lacks; see the option.
        unseen: Columns of which no value was seen, so that their type means nothing.

    Raises:
        ConfigurationError: The output has no such column, or its type cannot hold the values, so
            that readers would fail or read wrong values. The message names all such columns.
    """
    earlier = _look(output, passed_over)
    return schema if earlier is None else _fit(output, schema, earlier, new_columns, unseen)


def _fit(
    output: OutputFolder,
    schema: pa.Schema,
    earlier: _Earlier,
    new_columns: str,
    unseen: Collection[str],
) -> pa.Schema:
    """See `fit_schema`."""
    there = earlier.schema
    if earlier.folder == ERRORS:  # errors have only the manifest's columns
        there = pa.schema([schema.field("id"), *there, *list(schema)[first_own(schema) :]])
    differing, fields = [], []
    for older in there:
        now = schema.field(older.name) if older.name in schema.names else older.remove_metadata()
        if holds(older.type, now.type) or now.name in unseen:
            fields.append(now.with_type(older.type))
        else:
            differing.append(f"column {now.name!r} is {older.type} there, {now.type} now")
    if differing:
        raise ConfigurationError(
            f"--output {safe_uri(output.uri)} and the input do not make one table:"
            f" {'; '.join(differing)}. Give the column its old type or another name in the input,"
            " give a new --output, or --overwrite to do all again."
        )
    new = [one for one in schema if one.name not in there.names]
    return _with_new(
        output, pa.schema(fields, metadata=schema.metadata), new, carried_names(schema), new_columns
    )


def _with_new(
    output: OutputFolder,
    schema: pa.Schema,
    new: list[pa.Field],
    carried: list[str],
    new_columns: str,
) -> pa.Schema:
    """``schema`` with the additional columns, as far as they become columns of the output."""
    settled = c.MORE in schema.names or not any(one.name == c.MORE for one in new)
    manifests = [one for one in new if one.name in carried and one.name != c.MORE]
    own = [one for one in new if one.name not in carried]
    refused = [one.name for one in manifests if new_columns == "refuse" or not settled]
    # an unsettled output is of an older version and may lack them
    refused += [one.name for one in own if settled]
    if refused and new_columns != "add":
        hint = (
            ""
            if settled or new_columns == "refuse"
            else f" It was begun before there was a column {c.MORE}."
        )
        keep = (
            ", --new-columns json to keep them in the column more_columns"
            if settled and not own
            else ""
        )
        raise ConfigurationError(
            f"--output {safe_uri(output.uri)} has no column {', '.join(map(repr, refused))}; Polars"
            f" and datasets do not read files with different columns as one table.{hint} Give a new"
            f" --output{keep}, or --new-columns add to write them to the new files alone."
        )
    if new_columns != "add":
        return pa.schema([*schema, *([] if settled else own)], metadata=schema.metadata)
    first = schema.names.index(c.MORE) if c.MORE in schema.names else first_own(schema)
    more = [one for one in new if one.name == c.MORE]
    fields = list(schema)
    return pa.schema(
        [*fields[:first], *manifests, *more, *fields[first:], *own], metadata=schema.metadata
    )


@dataclass(frozen=True)
class _Earlier:
    """The columns of the newest results. If there are no results, the manifest's columns in the
    newest errors."""

    schema: pa.Schema
    folder: str


def _look(output: OutputFolder, passed_over: Collection[str]) -> _Earlier | None:
    for folder in (RESULTS, ERRORS):
        if newest := _newest(output, folder, passed_over):
            schema = output.read_schema(newest)
            own = {*ERROR_SCHEMA.names, *c.PART_COLUMNS} if folder == ERRORS else set()
            return _Earlier(pa.schema([one for one in schema if one.name not in own]), folder)
    return None


def _newest(output: OutputFolder, folder: str, passed_over: Collection[str]) -> str | None:
    names = [name for name in output.files(folder) if name not in passed_over]
    # other files have names that do not tell their age
    runs = [name for name in names if named_run(name)]
    return max(runs or names, default=None)


def _names(passthrough: pa.Schema, own: pa.Schema, there: pa.Schema | None) -> dict[str, str]:
    """As `kept_names`. Columns that the output has come first; names that differ only in case are
    the same column."""
    known = [] if there is None else carried_names(there)
    if there is not None:  # an output of another kind of media may have other columns of its own
        taken_there = {*own.names, *known, "id"}
        own = pa.schema([*own, *(one for one in there if one.name not in taken_there)])
    first = sorted(passthrough, key=lambda one: one.name not in known)
    names = kept_names(pa.schema(first), own)
    same = {name.casefold(): name for name in known}
    taken = {name for name in names.values() if name in known}
    for name, kept in names.items():
        older = same.get(kept.casefold(), kept)
        if kept not in known and older not in taken:
            names[name] = older
    return names
