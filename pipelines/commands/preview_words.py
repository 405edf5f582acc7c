"""What an answer says, in words for a terminal or a page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pipelines import columns as c

_MOST_LABELS = 3  # of an answer
_VISIBLE = {
    code: "\ufffd" for code in [*range(9), 11, 12, *range(14, 32), 127, *range(128, 160)]
} | {13: None}


def printable(text: str) -> str:
    """``text`` without what a terminal would take as a command."""
    return text.translate(_VISIBLE)


def in_words(values: Mapping[str, Any], names: Collection[str]) -> str:
    """What an answer says.

    Args:
        values: Values of the task's columns.
        names: These columns.
    """
    if "score" in names:
        mean = "" if values["score_mean"] is None else f" (mean {values['score_mean']:.2f})"
        reason = f"\n{values['reason']}" if values["reason"] else ""
        return ("no number" if values["score"] is None else f"{values['score']:g}") + mean + reason
    if "labels" in names:
        likeliest = (values["labels"] or [])[:_MOST_LABELS]
        chances = ", ".join(f"{one['label']} {one['probability']:.2f}" for one in likeliest)
        return f"{values['label'] or 'no label'} ({chances})"
    if "boxes" in names and values["boxes"] is not None:
        return "\n".join(_box(box) for box in values["boxes"]) or "no boxes"
    text = next((values[name] for name in c.ANSWERS if name in names), None)
    if text is not None:
        return str(text)
    others = [f"{name}: {values[name]}" for name in names if values.get(name) is not None]
    return "\n".join(others) or str(values.get("response") or "")


def _box(box: Mapping[str, Any]) -> str:
    return f"{box['label']}: {box['x1']:.0f}, {box['y1']:.0f} to {box['x2']:.0f}, {box['y2']:.0f}"
