"""The pipeline: reads a manifest, runs one task on every unit, writes Parquet. Read it top to
bottom."""

from __future__ import annotations

import contextlib
import functools
import logging
from dataclasses import dataclass

import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, Dataset, TaskPoolStrategy

from internvl_ops.errors import ConfigurationError
from internvl_ops.events import listening, note
from internvl_ops.preparer import MediaReader
from internvl_ops.stores.redaction import safe_uri
from internvl_ops.tasks import Task
from pipelines import cluster
from pipelines.blocks import rows_of
from pipelines.drive import drive
from pipelines.held_engines import AskHeld, HeldEngines
from pipelines.ledger.actor import start_ledger
from pipelines.ledger.ledger import Claims
from pipelines.ledger.shard import parse_shard
from pipelines.metrics import RunMetrics
from pipelines.options.job_options import JobOptions
from pipelines.output.again import again_of
from pipelines.output.card import write_card
from pipelines.output.compaction import finish_merge
from pipelines.output.continuity import Columns, columns_of
from pipelines.output.document_rows import Joining
from pipelines.output.documents import write_documents
from pipelines.output.folder import ERRORS, OutputFolder
from pipelines.output.lease import Lease
from pipelines.output.overwrite import begin, overwrite_id
from pipelines.output.redo import finish_redo
from pipelines.output.refresh import drop_changed
from pipelines.output.resume import drop_superseded_errors, load_output
from pipelines.output.settings import metadata, settings
from pipelines.output.shards import PartDone, close_parts, forget_parts
from pipelines.output.writer import Writer
from pipelines.ray_internals import READ_AHEAD, in_blocks_of, task_in_own_folder, whole_blocks
from pipelines.report.lineage import lineage
from pipelines.report.measures import PREPARE_PLACES, Measures
from pipelines.report.pace import earlier_pace
from pipelines.report.record import RunRecord
from pipelines.run_folder import run_folder
from pipelines.sources import SourcePlan, has_rows
from pipelines.stages.explode import Explode
from pipelines.stages.generate import Generate
from pipelines.stages.parse import Parse
from pipelines.stages.prepare import Prepare
from pipelines.stages.read import read
from pipelines.wiring.engines import (
    Model,
    checkpoint_version,
    engine_maker,
    tile_size,
    tokenizer_checkpoint,
)
from pipelines.wiring.generators import generator_maker
from pipelines.wiring.media import ReaderArguments, explodes, read_policy, reader_arguments
from pipelines.wiring.notices import notices
from pipelines.wiring.preparers import prepare_arguments

logger = logging.getLogger(__name__)


