"""The options of single tasks, and how each task is made of them; `pipelines.options.tasks`
registers both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from internvl_ops.errors import ConfigurationError
from internvl_ops.media.kinds import MediaKind
from internvl_ops.tasks import Task, ask, caption, classify, ground, ocr, score
from internvl_ops.tasks.forms import read_schema
from internvl_ops.tasks.judged_texts import TEXT_COLUMNS
from internvl_ops.tasks.judging import Domain, Judge, Reason
from pipelines.options.job_options import InputNeeds
from pipelines.options.task_rules import check_classify, check_ocr, check_score
from pipelines.sources.options import PROMPT_COLUMNS


class CaptionOptions(BaseModel):
    """Caption"""

    style: Literal["short", "detailed", "dense"] = Field("short", description="How detailed a "
        "caption is.")  # fmt: skip
    language: Literal["en", "zh"] = Field(
        "en", description="Language of the task's own prompt, and so of the answer."
    )


class OcrOptions(BaseModel):
    """OCR"""

    ocr_format: Literal["text", "markdown", "boxes", "json"] = Field(
        "text", description="Format of the answer: plain text, Markdown with tables and formulas, "
        "lines with their boxes, or JSON by --json-schema.")  # fmt: skip
    blocks: bool = Field(False, description="Add a column with the parts of each page, read from "
        "an answer in Markdown: headings, paragraphs, lists, tables as HTML, formulas, figures, "
        "page numbers.")  # fmt: skip
    language: Literal["en", "zh"] = Field(
        "en", description="Language of the task's own prompt, and so of the answer."
    )
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

    judge: Judge = Field("quality", description="What to judge from 0 to 10: the quality of a "
        "text, whether it repeats itself (10: not at all), or its agreement with the "
        "pictures.")  # fmt: skip
    domain: Domain = Field(
        "general", description="What a text of good quality is, for --judge quality."
    )
    reason: Reason = Field(
        "none", description="Ask for a reason in words, before the number or after it."
    )
    text_column: str | None = Field(None, description="Column with the text to judge, or with a "
        "conversation. "
        f"Default: the first of {', '.join(TEXT_COLUMNS)}.")  # fmt: skip
    pictures: bool = Field(True, description="Show the row's pictures to the judge.")


class ClassifyOptions(BaseModel):
    """Classify"""

    labels: tuple[str, ...] = Field((), description="A label. Repeat for more.")
    taxonomy: str | None = Field(None, description="YAML or JSON file with the labels: a list, or "
        "nested mappings whose labels become paths, animal/cat.")  # fmt: skip
    multi: bool = Field(False, description="Several labels may apply: ask for each by itself.")
    calibrate: str | None = Field(None, description="Correct the probabilities by rows whose truth "
        "is known: the output of an earlier run, or a Parquet or CSV file with its "
        "columns.")  # fmt: skip
    truth_column: str | None = Field(None, description="Column with the true label, or labels: for "
        "the figures at the end, and for --calibrate.")  # fmt: skip
    text_column: str | None = Field(None, description="Column with a text to label, with the "
        "pictures if there are any. Default: the pictures alone.")  # fmt: skip
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
        blocks=options.blocks,
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


def ocr_needs(options: Any) -> InputNeeds:
    return InputNeeds(page_by_page=True)


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
