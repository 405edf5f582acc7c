"""The text of images and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from internvl_ops.media.kinds import MediaKind
from internvl_ops.tasks import Task, ocr
from internvl_ops.tasks.forms import read_schema
from internvl_ops.tasks.ocr import BLOCK_FORMATS
from pipelines.options.job_options import InputNeeds
from pipelines.options.registered_task import Example, RegisteredTask
from pipelines.options.rules import refuse
from pipelines.options.tasks.ask import AskOptions


class OcrOptions(BaseModel):
    """OCR"""

    ocr_format: Literal["text", "markdown", "html", "boxes", "json"] = Field(
        "text", description="Format of the answer: plain text, Markdown or HTML with tables and "
        "formulas, lines with their boxes, or JSON: by --json-schema, or with --blocks the parts "
        "of the page with their boxes.")  # fmt: skip
    blocks: bool = Field(False, description="Add a column with the parts of each page, read from "
        "an answer in Markdown, HTML or JSON: headings, paragraphs, lists, tables as HTML, "
        "formulas, figures, captions, footnotes, page numbers.")  # fmt: skip
    language: Literal["en", "zh"] = Field(
        "en", description="Language of the task's own prompt, and so of the answer."
    )
    json_schema: str | None = Field(None, description="JSON schema that the answer must follow: a "
        "file, or the schema itself.")  # fmt: skip


def make_ocr(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    asks = isinstance(options, AskOptions)
    if not asks:
        check_ocr(options)
    # Beside blocks, the schema is that of the answers to questions.
    schema = None if asks and options.blocks else options.json_schema
    return ocr(
        options.ocr_format,
        options.language,
        json_schema=None if schema is None else read_schema(schema),
        blocks=options.blocks,
        prompt=options.prompt,
        max_new_tokens=options.max_new_tokens,
    )


def ocr_needs(options: Any) -> InputNeeds:
    return InputNeeds(page_by_page=True)


def check_ocr(options: Any) -> None:
    """Refuses options that have no effect on the chosen format.

    Raises:
        ConfigurationError: The message says what to add.
    """
    check_schema(options)
    check_language(options)
    if options.ocr_format not in BLOCK_FORMATS:
        refuse(
            options,
            ("blocks",),
            f"they are read from --ocr-format {', '.join(BLOCK_FORMATS)}, not {options.ocr_format}",
        )


def check_schema(options: Any) -> None:
    """Refuses a schema for an answer that is not JSON."""
    if options.ocr_format != "json":
        refuse(
            options,
            ("json_schema",),
            f"--ocr-format {options.ocr_format} is not JSON; add --ocr-format json",
        )


def check_language(options: Any) -> None:
    """Refuses a language for boxes, which have only one prompt."""
    if options.ocr_format == "boxes":
        refuse(
            options,
            ("language",),
            "--ocr-format boxes has only the prompt that the family was trained on",
        )


TASK = RegisteredTask(
    "ocr",
    OcrOptions,
    make_ocr,
    tiles=24,  # InternVL misses small text with fewer
    blank="skip",  # models read whole novels from blank pages
    needs=ocr_needs,
    examples=(
        *(
            Example(f"`--ocr-format {name}`", {"ocr_format": name})
            for name in ("text", "markdown", "html", "boxes")
        ),
        Example("`--ocr-format markdown` `--blocks`", {"ocr_format": "markdown", "blocks": True}),
        Example("`--ocr-format json` `--blocks`", {"ocr_format": "json", "blocks": True}),
        Example("`--ocr-format json`", {"ocr_format": "json", "json_schema": "{}"}),
    ),
)
