"""What the report page shows of a unit."""

from __future__ import annotations

import re
from typing import Any

from internvl_ops.tasks import Task
from pipelines import columns as c

# columns of a manifest in which a row has a question of its own
_QUESTIONS = ("question", "phrase")
ON_CARD = (
    c.ID,
    "boxes",
    "width",
    "height",
    "num_tiles",
    "num_frames",
    "notes",
    "clip_start",
    "clip_end",
    *_QUESTIONS,
)
_FIRST = 4  # numbers of a vector that the page shows
_LONGEST_VALUE = 200  # characters of a value on a card
_TAGS = re.compile(r"<box>.*?(?:</box>|$)|</?(?:ref|box|quad)>", re.DOTALL)


def unit_card(unit: dict[str, Any], task: Task) -> dict[str, Any]:
    """The values that the page shows for one unit."""
    asked = next((unit[name] for name in _QUESTIONS if unit.get(name)), None)
    start, end = unit.get("clip_start"), unit.get("clip_end")
    clip = "" if start is None or end is None else f"{start:.1f} to {end:.1f} s"
    return unit | {
        "asked": ", ".join(map(str, asked)) if isinstance(asked, list) else asked,
        "answer": _answer(unit, task),
        "clip": clip,
    }


def _answer(unit: dict[str, Any], task: Task) -> str:
    """The raw answer, or the values of the task's columns if answers have no raw form."""
    if not task.outcome.raw.names:
        return "\n".join(f"{name}: {_short(unit[name])}" for name in task.columns.names)
    answer = "\n".join(unit[name] or "" for name in task.outcome.raw.names)
    # The picture shows the boxes under their labels.
    return " ".join(_TAGS.sub(" ", answer).split()) if unit.get("boxes") else answer.strip()


def _short(value: Any) -> str:
    if (
        isinstance(value, list)
        and len(value) > _FIRST
        and all(isinstance(one, float) for one in value)
    ):
        first = ", ".join(f"{one:.3f}" for one in value[:_FIRST])
        return f"{len(value):,} numbers: {first}, …"
    text = str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
