"""The pipeline: from a manifest to Parquet, one task on every unit. Read it top to bottom."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow.compute as pc
import ray
from ray.data import ActorPoolStrategy, Dataset

from internvl_ops.engines import ENGINES, Sampling
from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.image import ImageOptions
from internvl_ops.models.config import Checkpoint
from internvl_ops.prepare import Preparer
from internvl_ops.tasks import Task
from pipelines import cluster, stages
from pipelines import columns as c
from pipelines.ledger import Ledger
from pipelines.output import ERRORS, OutputFolder
from pipelines.options import JobOptions
from pipelines.progress import ProgressLine
from pipelines.report import RunRecord
from pipelines.resume import drop_superseded_errors, load_output
from pipelines.sources import SourcePlan, count_rows
from pipelines.sources.options import POSITION_BITS
from pipelines.writer import Writer, result_schema


class Interrupted(Exception):
    """Ctrl-C or SIGTERM."""


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
        ledger = start_ledger(output, options.retry_errors)
        writer = Writer(
            output,
            RemoteBook(ledger),
            result_schema(plan.schema, task, options.prompt or task.prompt),
            run_id=record.run_id,
            model=options.model,
            rows_per_file=options.rows_per_file,
            commit_seconds=options.commit_seconds,
        )
        units = read_units(plan, ledger, workers)
        prepared = prepare(units, options, task, plan, checkpoint, workers)
        completed = generate(prepared, options, checkpoint, workers)
        results = parse(completed, options, task, checkpoint)
        book = RemoteBook(ledger)
        with ProgressLine() as progress, interruptible():
            record.ended = write(results, writer, record, progress, plan, book)
        if older_errors:
            drop_superseded_errors(book, output, older_errors)
        record.finish(writer.totals, book.counts(), [place(plan, position) for position in book.lost()])
    finally:
        ray.shutdown()
    return record


def read_units(plan: SourcePlan, ledger: ray.actor.ActorHandle, workers: cluster.Workers) -> Dataset:
    """Manifest rows not done yet, in blocks of a fixed number of rows."""
    splits = ray.data.from_items([{"split": index} for index in range(len(plan.splits))] or [{"split": -1}])
    rows = splits.map_batches(
        stages.read,
        fn_kwargs={"plan": plan, "ledger": ledger},
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


def _map(rows: Dataset, stage: type, arguments: dict, **resources: object) -> Dataset:
    """One block in, one block out, rows in order: see `cluster.rows_per_block` for why that must be so."""
    return rows.map_batches(
        stage,
        fn_constructor_kwargs=arguments,
        batch_size=None,
        batch_format="pyarrow",
        zero_copy_batch=True,
        **resources,
    )


def write(
    results: Dataset, writer: Writer, record: RunRecord, progress: ProgressLine, plan: SourcePlan, book: RemoteBook
) -> str:
    """Drives the pipeline: takes finished rows as they come and hands them to the writer.

    The driver is the one consumer, which is what makes each row arrive once; it carries text only. Whatever ends it,
    the rows that arrived are written.

    Returns:
        "done", "interrupted", or why the pipeline failed.
    """
    progress.say(f"starting engines and reading {record.options.input}")
    threading.Thread(target=lambda: progress.total(count_units(plan)), daemon=True).start()
    finished = failed = tokens = 0
    try:
        for rows in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2):
            if not len(rows):
                continue
            writer.add(record.take_previews(rows))
            finished += len(rows)
            failed += len(rows) - rows[c.ERROR].null_count
            tokens += pc.sum(rows["completion_tokens"]).as_py() or 0
            progress.update(finished, tokens, failed)
        return "done"
    except (Interrupted, KeyboardInterrupt):
        return "interrupted"
    except ray.exceptions.RayError as error:
        return last_line(error)
    finally:
        writer.close()


def last_line(error: BaseException) -> str:
    """What went wrong in a worker, without the traceback Ray puts in front."""
    return [line.strip() for line in str(error).splitlines() if line.strip()][-1]


def count_units(plan: SourcePlan) -> int:
    """Manifest rows; reads text manifests through, so it runs beside the pipeline."""
    return plan.total_rows if plan.total_rows is not None else count_rows(plan)


def place(plan: SourcePlan, position: int) -> str:
    """A ledger position as a person names it: ``manifest.jsonl:17``."""
    return f"{plan.splits[position >> POSITION_BITS].name}:{(position & (1 << POSITION_BITS) - 1) + 1}"


@contextmanager
def interruptible() -> Iterator[None]:
    """Turns SIGTERM, which is how a job is stopped on a cluster, into an exception the run can end on."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class LedgerActor(Ledger):
    """The ledger as an actor, filled from what earlier runs left."""

    def __init__(self, output_uri: str, retry_errors: bool) -> None:
        super().__init__()
        load_output(self, OutputFolder(output_uri), retry_errors=retry_errors)


def start_ledger(output: OutputFolder, retry_errors: bool) -> ray.actor.ActorHandle:
    here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
        ray.get_runtime_context().get_node_id(), soft=False
    )
    ledger = ray.remote(LedgerActor).options(num_cpus=0, scheduling_strategy=here).remote(output.uri, retry_errors)
    ray.get(ledger.ready.remote())
    return ledger


class RemoteBook:
    """The ledger as the driver calls it."""

    def __init__(self, ledger: ray.actor.ActorHandle) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Callable:
        return lambda *arguments: ray.get(getattr(self._ledger, name).remote(*arguments))
