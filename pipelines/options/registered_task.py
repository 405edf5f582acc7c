"""What the commands need to know about a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MEDIA_KINDS, MediaKind
from internvl_ops.tasks import Task
from internvl_ops.tasks.outcomes import COUNTED
from pipelines import columns as c
from pipelines.options.job_options import InputNeeds, JobOptions, tiles

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


class NoOptions(BaseModel):
    """Task"""


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
