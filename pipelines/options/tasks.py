"""The tasks as a job's options name them, in one registry: `TASKS`.

A new task is a module in internvl_ops/tasks, its options in `task_options`, its row in `TASKS`
here, a row in `pipelines.commands.registry`, and a script in jobs/. The command line, ``--tasks``
of `internvl-batch annotate`, the preview, hints of messages and the table in docs/tasks.md follow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, Field, create_model

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MEDIA_KINDS, MediaKind
from internvl_ops.tasks import Task, ask, several
from internvl_ops.tasks.judging import Domain
from internvl_ops.tasks.outcomes import COUNTED
from pipelines import columns as c
from pipelines.options.job_options import InputNeeds, JobOptions, PromptOptions, tiles
from pipelines.options.rules import refuse
from pipelines.options.task_options import (
    AskOptions,
    CaptionOptions,
    ClassifyOptions,
    GroundOptions,
    NoOptions,
    OcrOptions,
    ScoreOptions,
    classify_needs,
    make_ask,
    make_caption,
    make_classify,
    make_ground,
    make_ocr,
    make_score,
    ocr_needs,
    score_needs,
)
from pipelines.options.task_rules import check_tasks

# Makes a task from options, what the media are, and the manifest's columns.
MakeTask = Callable[[Any, MediaKind, Sequence[str]], Task]


@dataclass(frozen=True)
class Example:
    """A line of the table of tasks in docs/tasks.md.

    Args:
        shown: The options that a user sets, in Markdown.
        options: The same, as field values.
        reads: The kinds of media, in words.
        media: The kind of media.
    """

    shown: str
    options: Mapping[str, Any] = field(default_factory=dict)
    reads: str = "images, pages"
    media: MediaKind = "image"


@dataclass(frozen=True)
class RegisteredTask:
    """What the commands need to know about a task.

    Args:
        name: Its name in ``--tasks``, in the preview's ``--task``, and in the name of its job.
        options: The task's own options. Their docstring is their title in ``--help``.
        make: Makes the task. ``media`` is always one of those below.
        tiles: Default for ``--max-tiles``.
        blank: Default for ``--blank``.
        media: Kinds of media that the task reads.
        text_alone: Whether a row may have no media.
        needs: What the task needs of the input by its options, if that is more than `text_alone`
            says.
        examples: Lines of the table in docs/tasks.md.
    """

    name: str
    options: type[BaseModel]
    make: MakeTask
    tiles: int
    blank: Literal["ask", "skip"] = "ask"
    media: tuple[MediaKind, ...] = ("image", "document")
    text_alone: bool = False
    needs: Callable[[Any], InputNeeds] | None = None
    examples: tuple[Example, ...] = ()

    @classmethod
    def of(cls, task: Task) -> RegisteredTask:
        """A task that is ready, without options of its own, for media of every kind."""
        return cls(
            task.name, NoOptions, lambda options, media, columns: task, tiles=12, media=MEDIA_KINDS
        )

    def task(self, options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
        """The task for this input.

        Raises:
            ConfigurationError: The task does not read such media, or the options do not fit.
        """
        if media not in self.media:
            reads = " and ".join(_PLURAL[kind] for kind in self.media)
            raise ConfigurationError(
                f"The task {self.name} reads {reads}; the input has {_PLURAL[media]}."
            )
        task = self.make(options, media, columns)
        if taken := [
            name for name in task.columns.names if name in _TAKEN or name.startswith("__")
        ]:
            raise ConfigurationError(
                f"The task {self.name} has a column {taken[0]!r}, which every result has:"
                " rename it."
            )
        return task

    def job_options(self) -> type[JobOptions]:
        """Options of its job: its own and every job's."""
        registered = self

        class Options(self.options, JobOptions):  # type: ignore[name-defined]
            max_tiles: int = tiles(self.tiles)
            blank: Literal["ask", "skip"] = Field(
                self.blank, description=JobOptions.model_fields["blank"].description
            )

            @property
            def input_needs(self) -> InputNeeds:
                """What the task needs of the input."""
                needs = registered.needs
                return (
                    InputNeeds(media_optional=registered.text_alone)
                    if needs is None
                    else needs(self)
                )

            def make_task(self, media: MediaKind, columns: Sequence[str]) -> Task:
                """The task for this input."""
                return registered.task(self, media, columns)

        return Options


