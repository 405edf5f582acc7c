"""Options of the command ``preview``: one or several models and prompts, over files or rows of a
manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from internvl_ops.errors import ConfigurationError
from pipelines.commands.preview import PreviewOptions, run_preview
from pipelines.options.command_line import Mode, build_options
from pipelines.options.job_options import InferenceOptions, InputOptions, JobOptions
from pipelines.options.own_tasks import with_tasks
from pipelines.options.row_sampling import Seed
from pipelines.options.rules import changed, refuse
from pipelines.options.several_tasks import AnnotateOptions
from pipelines.options.tasks import TASKS, job_options

MOST_ROWS = 500


class TriesOptions(AnnotateOptions, InferenceOptions, InputOptions):
    """Preview"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    left_out: ClassVar[dict[str, str]] = {
        "tasks": "use --task to choose one",
        "engines": "a preview runs one engine",
        "engine_timeout": "a preview is watched by you; interrupt it if it hangs",
        "log_probs": "a preview shows only answers",
        "media_stats": "a preview shows only answers",
        "limit": "--sample says how many rows are drawn",
    }

    inputs: tuple[str, ...] = Field((), description="Images, PDFs or videos: local paths or URIs.")
    input: str | None = Field(  # type: ignore[assignment]
        None, description="Instead of files: a manifest, directory, glob or output, of which "
        "--sample draws rows.")  # fmt: skip
    sample: Annotated[int, Field(ge=1, le=MOST_ROWS)] = Field(
        12, description="Number of rows to draw at random from --input, from at most 16 of its "
        "files. Of a document or video in parts, one part is drawn.")  # fmt: skip
    sample_seed: Seed = Field(0, description="Seed of the draw: the same seed draws the same rows.")
    task: str = Field(
        "caption",
        description=f"Task to run: {', '.join(TASKS)}, or module:object for a task of your own.",
    )
    model: tuple[str, ...] = Field(  # type: ignore[assignment]
        min_length=1, description="InternVL checkpoint: a local directory or a Hugging Face name; "
        "with --engine openai, the server's name for it. Repeat to compare models, which run one "
        "after another.")  # fmt: skip
    lora: tuple[str, ...] = Field(  # type: ignore[assignment]
        (), description="Apply a LoRA adapter to the model: PATH or NAME=PATH. Repeat to compare "
        "adapters; '' is the model without one.")  # fmt: skip
    prompt: tuple[str, ...] = Field(  # type: ignore[assignment]
        (), description="Prompt for every unit. Repeat to compare prompts; '' is the task's own. "
        "Default: the task's own.")  # fmt: skip
    gpus_per_engine: Annotated[int, Field(ge=1)] | None = Field(
        None, description="GPUs for the engine (tensor parallel size). Default: 1.")  # fmt: skip
    max_tiles: int = Field(0, ge=0, le=40, description="Maximum number of tiles per image, not "
        "counting the thumbnail; 0: as in the task's job.")  # fmt: skip
    interactive: bool = Field(False, description="Keep the engine running: type a prompt, see its "
        "answers, and the next. :help lists what else can be typed.")  # fmt: skip
    page: str | None = Field(None, description="Also write the answers side by side, with their "
        "pictures, as a page: a local HTML file.")  # fmt: skip
    choose: Annotated[int, Field(ge=1)] | None = Field(None, description="Write the settings of "
        "this model and prompt, by the number that it is shown under, to --job. On a terminal, a "
        "comparison asks at its end.")  # fmt: skip
    job: str = Field(
        "job.yaml", description="File for the chosen settings, as a job's --config takes it."
    )
    drawings: str = Field(".", description="Folder for pictures with the detected boxes drawn in, "
        "where one model and one prompt are shown.")  # fmt: skip

    @property
    def compared(self) -> bool:
        """Whether answers are shown side by side; else each is shown while it grows."""
        several = max(len(self.model), len(self.prompt), len(self.lora)) > 1
        others = (self.input, self.page, self.choose)
        return (
            several
            or self.interactive
            or self.engine == "openai"
            or any(one is not None for one in others)
        )


# Options of the command that are no option of a job, or are another there.
_OWN = frozenset({"inputs", "input", "sample", "sample_seed", "task", "model", "lora", "prompt",
                  "interactive", "page", "choose", "job", "drawings"})  # fmt: skip


def run(options: TriesOptions, mode: Mode) -> int:
    """The command.

    Returns:
        The exit status: 0, or 1 if a unit could not be answered.

    Raises:
        ConfigurationError: An option is wrong, as in the jobs.
    """
    if not options.inputs and options.input is None:
        raise ConfigurationError(
            "Nothing to preview: name images, PDFs or videos, or a manifest by --input."
        )
    if options.task == "score" and options.input is None:
        raise ConfigurationError(
            "--task score judges texts: name a manifest or an output that has them by --input."
        )
    if not options.compared:
        refuse(
            options,
            [name for name in InputOptions.model_fields if name != "s3_anonymous"],
            "it is about --input",
        )
        refuse(options, ("sample", "sample_seed"), "it draws rows of --input")
        return run_preview(_alone(options))
    from pipelines.commands.preview_tries import run_tries

    return run_tries(options)


def _alone(options: TriesOptions) -> PreviewOptions:
    """The options of a preview with one model and one prompt."""
    values = given(options) | {
        "inputs": options.inputs,
        "task": options.task,
        "model": options.model[0],
    }
    if changed(options, "drawings"):
        values["drawings"] = options.drawings
    for name in ("prompt", "lora"):
        if text := "".join(getattr(options, name)):
            values[name] = text
    cls: Any = with_tasks(PreviewOptions, [options.task], "task")
    return build_options(cls, values)


def given(options: TriesOptions) -> dict[str, Any]:
    """What the user gave of a job's own options, by name, without model, adapter and prompt."""
    values = {name: getattr(options, name) for name in options.model_fields_set - _OWN}
    return {name: value for name, value in values.items() if name != "max_tiles" or value}


def job_class(task: str) -> type[JobOptions]:
    """The options of the job that does a task."""
    from pipelines.options.own_tasks import RunOptions

    if task in TASKS:
        return job_options(task)
    cls: Any = with_tasks(RunOptions, [task], "task")
    return cls


def combinations(options: TriesOptions) -> Sequence[tuple[str, str | None]]:
    """Each model with each adapter."""
    return [(model, lora or None) for model in options.model for lora in options.lora or ("",)]
