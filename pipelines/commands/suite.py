"""Runs the benchmarks of a suite one after the other, with one Ray session and the same engines."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

from internvl_ops.errors import ConfigurationError
from internvl_ops.evaluation import BENCHMARKS
from internvl_ops.evaluation.suites import (
    PUBLISHED_MODELS,
    SUITES,
    published_figures,
    published_model,
    suite_markdown,
)
from internvl_ops.events import note
from internvl_ops.stores.redaction import safe_uri
from pipelines.commands.benchmark_scores import SCORES, score_benchmark
from pipelines.commands.evaluation import make_evaluate, plan_benchmark
from pipelines.commands.job import check_job, describe
from pipelines.commands.judges import JudgeFailed, ask_judge_early
from pipelines.interruption import Interrupted, end, phase, say
from pipelines.options.benchmark_options import EvaluateJobOptions
from pipelines.options.command_line import Mode, build_options, show
from pipelines.options.messages import nearest, say_now
from pipelines.output.folder import EVALUATION, OutputFolder
from pipelines.output.side_files import content_of, write_side_file
from pipelines.report.logs import configure, fail

if TYPE_CHECKING:
    from internvl_ops.tasks import Task
    from pipelines.sources import SourcePlan
    from pipelines.wiring.engines import Model

logger = logging.getLogger(__name__)

# Options that belong to the suite as a whole; a benchmark's entry cannot set them.
_WHOLE = ("suite", "beside", "benchmark", "output", "model", "engine", "ray_address")
_SUMMARY = f"{EVALUATION}/suite"
_ENDS = (1, 2)  # statuses of a job after which none starts


@dataclass(frozen=True)
class Job:
    """One benchmark of a suite, checked.

    Args:
        name: Name of the benchmark.
        options: Of its job.
        plan: Of its data.
        checkpoint: Of the model.
        task: Of its job.
    """

    name: str
    options: EvaluateJobOptions
    plan: SourcePlan
    checkpoint: Model | None
    task: Task


def run_suite(options: EvaluateJobOptions, mode: Mode) -> NoReturn:
    """Runs a suite, prints its table, and ends the process with the worst status of its jobs.

    Each benchmark has a job of its own in ``OUTPUT/NAME``, so the same command goes on where a run
    ended.
    """
    configure(as_json=options.log_json, quiet=options.quiet)
    try:
        jobs, absent = plan_suite(options, writes=mode == "run")
        if mode == "dry-run":
            parts = (describe(job.options, job.plan, job.checkpoint, job.task) for job in jobs)
            show(
                "\n\n".join(f"# {job.name}\n{part}" for job, part in zip(jobs, parts, strict=True))
            )
            sys.exit(0)
        _ask_servers(jobs)
        say_now(f"checked the data of {len(jobs)} benchmark(s)")
        sys.exit(_run(options, jobs, absent))
    except Interrupted:
        say("Interrupted. The same command goes on.")
        end()
    except ConfigurationError as error:
        fail(error, 2, logger, as_json=options.log_json)
    except OSError as error:
        fail(error, 1, logger, as_json=options.log_json)


def plan_suite(options: EvaluateJobOptions, *, writes: bool) -> tuple[list[Job], list[str]]:
    """Checks every job of the suite before one starts.

    Returns:
        The jobs, and the benchmarks of the suite without data.

    Raises:
        ConfigurationError: The file of the suite, or one of its jobs, is wrong.
    """
    assert options.suite is not None
    names = SUITES[options.suite]
    _check_whole(options)
    entries = read_suite(options.input, names)
    given = {name: getattr(options, name) for name in options.model_fields_set}
    given = {name: value for name, value in given.items() if name not in (*_WHOLE, "input")}
    shared = given | {"model": options.model, "engine": options.engine}
    jobs = []
    for name in names:
        if name not in entries:
            continue
        judge = (
            {}
            if BENCHMARKS[name].judge is not None
            else dict.fromkeys(("judge_url", "judge_model"))
        )
        values = {
            **shared,
            **judge,
            **entries[name],
            "benchmark": name,
            "output": f"{options.output.rstrip('/')}/{name}",
        }
        try:
            job = build_options(EvaluateJobOptions, values)
            plan, checkpoint, task = check_job(
                job, make_evaluate, make_plan=plan_benchmark, writes=writes
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"--suite {options.suite}, {name}: {error}") from None
        jobs.append(Job(name, job, plan, checkpoint, task))
    return jobs, [name for name in names if name not in entries]


def _check_whole(options: EvaluateJobOptions) -> None:
    """Refuses options that a suite has no use for."""
    if options.benchmark is not None:
        raise ConfigurationError(
            f"--benchmark {options.benchmark}: --suite {options.suite} runs several. Leave one of"
            " the two out."
        )
    for name, value in (("shards", options.shards > 1), ("shard", options.shard is not None)):
        if value:
            raise ConfigurationError(
                f"--{name} {getattr(options, name)}: a suite has no parts. Leave it out."
            )
    if options.beside is not None and options.beside not in PUBLISHED_MODELS:
        raise ConfigurationError(
            f"--beside {options.beside}: no figures are published for"
            f" it.{nearest(options.beside, PUBLISHED_MODELS)} There are some for:"
            f" {', '.join(PUBLISHED_MODELS)}."
        )


def read_suite(path: str, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The options of each benchmark from the file of a suite.

    Raises:
        ConfigurationError: It is not of the form, or names a benchmark that the suite does not
            have.
    """
    import fsspec
    import yaml

    from pipelines.options.yaml_nodes import check_nodes

    wanted = (
        "Give a YAML file such as: 'docvqa: {input: DocVQA/, split: validation}', with a line for"
        " each benchmark."
    )
    try:
        with fsspec.open(path, "rb") as file:
            text = file.read()
        if (root := yaml.compose(text)) is not None:
            check_nodes(root)
        found = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"--input {safe_uri(path)}: {error}. {wanted}") from None
    if not isinstance(found, dict) or not found:
        raise ConfigurationError(f"--input {safe_uri(path)}: it names no benchmark. {wanted}")
    entries: dict[str, dict[str, Any]] = {}
    for name, entry in found.items():
        if name not in names:
            raise ConfigurationError(
                f"--input {safe_uri(path)}: {name} is not in the suite.{nearest(str(name), names)}"
                f" It has: {', '.join(names)}."
            )
        values = {"input": entry} if isinstance(entry, str) else entry
        if not isinstance(values, dict) or not isinstance(values.get("input"), str):
            raise ConfigurationError(f"--input {safe_uri(path)}: {name} has no input. {wanted}")
        values = {str(key).replace("-", "_"): value for key, value in values.items()}
        if whole := [key for key in values if key in _WHOLE]:
            raise ConfigurationError(
                f"--input {safe_uri(path)}: {name} sets {whole[0]}, which is for the whole suite."
                " Leave it out there."
            )
        folder = str(PurePosixPath(path).parent) if "://" not in path else path.rpartition("/")[0]
        entries[name] = {key: _beside(folder, key, value) for key, value in values.items()}
    return entries


