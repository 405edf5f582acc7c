"""Runs a benchmark through the pipeline: plans its data as a manifest, asks, and scores."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NoReturn

from internvl_ops.errors import ConfigurationError
from internvl_ops.evaluation import BENCHMARKS, Benchmark, evaluate
from internvl_ops.evaluation.subtitles import SUFFIX
from internvl_ops.events import note
from internvl_ops.media.kinds import MEDIA_KINDS, MediaKind
from internvl_ops.tasks import Task
from pipelines.commands.benchmark_files import (
    annotations_of,
    files_of,
    has_published_folders,
    truth_suffix,
)
from pipelines.commands.benchmark_rows import BenchmarkRows
from pipelines.commands.benchmark_scores import score_benchmark
from pipelines.commands.benchmark_settings import asked_benchmark
from pipelines.commands.job import run_job
from pipelines.commands.judges import ask_judge_early, check_judge
from pipelines.commands.page_benchmarks import plan_pages
from pipelines.options.benchmark_options import EvaluateJobOptions
from pipelines.options.command_line import Mode
from pipelines.options.rules import refuse
from pipelines.sources import SourcePlan, plan_source, read_split
from pipelines.sources.storage import check_scheme, kind_of, walk
from pipelines.wiring.sources import source_options

logger = logging.getLogger(__name__)


def run(options: EvaluateJobOptions, mode: Mode) -> NoReturn:
    """Runs a benchmark, or a suite of them, and prints the scores; see
    `pipelines.commands.job.run_job`."""
    if options.suite is not None:
        from pipelines.commands.suite import run_suite

        run_suite(options, mode)
    if options.benchmark is None:
        raise ConfigurationError(
            "--benchmark is missing. Name one, or a set of them by --suite internvl2."
        )
    if options.beside is not None:
        raise ConfigurationError(f"--beside {options.beside} is for --suite alone. Leave it out.")
    make_plan = _plan_and_ask if mode == "run" else plan_benchmark
    run_job(options, mode, make_evaluate, make_plan=make_plan, closing=score_benchmark)


def _plan_and_ask(options: Any) -> SourcePlan:
    """Plans the job, and asks its judge whether it answers."""
    plan = plan_benchmark(options)
    if waiting := ask_judge_early(options):
        note(logger, "notice", f"Note: {waiting}")
    return plan


def plan_benchmark(options: Any) -> SourcePlan:
    """Plans how to read the benchmark's data.

    Raises:
        ConfigurationError: The data cannot be read or does not belong to the benchmark: a column is
            missing, no file belongs to the split, or none of the first rows can be asked and
            scored.
    """
    benchmark = BENCHMARKS[options.benchmark]
    if options.no_letter is not None and not benchmark.scores:
        raise ConfigurationError(
            f"--no-letter {options.no_letter} is for --benchmark videomme alone. Leave it out."
        )
    check_judge(options, benchmark)
    if options.subtitles is not None:
        _check_subtitles(options, benchmark)
    media = benchmark.media
    unused = [f"{kind}_column" for kind in MEDIA_KINDS if kind != media]
    refuse(options, unused, f"--benchmark {options.benchmark} has {media}s")
    refuse(options, ("clip_seconds", "clip_scenes"), "each question is about a whole video")
    if benchmark.pages is not None:
        return plan_pages(options, benchmark.pages)
    files = files_of(options)
    truth = truth_suffix(options, benchmark) if files["format"] == "files" else ""
    rows = BenchmarkRows(
        name=options.benchmark,
        truth=truth,
        input=options.input,
        split=options.split,
        media_column=options.video_column if media == "video" else options.image_column,
        id_column=options.id_column,
        answers=annotations_of(options.annotations),
        subtitles=options.subtitles,
        published_folders=has_published_folders(benchmark, options.media_root),
    )
    named: dict[str, Any] = dict.fromkeys(
        ("id_column", "image_column", "video_column", "document_column")
    )
    if truth:
        named["image_column"] = "image"  # a TIFF could be a document, too
    changes: dict[str, Any] = {**files, **named, "reshape": rows}
    plan = plan_source(replace(source_options(options), **changes))
    if truth:
        left_out = {
            suffix: count for suffix, count in plan.left_out.items() if not truth.endswith(suffix)
        }
        plan = replace(plan, left_out=left_out)
    first = next(
        (table for split in plan.splits for table in islice(read_split(plan, split, 100), 1)), None
    )
    if first is not None and len(first) and not first["__error"].null_count:
        raise ConfigurationError(
            f"--benchmark {options.benchmark}: none of the first {len(first)} rows can be used. "
            f"{first['__error'][0]['message'].as_py()}."
        )
    return plan


def _check_subtitles(options: Any, benchmark: Benchmark) -> None:
    if not benchmark.subtitles:
        raise ConfigurationError(
            f"--subtitles {options.subtitles} is for --benchmark videomme alone. Leave it out."
        )
    folder = check_scheme("--subtitles", options.subtitles).rstrip("/")
    if kind_of(folder) != "directory":
        raise ConfigurationError(f"--subtitles {options.subtitles}: no such folder.")
    if not any(name.endswith(SUFFIX) for name in walk(folder, recursive=False)):
        raise ConfigurationError(
            f"--subtitles {options.subtitles}: no {SUFFIX} file is in it. Unpack subtitle.zip."
        )


def make_evaluate(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    """The benchmark's task."""
    return evaluate(
        asked_benchmark(options),
        prompt=options.prompt,
        max_new_tokens=options.max_new_tokens,
        num_frames=options.num_frames if options.fps is None else None,
    )
