"""The steps of every job around its pipeline: validate, run, print how it ended."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from internvl_ops.errors import ConfigurationError
from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_text, safe_uri
from pipelines.interruption import Interrupted, end, phase, say
from pipelines.options.command_line import Mode, groups, show
from pipelines.options.job_options import JobOptions
from pipelines.options.messages import say_now
from pipelines.options.safe_options import safe_options
from pipelines.report.logs import configure, fail

logger = logging.getLogger(__name__)

STRAY = 0.1  # share of the sampled URIs that may be unreadable without ending the job

if TYPE_CHECKING:
    from internvl_ops.tasks import Task
    from pipelines.options.registered_task import MakeTask
    from pipelines.sources import SourcePlan
    from pipelines.wiring.engines import Model
    from pipelines.wiring.fallbacks import Fallback

    MakePlan = Callable[[Any], SourcePlan]


def run(options: Any, mode: Mode) -> NoReturn:
    """Runs the job of one task, or of several in one pass; see `run_job`."""
    run_job(options, mode, type(options).make_task)


def run_job(
    options: JobOptions,
    mode: Mode,
    make_task: MakeTask,
    *,
    make_plan: MakePlan | None = None,
    closing: Callable[[Any, SourcePlan], str] | None = None,
) -> NoReturn:
    """Runs the task that ``make_task`` makes, and ends the process.

    Args:
        options: Options of the job.
        mode: Whether to run, or only to print the plan or an estimate.
        make_task: Makes the task from the options, the kind of media and the manifest's columns.
        make_plan: Plans the input; `plan_of` by default.
        closing: Called with the options and the plan once the whole input is done; the text that it
            returns is printed last.

    Exit status: 0 done; 1 failed or interrupted; 2 wrong configuration, detected before a cluster
    or a model is used; 3 done, but with more errors than ``--max-error-rate`` allows, or with
    nothing but errors.
    """
    from pipelines.wiring.engines import check_endpoint

    configure(as_json=options.log_json, quiet=options.quiet)
    try:
        plan, checkpoint, task = check_job(
            options, make_task, make_plan=make_plan, writes=mode == "run"
        )
        if mode == "dry-run":
            show(describe(options, plan, checkpoint, task))
            sys.exit(0)
        if mode == "estimate":
            from pipelines.commands.estimate import estimate

            show(estimate(options, plan, checkpoint, task).text())
            sys.exit(0)
        second = fallback_of(options, plan, make_task)
        for one in (options, second.options) if second else (options,):
            if waiting := check_endpoint(one):
                note(logger, "notice", f"Note: {waiting}")
        say_now(f"checked the options and {len(plan.splits):,} file(s) of the input")
        if options.shards > 1:
            sys.exit(_run_parts(options, plan, checkpoint))
        if options.shard is not None:
            from pipelines.commands.parts import end_with_parts

            end_with_parts()
        # Ray takes seconds to import, so only once the configuration is valid.
        from pipelines.fallback import annotate_all

        with phase("holding"):
            record = annotate_all(options, plan, checkpoint, task, second)
        with phase("closing"):
            if not options.quiet or record.exit_status:
                show(record.summary())
            if closing is not None and record.all_done:
                show(closing(options, plan))
    except Interrupted:
        say("Interrupted before any unit was done. The same command starts again.")
        end()
    except ConfigurationError as error:
        fail(error, 2, logger, as_json=options.log_json)
    except OSError as error:
        fail(error, 1, logger, as_json=options.log_json)
    sys.exit(record.exit_status)


def _run_parts(options: JobOptions, plan: SourcePlan, checkpoint: Model | None) -> int:
    """Runs the parts of the job as processes that repeat this one's command line; returns the exit
    status."""
    import ray

    from pipelines import cluster
    from pipelines.blocks import rows_of
    from pipelines.commands.parts import begin_parts, run_parts

    with phase("holding"), cluster.session(options):
        nodes = cluster.nodes()
        workers = cluster.plan_workers(options, checkpoint, rows_of(options, plan), nodes)
        cpus = int(sum(node.get("CPU", 0) for node in nodes))
        address = ray.get_runtime_context().gcs_address
        begin_parts(options, plan)
        return run_parts(options, workers, cpus, address, [sys.executable, *sys.orig_argv[1:]])


def check_job(
    options: JobOptions,
    make_task: MakeTask,
    *,
    make_plan: MakePlan | None = None,
    writes: bool = True,
) -> tuple[SourcePlan, Model | None, Task]:
    """Validates model, input, task, readable media and output, without Ray or torch.

    Args:
        options: Options of the job.
        make_task: Makes the task from the options, the kind of media and the manifest's columns.
        make_plan: Plans the input; `plan_of` by default.
        writes: Whether to test the output by writing a small file.

    Raises:
        ConfigurationError: The message names the option, its value, what is allowed, and the likely
            mend.
    """
    from pipelines.options.apart import check_apart
    from pipelines.options.rules import check_options
    from pipelines.output.again import check_choice
    from pipelines.output.continuity import check_columns
    from pipelines.output.folder import OutputFolder
    from pipelines.output.settings import check_settings
    from pipelines.output.shards import check_shard
    from pipelines.ray_address import check_address, check_ray_job
    from pipelines.report.lineage import check_lineage
    from pipelines.wiring.engines import checkpoint_version, load_any_model
    from pipelines.wiring.sources import plan_of

    check_options(options)
    check_shard(options)
    check_address(options)
    check_ray_job(options)
    check_lineage(options.openlineage)
    checkpoint = load_any_model(options)
    check_apart(options)
    plan = (make_plan or plan_of)(options)
    task = check_input(options, plan, checkpoint, make_task)

    output = OutputFolder(options.output)
    output.check_listable()
    check_choice(options)  # before a folder is made for an output that is not there
    if writes:
        output.check_writable()
    if not options.overwrite:
        # its answers may be made otherwise
        in_place = options.only is not None and options.only_in is None
        weights = checkpoint_version(checkpoint)
        check_settings(output, options, task, weights, only=("task",) if in_place else None)
        check_columns(output, options, plan, task)
    return plan, checkpoint, task


def fallback_of(options: JobOptions, plan: SourcePlan, make_task: MakeTask) -> Fallback | None:
    """The second model of a job; None if it has none.

    Raises:
        ConfigurationError: It cannot be used; the message begins with the option.
    """
    if options.fallback is None:
        return None
    from pipelines.wiring.engines import load_model
    from pipelines.wiring.fallbacks import Fallback, fallback_options, of_fallback

    other = fallback_options(options)
    try:
        checkpoint = load_model(other)
        return Fallback(other, checkpoint, check_input(other, plan, checkpoint, make_task))
    except ConfigurationError as error:
        raise ConfigurationError(of_fallback(str(error), options)) from None


def check_input(
    options: JobOptions, plan: SourcePlan, checkpoint: Model | None, make_task: MakeTask
) -> Task:
    """Checks that options, input, model and task fit; returns the task.

    Raises:
        ConfigurationError: They do not; see `check_job`.
    """
    from internvl_ops.tasks.thinking import leaves_room, thinking
    from pipelines.options.rules import (
        check_documents,
        check_outcome,
        check_plan,
        check_sampling,
        check_text_layer,
    )
    from pipelines.wiring.engines import check_engine
    from pipelines.wiring.media import check_media_options, read_policy

    check_plan(options, plan)
    check_sampling(options, plan.schema.names)
    check_media_options(options, plan.media_kind if plan.media_column else ())
    refused = read_policy(options, plan).explain(plan.sample_uris, tolerated=STRAY)
    if refused:
        raise ConfigurationError(refused)
    task = make_task(options, plan.media_kind, plan.schema.names)
    if options.think:
        if not leaves_room(task):
            raise ConfigurationError(
                f"--think: answers of the task {task.name} are held to a form or are probabilities"
                " here, which leaves no room for thoughts. Leave it out, or let the answer be free"
                " text."
            )
        task = thinking(task, max_new_tokens=options.max_new_tokens)
    check_documents(options, task)
    check_text_layer(options, plan, task)
    check_outcome(options, task)
    check_engine(options, checkpoint, task)
    return task


def describe(options: JobOptions, plan: SourcePlan, checkpoint: Model | None, task: Task) -> str:
    """What ``--dry-run`` prints: every option as resolved, and the plan."""
    from pipelines.wiring.notices import notices

    values = safe_options(options)
    lines = ["# Options, as for --config"]
    for title, names in groups(type(options)).items():
        lines += ["", f"# {title}"]
        lines += [_yaml_line(name, values[name]) for name in names if name in values]
    rows = "unknown until read" if plan.total_rows is None else f"{plan.total_rows:,}"
    state = "".join(
        f", {name} {value}" for name, value in plan.snapshot.items() if name != "format"
    )
    lines += [
        "",
        "# Plan",
        (
            f"#   read      {plan.format}{safe_text(state)}, {len(plan.splits):,} file(s), rows:"
            f" {rows}; {_media(plan)}, id from {plan.id_column or 'the URI and prompt fields'}"
        ),
        *(f"#   note      {note}" for note in notices(options, plan, checkpoint)),
        *_model(options, checkpoint, task),
        (
            f"#   write     {values['output']}: {', '.join(task.columns.names)} and "
            f"{', '.join(plan.schema.names)} from the manifest"
        ),
    ]
    return "\n".join(lines)


def _model(options: JobOptions, checkpoint: Model | None, task: Task) -> list[str]:
    from internvl_ops.models.encoders.config import Encoder

    if isinstance(checkpoint, Encoder):
        details = ", ".join(f"{name} {value}" for name, value in task.details.items())
        pictures = f"pictures of {checkpoint.tile_size} pixels, or texts"
        return [
            f"#   prepare   {pictures if checkpoint.reads_pictures else 'texts'}",
            f"#   generate  {options.engine}, {details}",
        ]
    if options.engine == "openai" or checkpoint is None:
        return [
            (
                f"#   prepare   upright pictures, for the server to cut into {options.max_tiles}"
                " tiles at most"
            ),
            (
                f"#   generate  {options.engine}, {options.model} at"
                f" {safe_uri(options.base_url or '')}, prompt: {task.prompt}"
            ),
        ]
    if not checkpoint.dynamic:
        return [
            (
                f"#   prepare   one tile of {checkpoint.tile_size} pixels an image, as the"
                " checkpoint was trained (dynamic_image_size false); --max-tiles counts only with"
                " --tiling always"
            ),
            (
                f"#   generate  {options.engine}, template {checkpoint.template}, prompt:"
                f" {task.prompt}"
            ),
        ]
    tokens = (options.max_tiles + 1) * checkpoint.tokens_per_tile
    return [
        (
            f"#   prepare   tiles of {checkpoint.tile_size} pixels, up to {options.max_tiles} and a"
            f" thumbnail: {tokens:,} image tokens at most, of a context of"
            f" {checkpoint.context_length:,}"
        ),
        f"#   generate  {options.engine}, template {checkpoint.template}, prompt: {task.prompt}",
    ]


def _media(plan: SourcePlan) -> str:
    return (
        "text alone"
        if plan.media_column is None
        else f"{plan.media_kind} in column {plan.media_column!r}"
    )


def _yaml_line(name: str, value: object) -> str:
    key = name.replace("_", "-")
    return (
        f"# {key}:"
        if value is None
        else yaml.safe_dump({key: value}, allow_unicode=True, width=1000).rstrip()
    )
