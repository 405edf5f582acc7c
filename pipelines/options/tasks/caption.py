"""Captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from internvl_ops.media.kinds import MediaKind
from internvl_ops.tasks import Task, caption
from pipelines.options.registered_task import Example, RegisteredTask


class CaptionOptions(BaseModel):
    """Caption"""

    style: Literal["short", "detailed", "dense"] = Field("short", description="How detailed a "
        "caption is.")  # fmt: skip
    language: Literal["en", "zh"] = Field(
        "en", description="Language of the task's own prompt, and so of the answer."
    )


def make_caption(options: Any, media: MediaKind, columns: Sequence[str]) -> Task:
    return caption(
        options.style,
        options.language,
        media_kind=media,
        prompt=options.prompt,
        max_new_tokens=options.max_new_tokens,
    )


TASK = RegisteredTask(
    "caption",
    CaptionOptions,
    make_caption,
    tiles=6,  # as InternVL evaluates captions
    media=("image", "document", "video"),
    examples=(
        *(
            Example(f"`--style {style}`", {"style": style})
            for style in ("short", "detailed", "dense")
        ),
        Example("`--style short`", reads="videos", media="video"),
    ),
)
