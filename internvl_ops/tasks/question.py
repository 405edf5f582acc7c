"""Questions, one or several per unit, about images, a video, or only text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from internvl_ops.errors import ConfigurationError, keyword
from internvl_ops.tasks.base import Row, Task, bad_row
from internvl_ops.tasks.conversation import Answered, Conversation
from internvl_ops.tasks.forms import checked, choices_of
from internvl_ops.tasks.listed import list_in

ASK_MAX_NEW_TOKENS = 100  # as in InternVL's own DocVQA, ChartQA and InfoVQA evaluations
TURNS = pa.list_(pa.struct([("question", pa.string()), ("answer", pa.string())]))


def ask(
    *,
    prompt: str | None = None,
    json_schema: str | None = None,
    choices: Sequence[str] = (),
    in_manifest: Sequence[str] = ("question", "choices"),
    max_new_tokens: int | None = None,
) -> Task:
    """The question task. Columns: ``answer``, to the last question, and ``turns``, every question
    with its answer.

    Args:
        prompt: Asked if a row has no ``question`` of its own: a text, or a list of texts that are
            asked in sequence.
        json_schema: JSON text of a schema that the last answer must follow.
        choices: Texts, one of which the last answer must be; a row's own ``choices`` replace them.
        in_manifest: Columns that the manifest has.
        max_new_tokens: Maximum length of the answer to one question.

    Raises:
        ConfigurationError: There is only one choice, or a schema beside choices.
    """
    tokens = max_new_tokens or ASK_MAX_NEW_TOKENS
    allowed = choices_of(choices)
    _check_form(allowed, json_schema)

    def converse(row: Row) -> list[Conversation]:
        questions = questions_of(row) or ([prompt] if prompt else [])
        if not questions:
            raise bad_row(
                "no question: column 'question' is null or empty. Fill it, or give"
                f" {keyword('prompt')} for such rows"
            )
        own = choices_of_row(row) or allowed
        return [Conversation(tuple(questions), tokens, json_schema=json_schema, choices=own)]

    return Task(
        name="ask",
        prompt=prompt or "the row's question",
        columns=pa.schema([pa.field("answer", pa.string()), pa.field("turns", TURNS)]),
        converse=converse,
        parse=_parse,
        max_new_tokens=tokens,
        reads=("question", "choices"),
        constrained=json_schema is not None or bool(allowed) or "choices" in in_manifest,
    )


def _check_form(choices: Sequence[str], json_schema: str | None) -> None:
    if choices and json_schema is not None:
        raise ConfigurationError(
            f"{keyword('choices', choices[0])} and {keyword('json_schema')}: an answer has one"
            " form. Leave one of them out."
        )
    if len(choices) == 1:
        raise ConfigurationError(
            f"{keyword('choices', choices[0])} is the only one, so every answer would be this. Give"
            f" {keyword('choices')} once for each answer that is allowed."
        )


def questions_of(row: Row) -> list[str]:
    """The questions of a row in their order; none if its column is null, empty or missing.

    Raises:
        UnitError: ``bad_row`` if one of several is empty or not a text.
    """
    value: Any = row.get("question")
    if value is None or (isinstance(value, str) and not value.strip()):
        return []
    given = value if isinstance(value, list) else [value]
    for number, question in enumerate(given, 1):
        if not isinstance(question, str) or not question.strip():
            raise bad_row(
                f"column 'question': number {number} of {len(given)} is {question!r:.80}; a text is"
                " needed"
            )
    return given


def choices_of_row(row: Row) -> tuple[str, ...]:
    """The answers that a row allows; none if it does not limit them.

    Raises:
        UnitError: ``bad_row`` if the column is not a list.
    """
    value = row.get("choices")
    if isinstance(value, str):  # the only form that a CSV can hold
        if not value.strip():
            return ()
        found = list_in(value)
        if found is None:
            raise bad_row(
                f"column 'choices' holds {value!r:.80}; a list of texts is needed, as text in"
                ' JSON: ["yes", "no"]'
            )
        value = found
    if value is None:
        return ()
    if not isinstance(value, list):
        raise bad_row(f"column 'choices' holds {value!r:.80}; a list of texts is needed")
    return choices_of(value)


def _parse(answered: Answered) -> dict[str, object]:
    (dialogue,) = answered.dialogues
    asked = zip(dialogue.conversation.questions, dialogue.responses, strict=True)
    return {
        "answer": checked(dialogue),
        "turns": [
            {"question": question, "answer": response.strip()} for question, response in asked
        ],
    }
