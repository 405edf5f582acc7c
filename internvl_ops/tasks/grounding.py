"""Finds boxes for phrases, or for all objects. Prompts and limits come from InternVL's RefCOCO
evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.tasks.base import Row, Task, bad_row
from internvl_ops.tasks.boxes import Box, parse_boxes
from internvl_ops.tasks.conversation import Answered, Conversation

PROMPT = (
    "Please provide the bounding box coordinates of the region this sentence describes:"
    " <ref>{}</ref>"
)
DETECT = "Please detect and label all objects in the following image and mark their positions."
GROUND_MAX_NEW_TOKENS = {"phrase": 100, "detect": 1024}

BOX = pa.struct(
    [("label", pa.string()), *((side, pa.float32()) for side in ("x1", "y1", "x2", "y2"))]
)
BOXES = pa.list_(BOX)
PHRASES = pa.list_(
    pa.struct([("phrase", pa.string()), ("response", pa.string()), ("num_boxes", pa.int32())])
)


def ground(
    phrases: Sequence[str] = (),
    *,
    detect: bool = False,
    in_manifest: bool = True,
    prompt: str | None = None,
    max_new_tokens: int | None = None,
) -> Task:
    """The grounding task: column ``boxes``, in pixels of the upright original.

    Each phrase is asked separately, as in the family's training, and labels its boxes. For each
    phrase, ``found`` holds the answer and the number of boxes, which is null if the answer
    contained no readable box.

    Args:
        phrases: The phrases to find if a row has no ``phrase``.
        detect: Find and label every object, and ignore phrases.
        in_manifest: Whether rows may have a ``phrase``: a text, or a list of texts.
        prompt: Replaces the family's own; ``{}`` marks the place of the phrase, unless `detect`.
        max_new_tokens: Maximum length of the answer to one question.

    Raises:
        ConfigurationError: There is nothing to find, or the prompt has no place for the phrase.
    """
    asked = prompt or (DETECT if detect else PROMPT)
    tokens = max_new_tokens or GROUND_MAX_NEW_TOKENS["detect" if detect else "phrase"]
    if detect:
        return Task(
            name="ground",
            prompt=asked,
            columns=pa.schema([pa.field("boxes", BOXES)]),
            converse=lambda row: [Conversation((asked,), tokens)],
            parse=_parse_objects,
            max_new_tokens=tokens,
            unparsed="boxes",
        )
    if "{}" not in asked:
        raise ConfigurationError(
            f"{keyword('prompt', repr(asked))}: has no {{}}, where each phrase goes."
        )
    if not phrases and not in_manifest:
        raise ConfigurationError(
            "Nothing to look for: the manifest has no column 'phrase'. Add it, or"
            f" {keyword('phrases', 'TEXT')}, or {keyword('detect')} for every object."
        )

    def converse(row: Row) -> list[Conversation]:
        looked_for = phrases_of(row) or phrases_given()
        return [
            Conversation((asked.replace("{}", phrase),), tokens, phrase=phrase)
            for phrase in looked_for
        ]

    def phrases_given() -> Sequence[str]:
        if not phrases:
            mend = f"Give a text, or {keyword('phrases')} for every row"
            raise bad_row(f"column 'phrase' is empty: nothing to look for. {mend}")
        return phrases

    return Task(
        name="ground",
        prompt=asked,
        columns=pa.schema([pa.field("boxes", BOXES), pa.field("found", PHRASES)]),
        converse=converse,
        parse=_parse_phrases,
        max_new_tokens=tokens,
        reads=("phrase",),
        unparsed="boxes",
    )


def phrases_of(row: Row) -> list[str]:
    """The phrases of a row, unchanged; none if its column is null or missing.

    Raises:
        UnitError: ``bad_row`` if one of them is empty or not a text.
    """
    value: Any = row.get("phrase")
    if value is None:
        return []
    given = value if isinstance(value, list) else [value]
    for number, phrase in enumerate(given, 1):
        if not isinstance(phrase, str) or not phrase.strip():
            raise bad_row(
                f"column 'phrase': number {number} of {len(given)} is {phrase!r:.80}; a text is"
                " needed"
            )
    return given


def _parse_phrases(answered: Answered) -> dict[str, object]:
    boxes: list[dict[str, object]] = []
    found = []
    for dialogue in answered.dialogues:
        phrase, response = dialogue.conversation.phrase, dialogue.responses[-1]
        parsed = parse_boxes(response, answered.width, answered.height)
        found.append(
            {
                "phrase": phrase,
                "response": response,
                "num_boxes": None if parsed is None else len(parsed),
            }
        )
        boxes += [vars(box) | {"label": phrase} for box in parsed or []]
    nothing = all(one["num_boxes"] is None for one in found)
    return {"boxes": None if nothing else boxes, "found": found}


def _parse_objects(answered: Answered) -> dict[str, object]:
    boxes: list[Box] | None = parse_boxes(answered.response, answered.width, answered.height)
    return {"boxes": None if boxes is None else [vars(box) for box in boxes]}
