"""Boxes of phrases, or of every object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, Field

from internvl_ops.media.kinds import MediaKind
from internvl_ops.tasks import Task, ground
from pipelines.options.registered_task import Example, RegisteredTask


class GroundOptions(BaseModel):
    """Grounding"""

    phrase: tuple[str, ...] = Field((), description="Look for this phrase in rows without a phrase "
        "of their own. Repeat for more.")  # fmt: skip
    detect: bool = Field(False, description="Look for every object, and let the model name them.")


def make_ground(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    return ground(
        options.phrase,
        detect=options.detect,
        in_manifest="phrase" in columns,
        prompt=options.prompt,
        max_new_tokens=options.max_new_tokens,
    )


TASK = RegisteredTask(
    "ground",
    GroundOptions,
    make_ground,
    tiles=6,  # as InternVL evaluates RefCOCO
    examples=(
        Example("`phrase` column or `--phrase`"),
        Example("`--detect`", {"detect": True}),
    ),
)
