"""The tasks as a job's options name them, in one registry: `TASKS`.

A new task is a module in internvl_ops/tasks, its options and its row in `TASKS` here, a row in
`pipelines.commands.registry`, and a script in jobs/. The command line, ``--tasks`` of `internvl-batch annotate`, the
preview, hints of messages and the table in docs/tasks.md follow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, Field, create_model

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MEDIA_KINDS, MediaKind
from internvl_ops.tasks import Task, ask, caption, classify, ground, ocr, score, several
from internvl_ops.tasks.forms import read_schema
from internvl_ops.tasks.judged_texts import TEXT_COLUMNS
from internvl_ops.tasks.judging import Domain, Judge, Reason
from internvl_ops.tasks.outcomes import COUNTED
from pipelines import columns as c
from pipelines.options.job_options import InputNeeds, JobOptions, PromptOptions, tiles
from pipelines.options.rules import check_classify, check_ocr, check_score, check_tasks, refuse
from pipelines.sources.options import PROMPT_COLUMNS


class CaptionOptions(BaseModel):
    """Caption"""

    style: Literal["short", "detailed", "dense"] = Field("short", description="How detailed a "
        "caption is.")  # fmt: skip
    language: Literal["en", "zh"] = Field("en", description="Language of the task's own prompt, and so of the answer.")


class OcrOptions(BaseModel):
    """OCR"""

    ocr_format: Literal["text", "markdown", "boxes", "json"] = Field(
        "text", description="Format of the answer: plain text, Markdown with tables and formulas, "
        "lines with their boxes, or JSON by --json-schema.")  # fmt: skip
    language: Literal["en", "zh"] = Field("en", description="Language of the task's own prompt, and so of the answer.")
    json_schema: str | None = Field(None, description="JSON schema that the answer must follow: a "
        "file, or the schema itself.")  # fmt: skip


class GroundOptions(BaseModel):
    """Grounding"""

    phrase: tuple[str, ...] = Field((), description="Look for this phrase in rows without a phrase "
        "of their own. Repeat for more.")  # fmt: skip
    detect: bool = Field(False, description="Look for every object, and let the model name them.")


class AskOptions(BaseModel):
    """Question"""

    json_schema: str | None = Field(None, description="JSON schema that the answer must follow: a "
        "file, or the schema itself.")  # fmt: skip
    choices: tuple[str, ...] = Field((), description="Allow this answer. Repeat for more. A row's "
        "own choices column has priority.")  # fmt: skip


class ScoreOptions(BaseModel):
    """Score"""

    judge: Judge = Field("quality", description="What to judge from 0 to 10: the quality of a text, whether it "
        "repeats itself (10: not at all), or its agreement with the pictures.")  # fmt: skip
    domain: Domain = Field("general", description="What a text of good quality is, for --judge quality.")
    reason: Reason = Field("none", description="Ask for a reason in words, before the number or after it.")
    text_column: str | None = Field(None, description="Column with the text to judge, or with a conversation. "
        f"Default: the first of {', '.join(TEXT_COLUMNS)}.")  # fmt: skip
    pictures: bool = Field(True, description="Show the row's pictures to the judge.")


class ClassifyOptions(BaseModel):
    """Classify"""

    labels: tuple[str, ...] = Field((), description="A label. Repeat for more.")
    taxonomy: str | None = Field(None, description="YAML or JSON file with the labels: a list, or nested mappings "
        "whose labels become paths, animal/cat.")  # fmt: skip
    multi: bool = Field(False, description="Several labels may apply: ask for each by itself.")
    calibrate: str | None = Field(None, description="Correct the probabilities by rows whose truth is known: the "
        "output of an earlier run, or a Parquet or CSV file with its columns.")  # fmt: skip
    truth_column: str | None = Field(None, description="Column with the true label, or labels: for the figures at the "
        "end, and for --calibrate.")  # fmt: skip
    text_column: str | None = Field(None, description="Column with a text to label, with the pictures if there are "
        "any. Default: the pictures alone.")  # fmt: skip
    pictures: bool = Field(True, description="Show the row's pictures to the judge.")


class NoOptions(BaseModel):
    """Task"""


def make_caption(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    return caption(
        options.style,
        options.language,
        media_kind=media,
        prompt=options.prompt,
        max_new_tokens=options.max_new_tokens,
    )


def make_ocr(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    if not isinstance(options, AskOptions):
        check_ocr(options)
    return ocr(
        options.ocr_format,
        options.language,
        json_schema=_schema(options),
        prompt=options.prompt,
        max_new_tokens=options.max_new_tokens,
    )


def make_ground(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    return ground(
        options.phrase,
        detect=options.detect,
        in_manifest="phrase" in columns,
        prompt=options.prompt,
        max_new_tokens=options.max_new_tokens,
    )


def make_ask(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    if "question" not in columns and not options.prompt:
        raise ConfigurationError(
            "Nothing to ask: the manifest has no column 'question'. Add it, or give --prompt TEXT."
        )
    return ask(
        prompt=options.prompt,
        json_schema=_schema(options),
        choices=options.choices,
        in_manifest=columns,
        max_new_tokens=options.max_new_tokens,
    )


def make_score(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    check_score(options)
    return score(
        options.judge,
        options.domain,
        prompt=options.prompt,
        reason=options.reason,
        text_column=options.text_column,
        in_manifest=columns,
        max_new_tokens=options.max_new_tokens,
    )


def make_classify(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    from pipelines.options.label_files import calibration_of, read_labels

    check_classify(options, columns)
    labels = read_labels(options.labels, options.taxonomy)
    return classify(
        labels,
        several=options.multi,
        prompt=options.prompt,
        text_column=options.text_column,
        in_manifest=columns,
        calibration=calibration_of(options, labels),
        max_new_tokens=options.max_new_tokens,
    )


def classify_needs(options: Any) -> InputNeeds:
    texts = () if options.text_column is None else (options.text_column,)
    return InputNeeds(
        media_optional=bool(texts),
        without_media=not options.pictures,
        prompt_columns=tuple(dict.fromkeys((*PROMPT_COLUMNS, *texts))),
    )


def score_needs(options: Any) -> InputNeeds:
    texts = TEXT_COLUMNS if options.text_column is None else (options.text_column,)
    return InputNeeds(
        media_optional=options.judge != "agreement",
        without_media=not options.pictures,
        prompt_columns=tuple(dict.fromkeys((*PROMPT_COLUMNS, *texts))),
    )


def _schema(options: Any) -> str | None:
    return None if options.json_schema is None else read_schema(options.json_schema)


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
        needs: What the task needs of the input by its options, if that is more than `text_alone` says.
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
        return cls(task.name, NoOptions, lambda options, media, columns: task, tiles=12, media=MEDIA_KINDS)

    @property
    def job(self) -> str:
        """File name of its job."""
        return f"{self.name}_dataset.py"

    def task(self, options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
        """The task for this input.

        Raises:
            ConfigurationError: The task does not read such media, or the options do not fit.
        """
        if media not in self.media:
            reads = " and ".join(_PLURAL[kind] for kind in self.media)
            raise ConfigurationError(f"The task {self.name} reads {reads}; the input has {_PLURAL[media]}.")
        task = self.make(options, media, columns)
        if taken := [name for name in task.columns.names if name in _TAKEN or name.startswith("__")]:
            raise ConfigurationError(
                f"The task {self.name} has a column {taken[0]!r}, which every result has: rename it."
            )
        return task

    def job_options(self) -> type[JobOptions]:
        """Options of its job: its own and every job's."""
        registered = self

        class Options(self.options, JobOptions):  # type: ignore[name-defined]
            max_tiles: int = tiles(self.tiles)
            blank: Literal["ask", "skip"] = Field(self.blank, description=JobOptions.model_fields["blank"].description)

            @property
            def input_needs(self) -> InputNeeds:
                """What the task needs of the input."""
                needs = registered.needs
                return InputNeeds(media_optional=registered.text_alone) if needs is None else needs(self)

            def make_task(self, media: MediaKind, columns: Sequence[str]) -> Task:
                """The task for this input."""
                return registered.task(self, media, columns)

        return Options


