"""Reads text: plain, as Markdown or HTML, with boxes, or as JSON. It uses 24 tiles, since InternVL
misses small text with fewer (OpenGVLab/InternVL#1137)."""

from __future__ import annotations

import re
from typing import Literal

import pyarrow as pa

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.tasks.base import PromptLanguage, Row, Task, text_of, without_marks
from internvl_ops.tasks.block_html import html_as_lines
from internvl_ops.tasks.block_json import read_json_blocks
from internvl_ops.tasks.block_types import BLOCKS, Blocks
from internvl_ops.tasks.blocks import markdown, read_blocks
from internvl_ops.tasks.boxes import parse_text_boxes
from internvl_ops.tasks.conversation import Answered, Conversation
from internvl_ops.tasks.forms import checked
from internvl_ops.tasks.grounding import BOXES
from internvl_ops.tasks.outcomes import ParseAnswer

OcrFormat = Literal["text", "markdown", "html", "boxes", "json"]

BLOCK_FORMATS = ("markdown", "html", "json")
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
    (
        "html",
        "en",
    ): (
        "Write this page as HTML: headings, paragraphs, lists, tables with colspan and rowspan,"
        " formulas as LaTeX between dollar signs, <figure> with <img alt> and <figcaption>,"
        " <header>, <footer>, <page_number> and <footnote>. Leave nothing out, add nothing. Answer"
        " with the HTML alone."
    ),
    (
        "html",
        "zh",
    ): (
        "请将此页转写为HTML：标题、段落、列表，表格用colspan和rowspan，公式用美元符号间的LaTeX，"
        "图用<figure>、<img alt>和<figcaption>，还有<header>、<footer>、<page_number>和<footnote>。"
        "不要遗漏，不要添加，只回答HTML本身。"
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
BLOCKS_PROMPTS = {
    "en": (
        "Write this page as a JSON list of its parts in the order of reading. Each part is an"
        ' object: "type" is heading, paragraph, list, table, formula, figure, caption, footnote,'
        ' code, header, footer or page_number; "box" is [left, top, right, bottom], from 0 to 1000'
        ' of the width and height of the page; "level" is that of a heading, from 1 to 6; "text" is'
        " Markdown, LaTeX of a formula, HTML of a table, a short description of a figure. Leave"
        " nothing out, add nothing. Answer with the JSON alone."
    ),
    "zh": (
        "请将此页按阅读顺序写成JSON列表，每个部分为一个对象：“type”为heading、paragraph、list、table、"
        "formula、figure、caption、footnote、code、header、footer或page_number；"
        "“box”为[左, 上, 右, 下]，取页面宽高的0到1000；“level”为标题级别，1到6；"
        "“text”为Markdown，公式用LaTeX，表格用HTML，"
        "图用简短描述。不要遗漏，不要添加，只回答JSON本身。"
    ),
}
"""Of the format ``json`` with blocks."""
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
    """The OCR task. Columns: ``text``; with boxes also ``boxes``, one per line; as JSON by a
    schema, ``json`` instead; ``blocks`` too if they are wanted.

    Args:
        format: Format of the answer.
        language: Language of the prompt.
        json_schema: JSON text of the schema; only with the format ``json``.
        blocks: Also read the parts of a page: headings, paragraphs, lists, tables, formulas,
            figures. Of the format ``json``, the answer is these parts with their boxes, and no
            schema is needed; the answer is not forced into a form, since what is broken is
            repaired.
        prompt: Replaces the format's own.
        max_new_tokens: Replaces 1,536.

    Raises:
        ConfigurationError: The format is ``json`` with neither schema nor blocks, or with both; or
            blocks are wanted of plain text or lines.
    """
    if blocks and format not in BLOCK_FORMATS:
        raise ConfigurationError(
            f"{keyword('blocks')} has no effect on {keyword('format', format)}: blocks are read"
            f" from {', '.join(BLOCK_FORMATS)}. Give {keyword('format', 'markdown')}."
        )
    if format == "json" and (json_schema is None) != blocks:
        schema_said, blocks_said = keyword("json_schema", "FILE"), keyword("blocks")
        if blocks:
            raise ConfigurationError(
                f"{blocks_said} and {schema_said}: two forms of an answer. Leave one out."
            )
        raise ConfigurationError(
            f"{keyword('format', 'json')} needs a form: add {schema_said}, or {blocks_said}."
        )
    schema = json_schema if format == "json" else None
    as_objects = blocks and format == "json"
    own = BLOCKS_PROMPTS[language] if as_objects else OCR_PROMPTS[format, language]
    asked = prompt or own + (schema or "")
    tokens = max_new_tokens or OCR_MAX_NEW_TOKENS

    def converse(row: Row) -> list[Conversation]:
        return [Conversation((text_of(row, "question") or asked,), tokens, json_schema=schema)]

    texts = [pa.field("text", pa.string()), *[pa.field("blocks", BLOCKS)] * blocks]
    columns: dict[str, list[pa.Field]] = {
        "boxes": [pa.field("text", pa.string()), pa.field("boxes", BOXES)],
        "json": texts if blocks else [pa.field("json", pa.string())],
    }
    parsers: dict[str, ParseAnswer] = {
        "boxes": _parse_boxes,
        "json": _parse_json_blocks if blocks else _parse_json,
        "html": _parse_html_and_blocks if blocks else _parse_text,
    }
    text_parser = _parse_text_and_blocks if blocks else _parse_text
    nothing: dict[str, object] = {"text": "", "blocks": []} if blocks else {"text": ""}
    blanks: dict[str, dict[str, object]] = {
        "boxes": {"text": "", "boxes": []},
        "json": nothing if blocks else {},
    }
    return Task(
        name="ocr",
        prompt=asked,
        columns=pa.schema(columns.get(format, texts)),
        converse=converse,
        parse=parsers.get(format, text_parser),
        max_new_tokens=tokens,
        reads=("question",),
        text=None if schema is not None else "text",
        constrained=schema is not None,
        unparsed="boxes" if format == "boxes" else None,
        blank=blanks.get(format, nothing),
    )


def without_fence(text: str) -> str:
    """A page without the code block that models often put it into."""
    fenced = _FENCE.match(text)
    return fenced[1].strip() if fenced else text


def _parse_text(answered: Answered) -> dict[str, object]:
    return {"text": without_fence(without_marks(answered.response).strip())}


def _parse_text_and_blocks(answered: Answered) -> dict[str, object]:
    found = read_blocks(without_marks(answered.response))
    return {**_parse_text(answered), **_blocks(found, answered)}


def _parse_html_and_blocks(answered: Answered) -> dict[str, object]:
    text = _parse_text(answered)
    return {**text, **_blocks(read_blocks(html_as_lines(str(text["text"]))), answered)}


def _parse_json_blocks(answered: Answered) -> dict[str, object]:
    found = read_json_blocks(without_marks(answered.response))
    return {"text": markdown(found.blocks), **_blocks(found, answered)}


def _blocks(found: Blocks, answered: Answered) -> dict[str, object]:
    rows = found.rows((answered.width, answered.height), answered.points)
    return {"blocks": rows, "notes": found.repairs}


def _parse_json(answered: Answered) -> dict[str, object]:
    (dialogue,) = answered.dialogues
    return {"json": checked(dialogue)}


def _parse_boxes(answered: Answered) -> dict[str, object]:
    text, boxes = parse_text_boxes(answered.response, answered.width, answered.height)
    return {"text": text, "boxes": None if boxes is None else [vars(box) for box in boxes]}
