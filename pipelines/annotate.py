"""The pipeline: from a manifest to Parquet, one task on every unit. Read it top to bottom."""

from __future__ import annotations

import functools
from typing import Any

import ray
from ray.data import ActorPoolStrategy, Dataset

from internvl_ops.engines import ENGINES, Sampling
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.image import ImageOptions
from internvl_ops.models.config import Checkpoint
from internvl_ops.prepare import Preparer
from internvl_ops.tasks import Task
from pipelines import cluster, stages
from pipelines.drive import drive
from pipelines.ledger_actor import RemoteLedger, start_ledger
from pipelines.options import JobOptions
from pipelines.output import ERRORS, OutputFolder
from pipelines.report import RunRecord
from pipelines.resume import drop_superseded_errors
from pipelines.sources import SourcePlan, has_rows
from pipelines.writer import Writer, kept_names, result_schema


def annotate(options: JobOptions, task: Task, plan: SourcePlan, checkpoint: Checkpoint) -> RunRecord:
    """Runs ``task`` over the units of ``plan`` and writes the output folder.

    Args:
        options: Validated; see `pipelines.configuration`.
        task: What is asked, and how answers are parsed.
        plan: Of the input.
        checkpoint: Of the model.

    Returns:
        The record of the run, as in ``_runs/<run id>/run.json``; its ``exit_status`` is the job's.

    Raises:
        ConfigurationError: The cluster is too small for the plan.
    """
    output = OutputFolder(options.output)
    record = RunRecord(options, task, output)
    cluster.connect(options)
    try:
        workers = cluster.settle(options, checkpoint, ray.cluster_resources())
        if options.overwrite:
            output.clear()
        older_errors = output.files(ERRORS)
        actor = start_ledger(output, retry_errors=options.retry_errors)
        ledger = RemoteLedger(actor)
        writer = Writer(
            output,
            ledger,
            result_schema(plan.schema, task, options.prompt or task.prompt),
            run_id=record.run_id,
            model=options.model,
            rows_per_file=options.rows_per_file,
            commit_seconds=options.commit_seconds,
        )
        if has_rows(plan):
            units = read_units(plan, task, actor, workers)
            prepared = prepare(units, options, task, plan, checkpoint, workers)
            completed = generate(prepared, options, checkpoint, workers)
            results = parse(completed, options, task, checkpoint)
            record.ended = drive(results, writer, record, plan, ledger)
        else:
            record.ended = "done"  # without loading a model
        writer.close()
        drop_superseded_errors(ledger, output, older_errors)
        record.finish(writer.totals, ledger.counts(), [plan.place(position) for position in ledger.lost()])
    finally:
        ray.shutdown()
    return record


def read_units(plan: SourcePlan, task: Task, ledger: Any, workers: cluster.Workers) -> Dataset:
    """Manifest rows not done yet, in blocks of a fixed number of rows."""
    splits = ray.data.from_items([{"split": index} for index in range(len(plan.splits))])
    read: Any = stages.read
    rows = splits.map_batches(
        read,
        fn_kwargs={"plan": plan, "names": kept_names(plan.schema, task), "ledger": ledger},
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=0,
        compute=cluster.reading(),
    )
    return cluster.in_blocks_of(rows, workers.rows_per_block)


def prepare(
    units: Dataset,
    options: JobOptions,
    task: Task,
    plan: SourcePlan,
    checkpoint: Checkpoint,
    workers: cluster.Workers,
) -> Dataset:
    """Fetch, decode, orient, tile, render: CPU actors."""
    return _map(
        units,
        stages.Prepare,
        {
            "make_preparer": functools.partial(
                Preparer,
                checkpoint,
                ReadPolicy(plan.base, options.allow),
                ImageOptions(
                    max_pixels=options.max_pixels,
                    alpha=options.alpha,
                    truncated=options.truncated,
                    min_tiles=options.min_tiles,
                    max_tiles=options.max_tiles,
                    resize=options.resize,
                ),
                system_message=options.system_message,
                max_new_tokens=options.max_new_tokens,
                max_bytes=options.max_bytes,
                fetch_timeout_s=options.fetch_timeout,
                decode_timeout_s=options.decode_timeout,
                decode_memory_mib=options.decode_memory,
                trust_remote_code=options.trust_remote_code,
            ),
            "prompt": options.prompt or task.prompt,
            "question_column": "question" if "question" in plan.schema.names else None,
        },
        # Two blocks at once: one is fetched while the other is decoded.
        compute=cluster.pool(workers.prepare_actors, calls=2),
        num_cpus=1,
    )


def generate(prepared: Dataset, options: JobOptions, checkpoint: Checkpoint, workers: cluster.Workers) -> Dataset:
    """vLLM: one actor an engine, with enough blocks in flight to keep it full."""
    return _map(
        prepared,
        stages.Generate,
        {
            "make_engine": functools.partial(
                ENGINES[options.engine],
                checkpoint,
                tensor_parallel=max(1, workers.gpus_per_engine),
                max_tiles=options.max_tiles,
                engine_args=options.engine_args,
                trust_remote_code=options.trust_remote_code,
            ),
            "sampling": Sampling(
                max_new_tokens=options.max_new_tokens,
                temperature=options.temperature,
                top_p=options.top_p,
                repetition_penalty=options.repetition_penalty,
                seed=options.seed,
            ),
            "tile_size": checkpoint.tile_size,
        },
        compute=cluster.pool(workers.engines, calls=max(1, workers.in_flight // workers.rows_per_block)),
        num_cpus=1,
        num_gpus=workers.gpus_per_engine,
    )


def parse(completed: Dataset, options: JobOptions, task: Task, checkpoint: Checkpoint) -> Dataset:
    """Token ids to text to the task's columns."""
    return _map(
        completed,
        stages.Parse,
        {"checkpoint": checkpoint, "task": task, "trust_remote_code": options.trust_remote_code},
        compute=ActorPoolStrategy(size=1),
        num_cpus=0,
    )


def _map(rows: Dataset, stage: type, arguments: dict[str, Any], **resources: Any) -> Dataset:
    """One block in, one block out, rows in order: see `cluster.rows_per_block` for why that must be so."""
    return rows.map_batches(
        stage,
        fn_constructor_kwargs=arguments,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        **resources,
    )
