"""What a PDF's text layer does for a task: it stands for an answer, goes into the question, or
checks the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from internvl_ops.page_texts.block_places import Box, places_of
from internvl_ops.tasks.base import Task
from internvl_ops.tasks.block_types import box_of, on_page
from internvl_ops.tasks.conversation import Conversation
from internvl_ops.tasks.outcomes import Size

if TYPE_CHECKING:  # it imports PDFium, and this is imported where no document is opened
    from internvl_ops.media.text_layer import TextLayer

NO_COVER = frozenset({"no_text", "too_long", "hidden", "uncovered", "picture", "encoding"})
"""Doubts with which the page may show writing that the layer has not, so that nothing can be called
an invention."""
_MOST_ANCHORS = 3000  # characters in a prompt: about 1,500 tokens with the places
_TAG_BEGINS = re.compile(r"<(?=[/|A-Za-z])")
_ANCHORS = (
    "The file itself stores these texts for the page, each after its place [left, top, right,"
    " bottom], from 0 to 1000 of the page's width and height. They may lack something, and their"
    " order may be wrong: the page as you see it decides.\n"
)


def with_anchors(conversation: Conversation, layer: TextLayer) -> Conversation:
    """The conversation with the lines of the layer, and their places, behind its first question.

    What does not fit 3,000 characters is left out. Lines of a layer with a wrong encoding are no
    help: they stay out.
    """
    if not layer.lines or "encoding" in layer.doubts:
        return conversation
    lines: list[str] = []
    for line in layer.lines:
        box = [
            min(1000, max(0, round(1000 * side)))
            for side in (line.left, line.top, line.right, line.bottom)
        ]
        # No text of a file may be read as a special token, such as the place of a picture.
        lines.append(f"{box} {_TAG_BEGINS.sub('‹', line.text)}")
        if sum(map(len, lines)) > _MOST_ANCHORS:
            lines.pop()
            break
    first, *others = conversation.questions
    return replace(conversation, questions=(f"{first}\n\n{_ANCHORS}" + "\n".join(lines), *others))


def answer_of_layer(task: Task, text: str) -> dict[str, Any]:
    """The task's columns and the response, if the text layer is the answer."""
    return {"response": text, str(task.text): text}


def located(
    values: Mapping[str, Any], lines: Sequence[tuple[str, Box]], size: Size
) -> dict[str, Any]:
    """The column ``blocks`` with the places that an answer does not give, by the lines of the layer
    that have the words of a block; nothing if there are no blocks or no lines."""
    blocks = values.get("blocks")
    if not blocks or not lines:
        return {}
    unplaced = [block for block in blocks if block["box"] is None]
    texts = [block["text"] or "" for block in unplaced]
    for block, place in zip(unplaced, places_of(texts, lines), strict=True):
        inside = None if place is None else on_page(place)
        block["box"] = box_of(inside, (size.width, size.height))
        block["box_points"] = None if size.points is None else box_of(inside, size.points)
    return {"blocks": blocks}


def compared(
    task: Task, values: Mapping[str, Any], layer: str, doubts: Sequence[str]
) -> dict[str, Any]:
    """The columns that compare an answer with the layer; none of them if there is nothing to
    compare."""
    if task.text is None or not layer or values.get(task.text) is None:
        return {}
    # Imported here: not every job compares.
    from internvl_ops.page_texts.layer_comparison import compare

    found = compare(str(values[task.text]), layer, covers=not NO_COVER.intersection(doubts))
    return {
        "text_layer_similarity": found.similarity,
        "text_layer_word_similarity": found.word_similarity,
        "only_in_answer": found.only_in_answer,
        "only_in_text_layer": found.only_in_layer,
        "text_layer_flags": found.flags,
    }
