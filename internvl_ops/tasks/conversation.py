"""What a task asks about a unit, and what came back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

SUBTITLES = "{subtitles}"  # the place of the frames' subtitles in a prompt


class Subtitle(NamedTuple):
    """A text that is on the screen between two times, in milliseconds."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Conversation:
    """Questions about a unit's media, asked in sequence; each question sees the earlier answers.

    Args:
        questions: At least one. The media come before the first question, unless it places them
            with ``<image>``.
        max_new_tokens: Maximum length of an answer, in tokens; 0 if the answer is not a text.
        json_schema: JSON text of a schema that the last answer must follow.
        choices: Texts, one of which the last answer must be.
        phrase: The phrase to find, if the task looks for something.
        task: Name of the task that asks, if there are several.
        min_new_tokens: Minimum length of an answer, in tokens, unless `max_new_tokens` is less.
        candidates: Texts of which the engine says how likely the answer is to begin with each.
        candidates_at: Number of the question, from 0, to whose answer `candidates` belong.
        subtitles: The video's subtitles. Those that are on the screen at the sampled frames replace
            `SUBTITLES` in the first question.
    """

    questions: tuple[str, ...]
    max_new_tokens: int = 0
    json_schema: str | None = None
    choices: tuple[str, ...] = ()
    phrase: str = ""
    task: str = ""
    min_new_tokens: int = 0
    subtitles: tuple[Subtitle, ...] | None = None
    candidates: tuple[str, ...] = ()
    candidates_at: int = 0


@dataclass(frozen=True)
class Dialogue:
    """A completed conversation.

    Args:
        conversation: The questions.
        responses: One answer per question, with special tokens, without the stop token. Empty if
            answers are not texts.
        replies: The engine's replies, one per question: `Reply`, or what the task's outcome says.
    """

    conversation: Conversation
    responses: Sequence[str]
    replies: Sequence[Any] = ()


@dataclass(frozen=True)
class Answered:
    """One answered unit, as input of a task's parser.

    Args:
        dialogues: In the order in which the task asked for them.
        width: Width of the upright original, in pixels; 0 without an image.
        height: Height of the upright original, in pixels; 0 without an image.
        points: Width and height of a PDF's page in points, 1/72 inch; None for other media.
    """

    dialogues: Sequence[Dialogue]
    width: int
    height: int
    points: tuple[float, float] | None = None

    @property
    def response(self) -> str:
        """The raw answer: the last answers of all dialogues, joined in order."""
        return "\n".join(dialogue.responses[-1] for dialogue in self.dialogues)

    @property
    def numbers(self) -> list[np.ndarray]:
        """The numbers of each dialogue, if the task's outcome is `NUMBERS`: float64 of shape
        (numbers,)."""
        return [dialogue.replies[-1].values for dialogue in self.dialogues]
