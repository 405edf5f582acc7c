"""The kinds of media that a row can have."""

from __future__ import annotations

from typing import Literal, get_args

MediaKind = Literal["image", "video", "document"]
# What is done with the text that a PDF stores for a page.
TextLayerMode = Literal["ignore", "compare", "prefer", "prompt"]
MEDIA_KINDS: tuple[MediaKind, ...] = get_args(MediaKind)