def _beside(folder: str, key: str, value: Any) -> Any:
    """A path relative to the file of the suite, as one that other code reads."""
    paths = ("input", "media_root", "annotations", "subtitles")
    if (
        key not in paths
        or not isinstance(value, str)
        or "://" in value
        or value.startswith(("/", "~"))
    ):
        return value
    return f"{folder}/{value}"


def _ask_servers(jobs: list[Job]) -> None:
    """Asks the model's server and the judges whether they answer, before anything starts.

    Raises:
        ConfigurationError: One refuses the key or the model.
    """
    from pipelines.wiring.engines import check_endpoint

    waiting = [check_endpoint(jobs[0].options)]
    judges = {(job.options.judge_url, job.options.judge_model): job.options for job in jobs}
    waiting += [ask_judge_early(options) for options in judges.values()]
    for line in filter(None, waiting):
        note(logger, "notice", f"Note: {line}")


def _run(options: EvaluateJobOptions, jobs: list[Job], absent: list[str]) -> int:
    """Runs the jobs; returns the worst of their exit statuses."""
    from pipelines.job_series import job_series

    status = 0
    figures: dict[str, dict[str, float]] = {}
    not_run = dict.fromkeys(absent, "no data given")
    with job_series(options, [job.options for job in jobs]) as run_job:
        for number, job in enumerate(jobs, 1):
            say_now(f"{job.name}, {number} of {len(jobs)}")
            record = run_job(job.options, job.plan, job.checkpoint, job.task)
            status = max(status, record.exit_status)
            if not options.quiet or record.exit_status:
                show(record.summary())
            if record.all_done:
                try:
                    show(score_benchmark(job.options, job.plan))
                    figures[job.name] = _figures(job.options.output)
                except JudgeFailed as error:
                    status = max(status, 1)
                    not_run[job.name] = "not judged"
                    note(logger, "judge_failed", f"{job.name}: {error}")
            else:
                not_run[job.name] = "not finished"
            if record.exit_status in _ENDS:
                break
    not_run |= {job.name: "not started" for job in jobs if job.name not in {*figures, *not_run}}
    with phase("closing"):
        show(_summary(options, figures, not_run))
    return status


def _figures(folder: str) -> dict[str, float]:
    """The figures that a job has just written."""
    text = content_of(OutputFolder(folder), SCORES)
    found: dict[str, float] = json.loads(text or b"{}").get("figures", {})
    return found


def _summary(
    options: EvaluateJobOptions, figures: dict[str, dict[str, float]], not_run: dict[str, str]
) -> str:
    """Writes the table of the suite; returns what is printed."""
    model = options.beside or published_model(options.model)
    assert options.suite is not None
    output, table = (
        OutputFolder(options.output),
        suite_markdown(options.suite, figures, not_run, model),
    )
    result = {
        "suite": options.suite,
        "model": safe_uri(options.model),
        "beside": model,
        "figures": figures,
        "published": {name: published_figures(name, model) for name in figures},
        "not_run": not_run,
    }
    at = [
        write_side_file(output, f"{_SUMMARY}.{suffix}", text.encode(), "suite", beside=True)
        for suffix, text in (
            ("json", json.dumps(result, indent=1, ensure_ascii=False)),
            ("md", f"{table}\n"),
        )
    ]
    folder = safe_uri(output.uri)
    beside = (
        f"compared with {model}"
        if model
        else "no published figures, because --model names no published checkpoint"
    )
    lines = [
        (
            f"\nSuite {options.suite}, {len(figures)} of {len(figures) + len(not_run)} benchmarks;"
            f" {beside}."
        ),
        table,
    ]
    return "\n\n".join([*lines, f"  table     {folder}/{at[1]}\n  figures   {folder}/{at[0]}"])
