"""Reads text: plain, as Markdown, with boxes, or as JSON. It uses 24 tiles, since InternVL misses
small text with fewer (OpenGVLab/InternVL#1137)."""

from __future__ import annotations

import re
from typing import Literal, get_args

import pyarrow as pa

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.tasks.base import PromptLanguage, Row, Task, text_of, without_marks
from internvl_ops.tasks.block_types import BLOCKS
from internvl_ops.tasks.blocks import read_blocks
from internvl_ops.tasks.boxes import parse_text_boxes
from internvl_ops.tasks.conversation import Answered, Conversation
from internvl_ops.tasks.forms import checked
from internvl_ops.tasks.grounding import BOXES

OcrFormat = Literal["text", "markdown", "boxes", "json"]

OCR_FORMATS: tuple[str, ...] = get_args(OcrFormat)
# with 24 tiles and a thumbnail, just fits the context of 8,192 in 1.5 and 2.0
OCR_MAX_NEW_TOKENS = 1536
OCR_PROMPTS: dict[tuple[str, str], str] = {
    (
        "text",
        "en",
    ): (
        "Read all the text in the image, line by line from top to bottom. Answer with the text"
        " alone."
    ),
    ("text", "zh"): "请从上到下逐行读出图中的所有文字，只回答文字本身。",
    (
        "markdown",
        "en",
    ): (
        "Write this page as Markdown: headings, lists, tables as Markdown tables, formulas as LaTeX"
        " between dollar signs. Leave nothing out, add nothing. Answer with the Markdown alone."
    ),
    (
        "markdown",
        "zh",
    ): (
        "请将此页转写为Markdown：标题、列表，表格用Markdown表格，公式用美元符号间的LaTeX。"
        "不要遗漏，不要添加，只回答Markdown本身。"
    ),
    # The wording that the family was trained on (OpenGVLab/InternVL#239).
    ("boxes", "en"): "请识别图中所有文字，并输出对应的坐标框",
    ("boxes", "zh"): "请识别图中所有文字，并输出对应的坐标框",
    (
        "json",
        "en",
    ): "Answer with JSON that holds what the image says, following this JSON schema:\n",
    ("json", "zh"): "请按以下JSON模式，用JSON回答图中的内容：\n",
}
_FENCE = re.compile(r"\A```[a-z]*\n(.*?)\n?(?:```)?\Z", re.DOTALL)


def ocr(
    format: OcrFormat = "text",
    language: PromptLanguage = "en",
    *,
    json_schema: str | None = None,
    blocks: bool = False,
    prompt: str | None = None,
    max_new_tokens: int | None = None,
) -> Task:
    """The OCR task. Columns: ``text``; with boxes also ``boxes``, one per line; as JSON, ``json``
    instead; of Markdown, ``blocks`` if they are wanted.

    Args:
        format: Format of the answer.
        language: Language of the prompt.
        json_schema: JSON text of the schema; only with the format ``json``.
        blocks: Also read the parts of a page from Markdown: headings, paragraphs, lists, tables,
            formulas, figures.
        prompt: Replaces the format's own.
        max_new_tokens: Replaces 1,536.

    Raises:
        ConfigurationError: The format is ``json`` but there is no schema, or blocks are wanted of
            another format than ``markdown``.
    """
    if blocks and format != "markdown":
        raise ConfigurationError(
            f"{keyword('blocks')} has no effect on {keyword('format', format)}: blocks are read"
            f" from Markdown. Give {keyword('format', 'markdown')}."
        )
    if format == "json" and json_schema is None:
        raise ConfigurationError(
            f"{keyword('format', 'json')} needs a schema: add {keyword('json_schema', 'FILE')}."
        )
    schema = json_schema if format == "json" else None
    asked = prompt or OCR_PROMPTS[format, language] + (schema or "")
    tokens = max_new_tokens or OCR_MAX_NEW_TOKENS

    def converse(row: Row) -> list[Conversation]:
        return [Conversation((text_of(row, "question") or asked,), tokens, json_schema=schema)]

    columns: dict[str, list[pa.Field]] = {
        "boxes": [pa.field("text", pa.string()), pa.field("boxes", BOXES)],
        "json": [pa.field("json", pa.string())],
        "markdown": [pa.field("text", pa.string()), *[pa.field("blocks", BLOCKS)] * blocks],
    }
    text_parser = _parse_text_and_blocks if blocks else _parse_text
    nothing: dict[str, object] = {"text": "", "blocks": []} if blocks else {"text": ""}
    return Task(
        name="ocr",
        prompt=asked,
        columns=pa.schema(columns.get(format, [pa.field("text", pa.string())])),
        converse=converse,
        parse={"boxes": _parse_boxes, "json": _parse_json}.get(format, text_parser),
        max_new_tokens=tokens,
        reads=("question",),
        text=None if format == "json" else "text",
        constrained=schema is not None,
        unparsed="boxes" if format == "boxes" else None,
        blank={"boxes": {"text": "", "boxes": []}, "json": {}}.get(format, nothing),
    )


def without_fence(text: str) -> str:
    """A page without the code block that models often put it into."""
    fenced = _FENCE.match(text)
    return fenced[1].strip() if fenced else text


def _parse_text(answered: Answered) -> dict[str, object]:
    return {"text": without_fence(without_marks(answered.response).strip())}


def _parse_text_and_blocks(answered: Answered) -> dict[str, object]:
    found = read_blocks(without_marks(answered.response))
    return {**_parse_text(answered), "blocks": found.rows(), "notes": found.repairs}


def _parse_json(answered: Answered) -> dict[str, object]:
    (dialogue,) = answered.dialogues
    return {"json": checked(dialogue)}


def _parse_boxes(answered: Answered) -> dict[str, object]:
    text, boxes = parse_text_boxes(answered.response, answered.width, answered.height)
    return {"text": text, "boxes": None if boxes is None else [vars(box) for box in boxes]}
