"""From a Dataset to a Dataset: the stages of a job between the caller's own stages, in the caller's
Ray session."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from internvl_ops.errors import ConfigurationError, UnitError, unforeseen
from internvl_ops.stores.redaction import safe_text
from pipelines import columns as c
from pipelines.flags import flag
from pipelines.ledger.ledger import RUN
from pipelines.ledger.shard import RowSum
from pipelines.library.keywords import in_keywords, in_python, options_from
from pipelines.library.tables import Given, dataset_of
from pipelines.options.again_options import AgainOptions
from pipelines.options.job_options import JobOptions, OutputOptions
from pipelines.options.rules import check_options
from pipelines.output.result_columns import kept_names
from pipelines.sources.ids import ids_from_column, made_ids
from pipelines.sources.media_column import choose_media_column, holds_several, to_media, uri_type
from pipelines.sources.options import SourceOptions, SourcePlan, Split

if TYPE_CHECKING:
    from ray.data import Dataset

    from pipelines.cluster import Workers

ERROR = "error"  # column of the result: null, or why the row has no answer
ERROR_FIELD = pa.field(
    ERROR, pa.struct([field for field in c.ERROR_TYPE if field.name != "attempts"])
)
_OWN_ID = "__own_id"  # the caller's column `id`, which gets its own type back
# Options of a run that reads a manifest, writes a folder, or starts Ray.
_OF_A_RUN = (
    *(name for group in (OutputOptions, AgainOptions) for name in group.model_fields),
    *(
        "input",
        "input_format",
        "columns",
        "where",
        "limit",
        "ray_address",
        "verbose",
        "quiet",
        "openlineage",
        "log_json",
    ),
    *("gpu", "price_per_gpu_hour", "completion_tokens", "sample_rows"),
)


def over_dataset(cls: type[JobOptions], data: Any, values: Mapping[str, Any]) -> Dataset:
    """A lazy Dataset with the answers beside the rows of ``data``.

    Args:
        cls: Options of the task's job.
        data: See `pipelines.library.tables.TAKEN`.
        values: The options that concern model, prompt, media and workers.

    Raises:
        ConfigurationError: An option is wrong, or the session is too small.
    """
    with in_python():
        for name in _OF_A_RUN:
            if values.get(name) is not None:
                raise ConfigurationError(
                    f"{flag(name)} is for calls that read a manifest and write a folder. A Dataset"
                    " is read and written by its own methods: leave it out."
                )
        options = options_from(cls, {**values, "input": "dataset", "output": "dataset"})
        check_options(options)
        given = dataset_of(data)
        if given.allow:
            options = options.model_copy(update={"allow": (*options.allow, *given.allow)})
        return _answered(options, given, cls.make_task)


def _answered(options: JobOptions, given: Given, make_task: Any) -> Dataset:
    from pipelines import cluster
    from pipelines.annotate import Graph
    from pipelines.blocks import BLOCK_BYTES, rows_of
    from pipelines.commands.job import check_input
    from pipelines.output.continuity import Columns, own_columns_of
    from pipelines.ray_internals import in_blocks_of
    from pipelines.wiring.engines import check_endpoint, load_any_model

    checkpoint = load_any_model(options)
    plan = plan_of_table(options, given.schema)
    task = check_input(options, plan, checkpoint, make_task)
    check_endpoint(options)
    own = own_columns_of(options, plan, task)
    own = pa.schema([field for field in own if field.name not in ("model", "run_id")]).append(
        ERROR_FIELD
    )
    names = column_names(plan, own)
    workers = cluster.plan_workers(options, checkpoint, rows_of(options, plan), cluster.nodes())
    rows = rows_per_block(
        workers.blocks.rows, given.dataset.context.target_max_block_size, BLOCK_BYTES
    )
    graph = Graph(
        options,
        task,
        plan,
        checkpoint,
        workers,
        NoLedger(),
        Columns(own, names),
        cpus=share_of_cpus(workers),
    )
    taken = given.dataset.map_batches(
        take_in,  # type: ignore[arg-type]
        fn_kwargs={"plan": plan, "names": names},
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        num_cpus=0,
    )
    shown: Any = ShowRows(plan, names, own, explodes=graph.explodes)
    return graph.answer(in_blocks_of(taken, rows, cluster.SPLITTERS)).map_batches(
        shown, batch_size=None, batch_format="pyarrow", zero_copy_batch=True, num_cpus=0
    )


def rows_per_block(rows: int, target: int | None, ours: int) -> int:
    """``rows``, or as many as stay below the block size of a session whose blocks are smaller than
    ours."""
    return rows if target is None or target >= ours else max(1, rows * target // ours)


def share_of_cpus(workers: Workers) -> float:
    """CPUs that each of our actors reserves, so that a quarter of all, at least one, is left to the
    caller's stages.

    Ray Data would otherwise wait forever: actors keep their CPUs until the Dataset is done, and the
    stages that feed them find none.
    """
    import ray

    cpus = ray.cluster_resources().get("CPU", 1.0)
    actors = workers.prepare_actors + (0 if workers.gpus_per_engine else workers.engines)
    return min(1.0, round(max(0.0, cpus - max(1.0, cpus // 4)) / actors - 5e-5, 4))


def plan_of_table(options: JobOptions, schema: pa.Schema) -> SourcePlan:
    """How rows that are there already are read.

    Raises:
        ConfigurationError: No column holds media, or several do, or the id column is missing.
    """
    named = SourceOptions(
        uri="the Dataset",
        id_column=options.id_column,
        image_column=options.image_column,
        video_column=options.video_column,
        document_column=options.document_column,
        **dataclasses.asdict(options.input_needs),
        media_root=options.media_root,
        max_bytes=options.max_bytes,
    )
    if options.id_column and options.id_column not in schema.names:
        raise ConfigurationError(
            f"--id-column {options.id_column}: no such column. Columns there:"
            f" {', '.join(schema.names)}."
        )
    kind, column = choose_media_column(schema, named)
    return SourcePlan(
        options=named,
        format="dataset",
        base=options.media_root or os.getcwd(),
        columns=schema,
        schema=schema,
        id_column=options.id_column or ("id" if "id" in schema.names else None),
        media_column=column,
        media_kind=kind,
        splits=[Split(0, "dataset", "dataset")],
        several_media=column is not None and holds_several(schema.field(column).type),
    )


def column_names(plan: SourcePlan, own: pa.Schema) -> dict[str, str]:
    """The caller's columns between the stages: their own names, as far as these are free."""
    others = pa.schema([field for field in plan.schema if field.name != "id"])
    return kept_names(others, own) | ({"id": _OWN_ID} if "id" in plan.schema.names else {})


