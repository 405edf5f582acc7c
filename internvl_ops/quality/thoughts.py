"""Notes on answers that contain the model's thoughts."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARK = re.compile(r"<(/?)(?:think|thinking)>", re.IGNORECASE)
LEFT_OUT = "thoughts before the answer are left out"
HELD = "the answer holds thoughts: <think>…</think>"
UNFINISHED = "the answer ends within thoughts: <think> without </think>"


def thought_notes(answers: Iterable[str], *, left_out: bool) -> list[str]:
    """Notes about thoughts in a unit's answers; the answers stay unchanged.

    Args:
        answers: All texts of the unit. The opening ``<think>`` may be in the prompt, so that the
            answer only closes it.
        left_out: Whether thoughts of the model were removed from an answer.
    """
    last_marks = [marks[-1] for text in answers if (marks := _MARK.findall(text))]
    notes = [LEFT_OUT] if left_out else []
    if "/" in last_marks:
        notes.append(HELD)
    return [*notes, UNFINISHED] if "" in last_marks else notes


def without_thoughts(answer: str) -> str:
    """What an answer says after its thoughts, the last of them if there are several."""
    marks = list(_MARK.finditer(answer))
    if not marks:
        return answer
    return answer[marks[-1].end() :] if marks[-1][1] else answer[: marks[-1].start()]


def split_thoughts(text: str) -> tuple[str, str, bool]:
    """Splits a text into its thoughts, the answer after them, and whether the thoughts ended.

    The opening mark may be in the prompt, so that the text only closes it. If thoughts did not end,
    the answer is what stands before them.
    """
    marks = list(_MARK.finditer(text))
    if not marks:
        return "", text, True
    last = marks[-1]
    thoughts = text[: last.start()] if last[1] else text[last.end() :]
    return _MARK.sub("", thoughts).strip(), without_thoughts(text).strip("\n"), bool(last[1])