# Columns that results have whatever the task.
_TAKEN = frozenset(
    {
        "id",
        "response",
        "error",
        "notes",
        "source_version",
        "model",
        "run_id",
        "samples",
        "mean_logprob",
        c.MORE,
    }
    | {*c.PREPARED.names, *c.EXPLODED.names, *COUNTED.names, *c.TEXT_LAYER.names, *c.COMPARED.names}
)
_PLURAL: dict[MediaKind, str] = {"image": "images", "document": "pages", "video": "videos"}
TASKS: dict[str, RegisteredTask] = {
    row.name: row
    for row in (
        RegisteredTask(
            "caption",
            CaptionOptions,
            make_caption,
            tiles=6,  # as InternVL evaluates captions
            media=("image", "document", "video"),
            examples=(
                *(
                    Example(f"`--style {style}`", {"style": style})
                    for style in ("short", "detailed", "dense")
                ),
                Example("`--style short`", reads="videos", media="video"),
            ),
        ),
        RegisteredTask(
            "ocr",
            OcrOptions,
            make_ocr,
            tiles=24,  # InternVL misses small text with fewer
            blank="skip",  # models read whole novels from blank pages
            needs=ocr_needs,
            examples=(
                *(
                    Example(f"`--ocr-format {name}`", {"ocr_format": name})
                    for name in ("text", "markdown", "boxes")
                ),
                Example(
                    "`--ocr-format markdown` `--blocks`", {"ocr_format": "markdown", "blocks": True}
                ),
                Example("`--ocr-format json`", {"ocr_format": "json", "json_schema": "{}"}),
            ),
        ),
        RegisteredTask(
            "ground",
            GroundOptions,
            make_ground,
            tiles=6,  # as InternVL evaluates RefCOCO
            examples=(
                Example("`phrase` column or `--phrase`"),
                Example("`--detect`", {"detect": True}),
            ),
        ),
        RegisteredTask(
            "ask",
            AskOptions,
            make_ask,
            tiles=12,  # as InternVL evaluates ChartQA
            media=("image", "document", "video"),
            text_alone=True,
            examples=(
                Example(
                    "`question` column or `--prompt`",
                    reads="images (one or several), pages, videos, text alone",
                ),
            ),
        ),
        RegisteredTask(
            "score",
            ScoreOptions,
            make_score,
            tiles=12,  # as for questions
            media=("image", "document", "video"),
            text_alone=True,
            needs=score_needs,
            examples=(
                *(
                    Example(
                        f"`--domain {name}`",
                        {"domain": name},
                        reads="texts, with images, pages or videos",
                    )
                    for name in get_args(Domain)
                ),
                Example(
                    "`--judge repetition`",
                    {"judge": "repetition", "pictures": False},
                    reads="texts",
                ),
                Example(
                    "`--judge agreement`",
                    {"judge": "agreement"},
                    reads="texts with images, pages or videos",
                ),
            ),
        ),
        RegisteredTask(
            "classify",
            ClassifyOptions,
            make_classify,
            tiles=6,  # as for captions
            media=("image", "document", "video"),
            needs=classify_needs,
            examples=(
                Example(
                    "`--labels A --labels B`",
                    {"labels": ("A", "B")},
                    reads="images, pages, videos; texts",
                ),
                Example(
                    "`--multi`",
                    {"labels": ("A", "B"), "multi": True},
                    "images, pages, videos; texts",
                ),
            ),
        ),
    )
}

if TYPE_CHECKING:
    EveryTask = BaseModel
else:
    EveryTask = create_model(
        "EveryTask", __base__=tuple(row.options for row in reversed(TASKS.values()))
    )


class AnnotateOptions(EveryTask):
    """Tasks"""

    tasks: str = Field(
        "caption,ocr,ground",
        description=(
            f"Tasks to run in one pass, in this order, separated by commas: {', '.join(TASKS)}, or "
            "module:object for a task of your own."
        ),
    )


def make_several(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    from pipelines.options.own_tasks import find_task, split_names

    try:
        rows = [find_task(name) for name in split_names(options.tasks)]
    except ConfigurationError as error:
        raise ConfigurationError(f"--tasks {options.tasks}: {error}") from error.__cause__
    names = [row.name for row in rows]
    if len(set(names)) < len(names) or not names:
        raise ConfigurationError(
            f"--tasks {options.tasks}: name at least one task, and each task once."
        )
    if options.prompt and names != ["ask"]:
        raise ConfigurationError(
            "--prompt: only for jobs of one task, because each of several tasks has its own prompt."
            " Leave it out."
        )
    check_tasks(options, names, tasks_by_option(rows))
    if names not in (["score"], ["classify"]):
        refuse(options, ("pictures",), "other tasks look at the pictures")
    refuse(options, ("truth_column",), "the command classify alone compares labels with the truth")
    return several([row.task(options, media, columns) for row in rows])


class AnnotateJobOptions(AnnotateOptions, JobOptions):
    """All tasks share the tiles of an image."""

    max_tiles: int = tiles(12)

    def make_task(self, media: MediaKind, columns: Sequence[str]) -> Task:
        """The task for this input."""
        return make_several(self, media, columns)


@functools.cache
def job_options(command: str) -> type[JobOptions]:
    """Options of the command that does a task, or several."""
    return AnnotateJobOptions if command == "annotate" else TASKS[command].job_options()


def tasks_by_option(others: Iterable[RegisteredTask] = ()) -> dict[str, list[str]]:
    """The tasks that have an option, by the option's name.

    Args:
        others: Tasks besides this package's own.
    """
    found: dict[str, list[str]] = {}
    for name, row in (TASKS | {row.name: row for row in others}).items():
        for option in row.options.model_fields:
            found.setdefault(option, []).append(name)
    return found


def table() -> str:
    """The tasks as a Markdown table, for docs/tasks.md: python -m pipelines.options.tasks"""
    lines = [
        "| command | reads | asks by default | columns | tiles | new tokens |",
        "|---|---|---|---|---:|---:|",
    ]
    for row in TASKS.values():
        options = create_model("Options", __base__=(row.options, PromptOptions))
        for example in row.examples:
            task = row.task(options(**example.options), example.media, ("question", "phrase"))
            asked = f"`{task.prompt.splitlines()[0]}`"
            prompt = "*the row's question*" if task.prompt == ask().prompt else asked
            columns = ", ".join(f"`{column}`" for column in task.columns.names)
            lines.append(
                f"| `{row.name}` {example.shown} | {example.reads} | {prompt} | {columns} |"
                f" {row.tiles} | {task.max_new_tokens:,} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