def _carried(plan: SourcePlan, names: Mapping[str, str]) -> list[str]:
    """Names of the caller's columns in the result. Inline bytes of media are left out."""
    dropped = plan.media_column if _holds_bytes(plan) and not _path_type(plan) else None
    return [names[name] for name in plan.schema.names if name not in ("id", dropped)]


def _holds_bytes(plan: SourcePlan) -> bool:
    if plan.media_column is None:
        return False
    kind = plan.schema.field(plan.media_column).type
    while pa.types.is_dictionary(kind) or hasattr(kind, "value_type"):
        kind = kind.value_type
    return not (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _path_type(plan: SourcePlan) -> pa.DataType | None:
    kind = uri_type(plan.schema.field(plan.media_column).type) if plan.media_column else None
    return kind if isinstance(kind, pa.DataType) else None


def take_in(rows: pa.Table, plan: SourcePlan, names: Mapping[str, str]) -> pa.Table:
    """The caller's rows as the stages take them: with id, media, error, and the caller's columns
    beside.

    Args:
        rows: Rows of the caller.
        plan: How they are read.
        names: Names of the caller's columns between the stages.
    """
    rows = _aligned(rows, plan.schema)
    try:
        return _taken(rows, plan, names)
    except ConfigurationError:
        raise
    except Exception as error:
        if len(rows) > 1:
            return pa.concat_tables(
                [take_in(rows.slice(row, 1), plan, names) for row in range(len(rows))]
            )
        return _unreadable(rows, plan, names, unforeseen("read", error))


def _aligned(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """``rows`` with exactly these columns. A block may be empty, lack one, or know no type if all
    values are null."""
    columns = {
        field.name: (
            rows[field.name]
            if field.name in rows.column_names and not pa.types.is_null(rows[field.name].type)
            else pa.nulls(len(rows), field.type)
        )
        for field in schema
    }
    return pa.table(columns)


def _taken(rows: pa.Table, plan: SourcePlan, names: Mapping[str, str]) -> pa.Table:
    size, problems = len(rows), dict[int, str]()
    media: pa.Array = pa.nulls(size, c.MEDIA_TYPE)
    paths = None
    if plan.media_column is not None:
        media, paths, found = to_media(
            _whole(rows[plan.media_column]), optional=plan.options.media_optional
        )
        problems = {row: f"column {plan.media_column!r}: {text}" for row, text in found.items()}
    if plan.id_column is not None:
        ids = ids_from_column(_whole(rows[plan.id_column]))
        for row in pc.indices_nonzero(ids.is_null()).to_pylist():
            problems.setdefault(
                row, f"column {plan.id_column!r}: null or empty; every row needs an id"
            )
    else:
        ids = made_ids(
            media,
            {
                name: _whole(rows[name])
                for name in plan.options.prompt_columns
                if name in rows.column_names
            },
        )
    if paths is not None and _holds_bytes(plan):
        rows = rows.set_column(
            rows.schema.get_field_index(plan.media_column), plan.media_column, paths
        )
    elif _holds_bytes(plan):
        rows = rows.drop_columns([plan.media_column])
    rows = rows.rename_columns([names[name] for name in rows.column_names])
    errors = [c.error_value(UnitError("read", "bad_row",
                                      problems[row])) if row in problems else None
              for row in range(size)]  # fmt: skip
    return _with_ours(rows, ids, media, errors)


def _unreadable(
    rows: pa.Table, plan: SourcePlan, names: Mapping[str, str], error: UnitError
) -> pa.Table:
    if _holds_bytes(plan):
        kind = _path_type(plan)
        place = rows.schema.get_field_index(plan.media_column)
        rows = rows.drop_columns([plan.media_column]) if kind is None else rows.set_column(
            place, plan.media_column, pa.nulls(1, kind))  # fmt: skip
    rows = rows.rename_columns([names[name] for name in rows.column_names])
    return _with_ours(
        rows, pa.nulls(1, pa.string()), pa.nulls(1, c.MEDIA_TYPE), [c.error_value(error)]
    )


def _with_ours(rows: pa.Table, ids: pa.Array, media: pa.Array, errors: Sequence[Any]) -> pa.Table:
    size = len(rows)
    ours = {
        c.ID: ids,
        c.SOURCE: pa.repeat(pa.scalar("dataset"), size),
        c.POSITION: pa.repeat(pa.scalar(0, pa.int64()), size),
        c.KEY: pa.nulls(size, pa.binary(16)),
        c.MEDIA: media,
        c.NOTES: pa.nulls(size, c.READ.field(c.NOTES).type),
    }
    schema = pa.schema([(c.ID, pa.string()), (c.KEY, pa.binary(16)), *c.READ])
    return c.set_errors(c.with_columns(rows, ours, schema), errors)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    return found if isinstance(found, pa.Array) else found.chunk(0)


@dataclass(frozen=True)
class ShowRows:
    """Turns finished rows into rows of the result.

    Args:
        plan: How they were read.
        names: Names of the caller's columns between the stages.
        own: Our columns.
        explodes: Whether rows are pages or clips, whose ids are ours.
    """

    plan: SourcePlan
    names: Mapping[str, str]
    own: pa.Schema
    explodes: bool

    def __call__(self, rows: pa.Table) -> pa.Table:
        own_id = not self.explodes and _OWN_ID in rows.column_names
        columns = {c.ID: rows[_OWN_ID if own_id else c.ID]}
        columns |= {name: rows[name] for name in _carried(self.plan, self.names)}
        columns |= {
            field.name: rows[field.name].cast(field.type)
            for field in self.own
            if field.name != ERROR
        }
        return pa.table(columns).append_column(ERROR_FIELD, self._errors(rows))

    @staticmethod
    def _errors(rows: pa.Table) -> pa.Array:
        names = [field.name for field in ERROR_FIELD.type]
        found = [
            None if error is None else {name: error[name] for name in names}
            | {"message": safe_text(in_keywords(error["message"]))}
            for error in rows[c.ERROR].to_pylist()
        ]  # fmt: skip
        return pa.array(found, ERROR_FIELD.type)


class NoLedger:
    """The ledger of rows that nobody counts: a Dataset may be computed as often as its owner
    likes."""

    def take_events(self) -> None: ...

    def put_decoder(self, worker: str, confinement: str) -> None: ...

    def put_split(self, number: int, rows: RowSum, own: RowSum) -> None: ...

    def claim(self, ids: Sequence[str], positions: Sequence[int]) -> list[int]:
        return [RUN] * len(ids)

    def explode(self, parent: bytes, ids: Sequence[str], position: int) -> list[int]:
        return [RUN] * len(ids)
