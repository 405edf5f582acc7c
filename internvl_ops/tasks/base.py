"""What every task says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyarrow as pa

from internvl_ops.errors import UnitError

SUBTITLES = "{subtitles}"  # of the frames, in a prompt
_MARKS = re.compile(r"</?(?:ref|box|quad|img)>|<IMG_CONTEXT>")


class Subtitle(NamedTuple):
    """A text that is on the screen between two times, in milliseconds."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Conversation:
    """What is asked about a unit's media, one question after the other; each sees the answers before it.

    Args:
        questions: At least one. The media stand in front of the first, unless it places them with ``<image>``.
        max_new_tokens: Longest answer, in tokens.
        json_schema: JSON text of a schema that the last answer has to follow.
        choices: Texts one of which the last answer has to be.
        phrase: What is looked for, where the task looks for something.
        task: Name of the task that asks, where several do.
        min_new_tokens: Shortest answer, in tokens, unless `max_new_tokens` is less.
        subtitles: Of the video; those on the screen at the frames shown stand for `SUBTITLES` in the first question.
    """

    questions: tuple[str, ...]
    max_new_tokens: int
    json_schema: str | None = None
    choices: tuple[str, ...] = ()
    phrase: str = ""
    task: str = ""
    min_new_tokens: int = 0
    subtitles: tuple[Subtitle, ...] | None = None


@dataclass(frozen=True)
class Dialogue:
    """A conversation that was had.

    Args:
        conversation: What was asked.
        responses: An answer a question, special tokens kept, stop token removed.
    """

    conversation: Conversation
    responses: Sequence[str]


@dataclass(frozen=True)
class Answered:
    """One answered unit, as a task's parser sees it.

    Args:
        dialogues: In the order in which the task asked for them.
        width: Of the upright original, in pixels; 0 without an image.
        height: Likewise.
    """

    dialogues: Sequence[Dialogue]
    width: int
    height: int

    @property
    def response(self) -> str:
        """The raw answer: the last one of each dialogue, one after the other."""
        return "\n".join(dialogue.responses[-1] for dialogue in self.dialogues)


Row = Mapping[str, object]


@dataclass(frozen=True)
class Task:
    """One task, as it was set up for a job.

    Args:
        name: As in ``jobs/<name>_dataset.py``.
        prompt: Asked where a row has no question of its own; said in the metadata of the results.
        columns: The task's own result columns.
        converse: From a row's values in ``reads`` to what is asked. Raises ``UnitError`` of stage ``render`` and kind
            ``bad_row`` where the row does not say what to ask.
        parse: From the answers to a value for each of ``columns``. Raises ``UnitError`` of stage ``parse`` and kind
            ``bad_answer`` where an answer cannot be used.
        max_new_tokens: Longest answer, in tokens.
        reads: Manifest columns that ``converse`` looks at, where there are such.
        constrained: Whether answers are held to a form while they are generated, in every job of this task.
        unparsed: The column that is null where an answer held nothing that could be parsed.
        text: The column with what stands on a page, where the task reads that.
        parts: Of several tasks in one pass, each of them.
    """

    name: str
    prompt: str
    columns: pa.Schema
    converse: Callable[[Row], list[Conversation]]
    parse: Callable[[Answered], Mapping[str, object]]
    max_new_tokens: int
    reads: tuple[str, ...] = ()
    constrained: bool = False
    unparsed: str | None = None
    text: str | None = None
    parts: tuple[Task, ...] = ()


def one_question(prompt: str, max_new_tokens: int) -> Callable[[Row], list[Conversation]]:
    """Asks the row's own question, or ``prompt`` where it has none."""

    def converse(row: Row) -> list[Conversation]:
        return [Conversation((text_of(row, "question") or prompt,), max_new_tokens)]

    return converse


def with_subtitles(conversation: Conversation, times: Sequence[float]) -> Conversation:
    """With the subtitles that are on the screen at ``times``, in seconds, in the first question.

    At each time the first subtitle that has begun and not ended, as VLMEvalKit takes them; one that spans several
    frames is repeated.
    """
    if conversation.subtitles is None:
        return conversation
    lines = []
    for time_ms in (round(1000 * time) for time in times):
        shown = (one.text for one in conversation.subtitles if one.start < time_ms < one.end)
        if (text := next(shown, "")).strip():
            lines.append(text)
    first, *others = conversation.questions
    return replace(conversation, questions=(first.replace(SUBTITLES, "\n".join(lines), 1), *others), subtitles=None)


def text_of(row: Row, column: str) -> str | None:
    """A row's text in ``column``; None where it is null, blank or not there.

    Raises:
        UnitError: ``bad_row`` where it is not a text.
    """
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str):
        raise bad_row(f"column '{column}' holds {value!r:.80}; a text is needed")
    return value if value.strip() else None


def without_marks(text: str) -> str:
    """``text`` without the family's special tokens, as ``chat()`` of the model cards gives answers."""
    return _MARKS.sub("", text)


def bad_row(message: str) -> UnitError:
    return UnitError("render", "bad_row", message)
