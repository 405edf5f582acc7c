"""Several tasks in one pass: the options of the command annotate, and of the preview, which has
those of every task."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, create_model

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from internvl_ops.tasks import Task, several
from internvl_ops.tasks.judged_texts import TEXT_COLUMNS
from pipelines.options.job_options import JobOptions, tiles
from pipelines.options.own_tasks import find_task, split_names
from pipelines.options.rules import refuse
from pipelines.options.tasks import TASKS, tasks_by_option
from pipelines.options.tasks.ocr import check_language, check_schema

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
    text_column: str | None = Field(None, description="Column with the text that the task score "
        f"judges, or that classify labels. Default: of score the first of {', '.join(TEXT_COLUMNS)}"
        "; of classify none, the pictures alone.")  # fmt: skip


def make_several(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
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


def check_tasks(
    options: Any, tasks: Collection[str], by_option: Mapping[str, Collection[str]]
) -> None:
    """Refuses options of tasks that do not run.

    Args:
        options: Options of a command with several tasks.
        tasks: Names of the tasks that run.
        by_option: The tasks that have an option, by the option's name.

    Raises:
        ConfigurationError: The message names the option and its tasks.
    """
    for name, for_tasks in by_option.items():
        if not set(tasks) & set(for_tasks):
            refuse(
                options,
                (name,),
                f"it is an option of the task {' or '.join(for_tasks)}, and this runs"
                f" {', '.join(tasks)}",
            )
    if "ask" not in tasks and "ocr" in tasks:
        check_schema(options)
    if "caption" not in tasks and "ocr" in tasks:
        check_language(options)