# Columns that results have whatever the task.
_TAKEN = frozenset(
    {"id", "response", "error", "notes", "source_version", "model", "run_id", "samples", "mean_logprob", c.MORE}
    | {*c.PREPARED.names, *c.EXPLODED.names, *COUNTED.names}
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
                *(Example(f"`--style {style}`", {"style": style}) for style in ("short", "detailed", "dense")),
                Example("`--style short`", reads="videos", media="video"),
            ),
        ),
        RegisteredTask(
            "ocr",
            OcrOptions,
            make_ocr,
            tiles=24,  # InternVL misses small text with fewer
            blank="skip",  # models read whole novels from blank pages
            examples=(
                *(Example(f"`--ocr-format {name}`", {"ocr_format": name}) for name in ("text", "markdown", "boxes")),
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
                    Example(f"`--domain {name}`", {"domain": name}, reads="texts, with images, pages or videos")
                    for name in get_args(Domain)
                ),
                Example("`--judge repetition`", {"judge": "repetition", "pictures": False}, reads="texts"),
                Example("`--judge agreement`", {"judge": "agreement"}, reads="texts with images, pages or videos"),
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
                Example("`--labels A --labels B`", {"labels": ("A", "B")}, reads="images, pages, videos; texts"),
                Example("`--multi`", {"labels": ("A", "B"), "multi": True}, "images, pages, videos; texts"),
            ),
        ),
    )
}

if TYPE_CHECKING:
    EveryTask = BaseModel
else:
    EveryTask = create_model("EveryTask", __base__=tuple(row.options for row in reversed(TASKS.values())))


class AnnotateOptions(EveryTask):
    """Tasks"""

    tasks: str = Field(
        "caption,ocr,ground",
        description=f"Tasks to run in one pass, in this order, separated by commas: {', '.join(TASKS)}, or "
        "module:object for a task of your own.",
    )


def make_several(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    from pipelines.options.own_tasks import find_task, split_names

    try:
        rows = [find_task(name) for name in split_names(options.tasks)]
    except ConfigurationError as error:
        raise ConfigurationError(f"--tasks {options.tasks}: {error}") from error.__cause__
    names = [row.name for row in rows]
    if len(set(names)) < len(names) or not names:
        raise ConfigurationError(f"--tasks {options.tasks}: name at least one task, and each task once.")
    if options.prompt and names != ["ask"]:
        raise ConfigurationError(
            "--prompt: only for jobs of one task, because each of several tasks has its own prompt. Leave it out."
        )
    check_tasks(options, names, tasks_by_option(rows))
    if names not in (["score"], ["classify"]):
        refuse(options, ("pictures",), "other tasks look at the pictures")
    refuse(options, ("truth_column",), "classify_dataset.py alone compares labels with the truth")
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
        "| job | reads | asks by default | columns | tiles | new tokens |",
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
                f"| `{row.job}` {example.shown} | {example.reads} | {prompt} | {columns} | {row.tiles} "
                f"| {task.max_new_tokens:,} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
