"""Checks the options of a preview before anything slow is imported; `preview_run` runs it."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from pipelines.options.job_options import InferenceOptions
from pipelines.options.own_tasks import find_task
from pipelines.options.registered_task import RegisteredTask
from pipelines.options.rules import check_answers, check_sampling, refuse
from pipelines.options.several_tasks import AnnotateOptions, check_tasks
from pipelines.options.tasks import TASKS, tasks_by_option
from pipelines.run_folder import run_folder
from pipelines.sources.options import MEDIA_SUFFIXES
from pipelines.wiring.engines import check_engine, engine_maker, load_model
from pipelines.wiring.media import check_media_options

if TYPE_CHECKING:
    from pipelines.commands.preview_run import Preview


class PreviewOptions(AnnotateOptions, InferenceOptions):
    """Preview"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    left_out: ClassVar[dict[str, str]] = {
        "tasks": "use --task to choose one",
        "engines": "a preview runs one engine",
        "engine_timeout": "a preview does not restart its engine; interrupt it if it hangs",
        "log_probs": "a preview shows only answers",
        "media_stats": "a preview shows only answers",
        "blank": "a preview always asks the model",
        "text_layer": "a preview always asks the model",
        "combine_images": "a preview asks about each input separately",
        "base_url": "a preview runs the model itself",
    }

    model: str = Field(description="InternVL checkpoint: a local directory or a Hugging Face name.")
    engine: Literal["vllm", "transformers"] = Field("vllm", description="Run the model with vLLM, "
        "or with plain transformers, which is slow.")  # fmt: skip
    engine_args: dict[str, Any] = Field({}, description="Engine arguments as JSON. For vllm: its "
        'own, such as \'{"quantization": "awq"}\'. For transformers: those of '
        'from_pretrained.')  # fmt: skip
    gpus_per_engine: Annotated[int, Field(ge=1)] | None = Field(
        None, description="GPUs for the engine (tensor parallel size). Default: 1.")  # fmt: skip
    special_tokens: Literal["text", "recognised"] = Field("text", description="How to read special "
        "tokens, such as <|im_end|>, that a question or system message contains. text: as text, "
        "except <image>, <ref>, <box> and <quad>. recognised: as special tokens.")  # fmt: skip
    inputs: tuple[str, ...] = Field(
        description="Images, PDFs or videos: local paths or URIs.", min_length=1
    )
    task: str = Field(
        "caption",
        description=f"Task to run: {', '.join(TASKS)}, or module:object for a task of your own.",
    )
    s3_anonymous: bool = Field(
        False, description="Read inputs from S3 without credentials, as public buckets allow."
    )
    drawings: str = Field(".", description="Folder for pictures with the detected boxes drawn in.")
    max_tiles: int = Field(0, ge=0, le=40, description="Maximum number of tiles per image, not "
        "counting the thumbnail; 0: as in the task's job.")  # fmt: skip

    def own_defaults(self) -> dict[str, Any]:
        """Defaults that depend on the task."""
        return {"max_tiles": find_task(self.task).tiles}


def run_preview(options: PreviewOptions) -> int:
    """Answers every input and shows the answers.

    Returns:
        The exit status: 0, or 1 if an input could not be answered.

    Raises:
        ConfigurationError: An option is wrong, as in the jobs.
    """
    make = prepared_preview(options)
    from pipelines.commands.preview_run import make_quiet

    make_quiet()
    with run_folder():
        return asyncio.run(make().run())


def prepared_preview(options: PreviewOptions) -> functools.partial[Preview]:
    """Checks the options and returns a function that makes the preview; nothing is loaded yet.

    Raises:
        ConfigurationError: As `run_preview`.
    """
    row = _task_of(options)
    refuse(
        options,
        ("think",),
        "a preview shows the whole answer; --system-message makes a model think",
    )
    options = options.model_copy(update={"max_tiles": options.max_tiles or row.tiles})
    _check(options)
    checkpoint = load_model(options)
    assert checkpoint is not None, "a preview runs the model itself"
    tasks = {kind: row.task(options, kind, ()) for kind in map(media_kind_of, options.inputs)}
    task = next((task for task in tasks.values() if task.constrained), next(iter(tasks.values())))
    if "boxes" not in task.columns.names:
        refuse(options, ("drawings",), f"the task {task.name} finds no boxes to draw here")
    if not task.outcome.generated:
        raise ConfigurationError(
            f"--task {options.task}: its answers are {task.outcome.name}, and a preview shows"
            " texts. Run its job, with --limit 3 for a first look."
        )
    check_engine(options, checkpoint, task)
    make = engine_maker(options, checkpoint, task, options.gpus_per_engine or 1)
    # takes seconds to import, so only after the checks
    from pipelines.commands.preview_run import Preview

    return functools.partial(
        Preview, options, checkpoint, tasks, functools.partial(make, watched_every=1)
    )


def media_kind_of(uri: str) -> MediaKind:
    """Kind of a file by its suffix; an image if the suffix is unknown."""
    suffix = Path(urlsplit(uri).path).suffix.lower()
    return next((kind for kind, suffixes in MEDIA_SUFFIXES.items() if suffix in suffixes), "image")


def _task_of(options: PreviewOptions) -> RegisteredTask:
    try:
        return find_task(options.task)
    except ConfigurationError as error:
        raise ConfigurationError(f"--task {options.task}: {error}") from error.__cause__


def _check(options: PreviewOptions) -> None:
    for uri in options.inputs:
        if (
            "://" not in uri
            and not uri.startswith("data:")
            and not Path(uri).expanduser().is_file()
        ):
            raise ConfigurationError(f"{uri}: no such file.")
    check_answers(options)
    check_sampling(options, ())
    kinds = set(map(media_kind_of, options.inputs))
    check_media_options(options, kinds)
    if kinds == {"video"}:
        refuse(options, ("max_tiles",), "a frame of a video is one tile")
    row = _task_of(options)
    check_tasks(options, [row.name], tasks_by_option([row]))
