"""Pictures that compress and resize like photographs, made from a seed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def natural(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB image with detail at every scale, strong when coarse and weak when fine, as
    photographs have."""
    random = np.random.default_rng(seed)
    field = np.zeros((height, width, 3), np.float32)
    for grain in (4, 16, 64, 256):
        coarse_height, coarse_width = max(2, height * grain // 1024), max(2, width * grain // 1024)
        coarse = random.normal(size=(3, coarse_height, coarse_width)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(coarse[channel]).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            field[..., channel] += np.asarray(layer) * (90 / np.sqrt(grain))
    field += random.normal(size=field.shape).astype(np.float32) * 3
    return Image.fromarray(np.clip(field + 128, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    """The bytes of an image file; ``options`` as for Pillow's ``save``."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()
