"""Notes on answers in which a model says how it came to them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARK = re.compile(r"<(/?)(?:think|thinking)>", re.IGNORECASE)
LEFT_OUT = "thoughts before the answer are left out"
HELD = "the answer holds thoughts: <think>…</think>"
UNFINISHED = "the answer ends within thoughts: <think> without </think>"


def thought_notes(answers: Iterable[str], *, left_out: bool) -> list[str]:
    """What a result says of the thoughts in its answers, which stay as they are.

    Args:
        answers: All texts of the unit. A prompt may hold the first ``<think>``, so that the answer only ends it.
        left_out: Whether one of them is without thoughts that the model had.
    """
    last_marks = [marks[-1] for text in answers if (marks := _MARK.findall(text))]
    notes = [LEFT_OUT] if left_out else []
    if "/" in last_marks:
        notes.append(HELD)
    return [*notes, UNFINISHED] if "" in last_marks else notes