def annotate(
    options: JobOptions,
    plan: SourcePlan,
    checkpoint: Model | None,
    task: Task,
    held: HeldEngines | None = None,
) -> RunRecord:
    """Runs ``task`` over the units of ``plan`` and writes the output folder.

    Args:
        options: Validated options; see `pipelines.options.job_options`.
        plan: Plan of the input.
        checkpoint: Checkpoint of the model; None if only a server has it.
        task: Makes the prompts and parses the answers.
        held: Engines that stay for further jobs; None to start engines for this one alone.

    Returns:
        The record of the run, as in ``_runs/<run id>/run.json``; its ``exit_status`` is the job's.

    Raises:
        ConfigurationError: The cluster is too small for the plan, or another run is writing to the
            output.
        OSError: The output could not be written.
    """
    output, shard = OutputFolder(options.output), parse_shard(options.shard)
    record = RunRecord(options, task, output)
    record.weights = checkpoint_version(checkpoint)
    record.notices, record.left_out = notices(options, plan, checkpoint), plan.left_out
    record.snapshot = plan.snapshot
    for notice in record.notices:
        note(logger, "notice", f"Note: {notice}")
    if options.overwrite and not has_rows(plan):
        raise ConfigurationError(
            f"--overwrite: --input {safe_uri(options.input)} has no rows, so nothing would replace"
            f" what stands in {safe_uri(options.output)}. Look at what made the input, or remove"
            " the output yourself."
        )
    # A process with a Ray session of its own keeps its temporary folder, too: the workers do not
    # inherit it.
    folder = contextlib.nullcontext() if ray.is_initialized() else run_folder()
    with (
        folder,
        listening(record.events),
        Lease(output, record.run_id, shard=shard) as lease,
        lineage(record),
    ):
        kind = overwrite_id(
            safe_uri(options.input), settings(options, task, checkpoint_version(checkpoint))
        )
        finish_merge(output)
        finish_redo(output, part=shard is not None)
        again = again_of(options, output, task, checkpoint_version(checkpoint), record.run_id)
        record.chosen = None if again is None else len(again.wanted)
        overwrite = begin(
            output, record.run_id, wanted=options.overwrite, kind=kind, part=shard is not None
        )
        if shard is not None:
            forget_parts(output, shard.of, shard.part)
        with cluster.session(options), contextlib.ExitStack() as ends:
            rows, nodes = rows_of(options, plan), cluster.nodes()
            workers = cluster.plan_workers(options, checkpoint, rows, nodes)
            record.earlier_pace = earlier_pace(output)
            record.measures = Measures(
                cluster.run_setup(workers, checkpoint, task, ray.cluster_resources())
            )
            if options.refresh == "changed":
                drop_changed(output, plan, read_policy(options, plan), overwrite.old)
            older_errors = [name for name in output.files(ERRORS) if name not in overwrite.old]
            load = functools.partial(
                load_output,
                # `output` holds the lease, which cannot be pickled
                output=OutputFolder(options.output),
                retry_errors=options.retry_errors,
                passed_over=overwrite.old,
                # Which pages one night wanted says nothing about those that another night wants.
                whole_files=explodes(options, plan.media_kind) and not options.pages,
                shard=shard,
                wanted=again.wanted if again else None,
                again=again is not None and again.in_place,
            )
            ledger = ends.enter_context(contextlib.closing(start_ledger(load)))
            columns = columns_of(output, options, plan, task, overwrite.old)
            made_of = (options, task, plan, checkpoint, workers, ledger, columns)
            graph = Graph(*made_of, held=held, job=record.run_id)
            if shard is None:
                write_card(output, record.run_id)
            with Writer(
                output,
                ledger,
                columns.schema,
                run_id=record.run_id,
                model=safe_uri(options.model),
                unparsed=task.unparsed,
                file_bytes=options.file_mb << 20,
                rows_per_file=options.rows_per_file,
                commit_seconds=options.commit_seconds,
                metadata={
                    **metadata(options, task, checkpoint_version(checkpoint)),
                    **(again.said if again else {}),
                },
                token=lease.token,
                absent=columns.absent,
                folders=again.folders if again else None,
            ) as writer:
                metrics = RunMetrics(record, ledger, writer, lease)
                # If there are no rows, nothing is started and no model is loaded.
                there = has_rows(plan) and (again is None or len(again.wanted) > 0)
                record.ended = (
                    drive(graph.results(), writer, record, plan, ledger, metrics)
                    if there
                    else "done"
                )
            metrics.finish()
            counts = ledger.counts()
            if again is not None:
                again.end()
                record.again = again.summary(counts.results + counts.errors)
            if shard is None:
                drop_superseded_errors(ledger, output, older_errors)

            def derive(whole: OutputFolder) -> None:
                if graph.makes_documents:
                    drops = options.page_furniture == "drop"
                    joining = Joining(
                        options.join_words,
                        options.join_paragraphs,
                        options.join_tables,
                        drops,
                        options.level_headings,
                    )
                    text = str(task.text)
                    record.documents = write_documents(
                        whole, text, options.documents, record.run_id, joining
                    )

            if record.ended == "done" and not counts.lost:
                record.replaced = overwrite.finish(
                    output, results=counts.results + counts.already_done
                )
                if shard is None:
                    derive(output)
                else:
                    done = PartDone(record.run_id, *ledger.rows_read(), counts, *record.so_far())
                    record.parts = close_parts(output, record.run_id, shard, done, derive)
            record.decoders = ledger.decoders()
            record.finish(
                writer.totals, counts, [plan.place(position) for position in ledger.lost()]
            )
    return record


