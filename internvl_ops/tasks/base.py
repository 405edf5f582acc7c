"""The types that describe a task."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pyarrow as pa

from internvl_ops.errors import UnitError
from internvl_ops.tasks.conversation import SUBTITLES, Answered, Conversation
from internvl_ops.tasks.outcomes import TEXT, Outcome

_MARKS = re.compile(r"</?(?:ref|box|quad|img)>|<IMG_CONTEXT>")


Row = Mapping[str, object]
PromptLanguage = Literal["en", "zh"]  # of a task's own prompt


@dataclass(frozen=True)
class Task:
    """One task, configured for a job.

    Args:
        name: As in ``jobs/<name>_dataset.py``.
        prompt: Asked if a row has no question of its own; recorded in the metadata of the results.
        columns: The task's own result columns. The outcome adds its own to them.
        converse: Makes conversations from a row's values in ``reads``. Raises ``UnitError`` of
            stage ``render`` and kind ``bad_row`` if the row does not say what to ask.
        parse: Makes a value for each of ``columns`` from the answers, and ``notes`` on them if
            there are any. Raises ``UnitError`` of stage ``parse`` and kind ``bad_answer`` if an
            answer cannot be used.
        max_new_tokens: Maximum length of an answer, in tokens; 0 if the answer is not a text.
        reads: Manifest columns that ``converse`` reads, if they exist.
        constrained: Whether generation is constrained to a form in every job of this task.
        unparsed: The column that is null if nothing in an answer could be parsed.
        text: The column with the text of a page, if the task reads text.
        parts: The single tasks, if this is several tasks in one pass.
        blank: Values of ``columns`` for a unit that shows nothing; columns that are not named are
            null.
        details: What determines answers and does not stand in the options themselves, such as the
            content of a file, by the option that names it. Kept with the answers and in
            ``run.json``.
        outcome: What the answers are: texts, or `NUMBERS`. It decides which engines can do the
            task, and which columns results have besides the task's own.
    """

    name: str
    prompt: str
    columns: pa.Schema
    converse: Callable[[Row], list[Conversation]]
    parse: Callable[[Answered], Mapping[str, object]]
    max_new_tokens: int = 0
    reads: tuple[str, ...] = ()
    constrained: bool = False
    unparsed: str | None = None
    text: str | None = None
    parts: tuple[Task, ...] = ()
    blank: Mapping[str, object] = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)
    outcome: Outcome = TEXT


def one_question(prompt: str, max_new_tokens: int) -> Callable[[Row], list[Conversation]]:
    """Asks the row's own question, or ``prompt`` if it has none."""

    def converse(row: Row) -> list[Conversation]:
        return [Conversation((text_of(row, "question") or prompt,), max_new_tokens)]

    return converse


def with_subtitles(conversation: Conversation, times: Sequence[float]) -> Conversation:
    """Inserts the subtitles that are on the screen at ``times``, in seconds, into the first
    question.

    For each time it takes the first subtitle that has begun and not ended, like VLMEvalKit. A
    subtitle that spans several frames is repeated.
    """
    if conversation.subtitles is None:
        return conversation
    lines = []
    for time_ms in (round(1000 * time) for time in times):
        shown = (one.text for one in conversation.subtitles if one.start < time_ms < one.end)
        if (text := next(shown, "")).strip():
            lines.append(text)
    first, *others = conversation.questions
    return replace(
        conversation,
        questions=(first.replace(SUBTITLES, "\n".join(lines), 1), *others),
        subtitles=None,
    )


def text_of(row: Row, column: str) -> str | None:
    """A row's text in ``column``; None if it is null, blank or missing.

    Raises:
        UnitError: ``bad_row`` if it is not a text.
    """
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str):
        raise bad_row(f"column '{column}' holds {value!r:.80}; a text is needed")
    return value if value.strip() else None


def without_marks(text: str) -> str:
    """``text`` without the family's special tokens, like the answers from ``chat()`` in the model
    cards."""
    return _MARKS.sub("", text)


def bad_row(message: str) -> UnitError:
    return UnitError("render", "bad_row", message)
