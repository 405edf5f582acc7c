"""The tasks as a job's options name them: one class of options a task, and how they become the task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from internvl_ops.errors import ConfigurationError
from internvl_ops.tasks import Task, ask, caption, ground, ocr, several
from internvl_ops.tasks.caption import STYLES
from internvl_ops.tasks.forms import read_schema
from pipelines.options.messages import nearest
from pipelines.options.rules import check_ocr, check_tasks
from pipelines.sources.options import MediaKind


class CaptionOptions(BaseModel):
    """Caption"""

    style: Literal["short", "detailed", "dense"] = Field("short", description="How much a caption says.")
    language: Literal["en", "zh"] = Field("en", description="Language of the task's own prompt, and so of the answer.")


class OcrOptions(BaseModel):
    """OCR"""

    ocr_format: Literal["text", "markdown", "boxes", "json"] = Field("text", description="What text is read as: plain, "
        "Markdown with tables and formulas, lines with their boxes, or JSON by --json-schema.")  # fmt: skip
    language: Literal["en", "zh"] = Field("en", description="Language of the task's own prompt, and so of the answer.")
    json_schema: str | None = Field(None, description="JSON schema the answer has to follow: a file, or the schema.")


class GroundOptions(BaseModel):
    """Grounding"""

    phrase: tuple[str, ...] = Field((), description="What to look for in rows without a phrase of their own. Repeat "
        "for more.")  # fmt: skip
    detect: bool = Field(False, description="Look for every object, and let the model name them.")


class AskOptions(BaseModel):
    """Question"""

    json_schema: str | None = Field(None, description="JSON schema the answer has to follow: a file, or the schema.")
    choices: tuple[str, ...] = Field((), description="An answer that is allowed; repeat for the others. A row's own "
        "choices column wins.")  # fmt: skip


class AnnotateOptions(AskOptions, GroundOptions, OcrOptions, CaptionOptions):
    """Tasks"""

    tasks: str = Field("caption,ocr,ground", description="Tasks to do in one pass, in this order, with commas between "
        "them: caption, ocr, ground, ask.")  # fmt: skip


def make_caption(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    return caption(
        options.style,
        options.language,
        media_kind=media,
        prompt=options.prompt,
        max_new_tokens=options.max_new_tokens,
    )


def make_ocr(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    _only_images("ocr", media)
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
    _only_images("ground", media)
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


def make_several(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    names = [name.strip() for name in options.tasks.split(",") if name.strip()]
    for name in names:
        if name not in MAKERS:
            raise ConfigurationError(
                f"--tasks {options.tasks}: {name!r} is no task; allowed are {', '.join(MAKERS)}.{nearest(name, MAKERS)}"
            )
    if len(set(names)) < len(names) or not names:
        raise ConfigurationError(f"--tasks {options.tasks}: name each task once, at least one.")
    if options.prompt and names != ["ask"]:
        raise ConfigurationError("--prompt: several tasks have a prompt each; it is for jobs of one task.")
    check_tasks(options, names)
    return several([MAKERS[name](options, media, columns) for name in names])


# Tiles an image is cut into at most: 6 for captions and grounding as InternVL evaluates, 24 because it misses small
# text with fewer, 12 as for ChartQA.
DEFAULT_TILES = {"caption": 6, "ocr": 24, "ground": 6, "ask": 12}
# From options, what the media are, and the manifest's columns.
MakeTask = Callable[[Any, MediaKind, Sequence[str]], Task]
MAKERS: dict[str, MakeTask] = {"caption": make_caption, "ocr": make_ocr, "ground": make_ground, "ask": make_ask}


def _schema(options: Any) -> str | None:
    return None if options.json_schema is None else read_schema(options.json_schema)


def _only_images(task: str, media: MediaKind) -> None:
    if media == "video":
        raise ConfigurationError(f"The task {task} reads images and pages; the input has videos.")


def table() -> str:
    """The tasks as a Markdown table, for docs/tasks.md: python -m pipelines.options.tasks"""
    rows = [
        "| job | reads | asks by default | columns | tiles | new tokens |",
        "|---|---|---|---|---:|---:|",
    ]
    shown: list[tuple[str, str, Task]] = [
        *(("caption", f"`--style {style}`", caption(style)) for style in STYLES),
        *(("caption", f"`--style {style}`", caption(style, media_kind="video")) for style in STYLES[:1]),
        *(("ocr", f"`--ocr-format {format}`", ocr(format)) for format in ("text", "markdown", "boxes")),
        ("ocr", "`--ocr-format json`", ocr("json", json_schema="{}")),
        ("ground", "`phrase` column or `--phrase`", ground()),
        ("ground", "`--detect`", ground(detect=True)),
        ("ask", "`question` column or `--prompt`", ask()),
    ]
    for name, option, task in shown:
        reads = MEDIA_OF["video"] if "video" in task.prompt else MEDIA_OF[name]
        columns = ", ".join(f"`{column}`" for column in task.columns.names)
        prompt = "*the row's question*" if task.prompt == ask().prompt else f"`{task.prompt.splitlines()[0]}`"
        rows.append(
            f"| `{name}_dataset.py` {option} | {reads} | {prompt} | {columns} | {DEFAULT_TILES[name]} "
            f"| {task.max_new_tokens:,} |"
        )
    return "\n".join(rows)


MEDIA_OF = {"caption": "images, pages", "ocr": "images, pages", "ground": "images, pages",
            "ask": "images (one or several), pages, videos, text alone", "video": "videos"}  # fmt: skip

if __name__ == "__main__":
    print(table())