@dataclass(frozen=True)
class Graph:
    """The stages of one job as Ray Data operators. Building them runs nothing.

    Args:
        options: Options of the job.
        task: Task of the job.
        plan: Plan of the input.
        checkpoint: Checkpoint of the model; None if only a server has it.
        workers: Numbers of actors.
        ledger: Ledger of the run.
        columns: Columns of the output.
        cpus: CPUs that a prepare actor, or an engine on CPUs, reserves; below 1 for other stages.
        held: Engines that stay for further jobs; None to start engines for this one alone.
        job: Names the job, for `held`.
    """

    options: JobOptions
    task: Task
    plan: SourcePlan
    checkpoint: Model | None
    workers: cluster.Workers
    ledger: Claims
    columns: Columns
    cpus: float = 1
    held: HeldEngines | None = None
    job: str = ""

    def results(self) -> Dataset:
        """All stages, in the order in which a row passes them."""
        return self.answer(self.read())

    def answer(self, rows: Dataset) -> Dataset:
        """The stages after `read`."""
        cluster.carry_code(self.task)
        units = self.explode(rows) if self.explodes else rows
        return self.parse(self.generate(self.prepare(units)))

    def read(self) -> Dataset:
        """Reads the manifest rows that are not done yet, in blocks of a fixed number of rows."""
        rows = ray.data.from_items(
            [{"split": index} for index in range(len(self.plan.splits))]
        ).map_batches(
            task_in_own_folder(read),
            fn_kwargs={
                "plan": self.plan,
                "names": self.columns.names,
                "ledger": self.ledger,
                "carry": self.columns.carry(self.plan),
                "shard": parse_shard(self.options.shard),
            },
            batch_size=1,
            batch_format="pyarrow",
            num_cpus=0,
            compute=TaskPoolStrategy(size=cluster.READERS),
            **READ_AHEAD,
        )
        return in_blocks_of(rows, self.workers.blocks.rows, cluster.READERS)

    def explode(self, files: Dataset) -> Dataset:
        """Splits documents into pages and videos into clips; leaves out those that are done
        already."""
        units = whole_blocks(
            files,
            Explode,
            {
                "make_reader": functools.partial(MediaReader, *self.reading),
                "ledger": self.ledger,
                "all_parts": not self.options.pages,
            },
            compute=ActorPoolStrategy(size=max(1, self.workers.prepare_actors // 4)),
            num_cpus=0,
        )
        return in_blocks_of(units, self.workers.blocks.rows, cluster.SPLITTERS)

    def prepare(self, units: Dataset) -> Dataset:
        """Fetches, decodes, orients, tiles and renders, in CPU actors."""
        return whole_blocks(
            units,
            Prepare,
            {
                **prepare_arguments(
                    self.options, self.reading, self.plan, self.checkpoint, self.task
                ),
                "ledger": self.ledger,
            },
            # Two blocks at once: an actor fetches one while it decodes the other. An actor finishes
            # small images before Ray Data looks again, so more blocks wait at it. Videos take
            # longer and go to the least busy actor.
            compute=cluster.pool(
                self.workers.prepare_actors,
                calls=PREPARE_PLACES,
                at_hand=6 if self.plan.media_kind == "image" else 2,
            ),
            num_cpus=self.cpus,
        )

    def generate(self, prepared: Dataset) -> Dataset:
        """Generates answers: one actor per engine, with enough blocks in flight to keep it full."""
        generates = {
            "make_generator": generator_maker(self.options, self.checkpoint, self.task),
            "ledger": self.ledger,
        }
        engine = {
            "make_engine": engine_maker(
                self.held.options if self.held else self.options,
                self.checkpoint,
                self.task,
                self.workers.gpus_per_engine,
                self.options.in_flight,
            ),
            "tile_size": tile_size(self.checkpoint),
            "hang_s": self.options.engine_timeout,
            "outcome": self.task.outcome,
            "in_flight": self.workers.in_flight,
        }
        # A node whose CPUs are all taken by prepare actors can still run an engine on its GPU.
        resources = {
            "num_cpus": 0 if self.workers.gpus_per_engine else self.cpus,
            "num_gpus": self.workers.gpus_per_engine,
        }
        calls = self.workers.blocks.held
        if self.held is None:
            compute = cluster.pool(self.workers.engines, calls=calls)
            return whole_blocks(
                prepared, Generate, {**engine, **generates}, compute=compute, **resources
            )
        hosts = self.held.hosts(self.workers.engines, calls, {**engine, **generates}, **resources)
        passes = {**generates, "hosts": hosts, "job": self.job}
        return whole_blocks(
            prepared, AskHeld, passes, compute=cluster.pool(len(hosts), calls=calls), num_cpus=0
        )

    def parse(self, completed: Dataset) -> Dataset:
        """Turns token ids into text and text into the task's columns."""
        return whole_blocks(
            completed,
            Parse,
            {
                "checkpoint": tokenizer_checkpoint(self.options, self.checkpoint),
                "task": self.task,
                "columns": self.answered,
                "trust_remote_code": self.options.trust_remote_code,
                "compares": self.options.text_layer != "ignore",
            },
            # One actor for all engines: it needs a millisecond per row and takes all blocks
            # finished between two looks.
            compute=cluster.pool(1, calls=1, at_hand=31),
            num_cpus=0,
        )

    @property
    def reading(self) -> ReaderArguments:
        """How the media of the input are read."""
        return reader_arguments(
            self.options, read_policy(self.options, self.plan), self.plan.media_kind
        )

    @property
    def explodes(self) -> bool:
        """Whether one manifest row becomes several units."""
        return explodes(self.options, self.plan.media_kind)

    @property
    def makes_documents(self) -> bool:
        """Whether the run reassembles pages into documents."""
        return (
            self.plan.media_kind == "document"
            and self.task.text is not None
            and self.options.documents != "none"
        )

    @property
    def answered(self) -> pa.Schema:
        """Columns of a result that describe its answer, without the task's own columns."""
        options = self.options
        return self.task.outcome.columns(
            self.task.columns, samples=options.n, log_probs=options.log_probs
        )
