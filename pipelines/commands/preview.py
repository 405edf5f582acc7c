"""What a preview is asked for, checked before anything slow is imported; `preview_run` answers."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field

from internvl_ops.errors import ConfigurationError
from internvl_ops.models.config import load_checkpoint
from pipelines.options.job_options import JobOptions, MediaOptions, ModelOptions, PromptOptions
from pipelines.options.rules import check_tasks
from pipelines.options.tasks import TASKS, AnnotateOptions, TaskName, tasks_by_option
from pipelines.run_folder import run_folder
from pipelines.sources.options import MEDIA_SUFFIXES, MediaKind
from pipelines.wiring.engines import check_engine, engine_maker


class PreviewOptions(AnnotateOptions, MediaOptions, PromptOptions, ModelOptions):
    """Preview"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    left_out: ClassVar[dict[str, str]] = {
        "tasks": "--task names the one that is done",
        "engines": "a preview runs one",
        "engine_timeout": "a preview is watched by whoever asked for it",
        "log_probs": "a preview shows answers alone",
        "combine_images": "each input is asked about by itself",
        "base_url": "a preview runs the model itself",
    }

    inputs: tuple[str, ...] = Field(description="Images, PDFs or videos: local paths or URIs.", min_length=1)
    task: TaskName = Field("caption", description="What is asked.")
    s3_anonymous: bool = Field(False, description="Read inputs from S3 without credentials, as public buckets allow.")
    drawings: str = Field(".", description="Folder for pictures with the boxes that were found.")
    max_tiles: int = Field(0, ge=0, le=40, description="Tiles an image is cut into at most; 0 is as in the task's job.")


def preview(options: PreviewOptions) -> int:
    """Answers every input and shows the answers.

    Returns:
        The exit status: 0, or 1 where an input could not be answered.

    Raises:
        ConfigurationError: As the jobs would raise it.
    """
    options = options.model_copy(update={"max_tiles": options.max_tiles or TASKS[options.task].tiles})
    _check(options)
    checkpoint = load_checkpoint(options.model)
    if options.tiling == "always":
        checkpoint = checkpoint.tiled(options.max_tiles)
    tasks = {kind: TASKS[options.task].task(options, kind, ()) for kind in map(kind_of, options.inputs)}
    # Its own fields are those of a job that the engine is made of.
    job = JobOptions.model_construct(
        **{name: getattr(options, name) for name in ModelOptions.model_fields}
        | {"max_tiles": options.max_tiles, "min_tiles": options.min_tiles}
    )
    task = next((task for task in tasks.values() if task.constrained), next(iter(tasks.values())))
    check_engine(job, checkpoint, task)
    make = engine_maker(job, checkpoint, task, options.gpus_per_engine or 1)
    assert isinstance(make, functools.partial)
    from pipelines.commands.preview_run import Preview  # takes seconds to import; what is wrong is said before

    with run_folder():
        return asyncio.run(Preview(options, checkpoint, tasks, functools.partial(make, watched_every=1)).run())


def kind_of(uri: str) -> MediaKind:
    """What a file is, by its suffix; an image where the suffix says nothing."""
    suffix = Path(urlsplit(uri).path).suffix.lower()
    return next((kind for kind, suffixes in MEDIA_SUFFIXES.items() if suffix in suffixes), "image")


def _check(options: PreviewOptions) -> None:
    if options.engine == "openai":
        raise ConfigurationError("--engine openai: a preview runs the model itself. Allowed are vllm, transformers.")
    for uri in options.inputs:
        if "://" not in uri and not uri.startswith("data:") and not Path(uri).expanduser().is_file():
            raise ConfigurationError(f"{uri}: no such file.")
    if options.min_tiles > options.max_tiles:
        raise ConfigurationError(
            f"--min-tiles {options.min_tiles} is above --max-tiles {options.max_tiles}. Lower one or raise the other."
        )
    if options.n > 1 and options.temperature == 0:
        raise ConfigurationError(
            f"--n {options.n} at --temperature 0 gives the same answer {options.n} times. Add --temperature 0.7."
        )
    check_tasks(options, [options.task], tasks_by_option())
