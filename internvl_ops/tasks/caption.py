"""Captioning. The short prompt and its limits come from InternVL's own evaluation (COCO, Flickr30k,
NoCaps); the detailed prompts come from the samples in the model cards."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

from internvl_ops.tasks.base import PromptLanguage, Task, one_question
from internvl_ops.tasks.conversation import Answered

Style = Literal["short", "detailed", "dense"]

CAPTION_MAX_NEW_TOKENS: dict[str, int] = {"short": 30, "detailed": 512, "dense": 1024}
CAPTION_PROMPTS: dict[tuple[str, str, str], str] = {
    ("image", "short", "en"): "Provide a one-sentence caption for the provided image.",
    ("image", "detailed", "en"): "Please describe the image in detail.",
    (
        "image",
        "dense",
        "en",
    ): (
        "Describe everything in the image: each object with its colour, material, number and place,"
        " people and what they do, all text that can be read, the background, the light and the"
        " style."
    ),
    ("image", "short", "zh"): "请用一句话描述这张图片。",
    ("image", "detailed", "zh"): "请详细描述这张图片。",
    (
        "image",
        "dense",
        "zh",
    ): (
        "请描述图片中的一切：每个物体的颜色、材质、数量和位置，人物及其动作，所有可读的文字，"
        "以及背景、光线和风格。"
    ),
    ("video", "short", "en"): "Provide a one-sentence caption for the provided video.",
    ("video", "detailed", "en"): "Describe this video in detail.",
    (
        "video",
        "dense",
        "en",
    ): (
        "Describe everything in the video in the order in which it happens: scenes, people and "
        "what they do, objects, all text that can be read, and how the camera moves."
    ),
    ("video", "short", "zh"): "请用一句话描述这段视频。",
    ("video", "detailed", "zh"): "请详细描述这段视频。",
    (
        "video",
        "dense",
        "zh",
    ): "请按时间顺序描述视频中的一切：场景、人物及其动作、物体、所有可读的文字，以及镜头的运动。",
}


def caption(
    style: Style = "short",
    language: PromptLanguage = "en",
    *,
    media_kind: str = "image",
    prompt: str | None = None,
    max_new_tokens: int | None = None,
) -> Task:
    """The caption task; column ``caption``.

    Args:
        style: How detailed the caption is.
        language: Language of the prompt, and so of the answer.
        media_kind: ``image``, ``video`` or ``document``; a page is captioned as an image.
        prompt: Replaces the style's own.
        max_new_tokens: Replaces the style's own.
    """
    kind = "video" if media_kind == "video" else "image"
    asked = prompt or CAPTION_PROMPTS[kind, style, language]
    tokens = max_new_tokens or CAPTION_MAX_NEW_TOKENS[style]
    return Task(
        name="caption",
        prompt=asked,
        columns=pa.schema([pa.field("caption", pa.string())]),
        converse=one_question(asked, tokens),
        parse=_parse,
        max_new_tokens=tokens,
        reads=("question",),
    )


def _parse(answered: Answered) -> dict[str, object]:
    return {"caption": answered.response.strip()}
