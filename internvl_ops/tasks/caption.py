"""Captioning. Prompt and limits are those of InternVL's own caption evaluation (COCO, Flickr30k, NoCaps)."""

from __future__ import annotations

import pyarrow as pa

from internvl_ops.tasks.base import Answered, Task


def _parse(answered: Answered) -> dict[str, object]:
    return {"caption": answered.response.strip()}


CAPTION = Task(
    name="caption",
    prompt="Provide a one-sentence caption for the provided image.",
    columns=pa.schema([pa.field("caption", pa.string())]),
    parse=_parse,
)
