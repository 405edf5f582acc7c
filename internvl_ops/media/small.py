"""Small pictures for the report."""

from __future__ import annotations

import io

from PIL import Image

from internvl_ops.media.library_settings import decoder_settings

SIDE = 320  # pixels of the longer side


def small_jpeg(image: Image.Image, width: int, height: int) -> bytes:
    """``image`` as a small JPEG with the proportions of ``width`` to ``height``, in pixels of the
    original."""
    scale = SIDE / max(width, height)
    small = io.BytesIO()
    image.resize((max(1, round(width * scale)), max(1, round(height * scale)))).save(
        small, "JPEG", quality=80
    )
    return small.getvalue()


def small_jpeg_of(data: bytes, width: int, height: int) -> bytes:
    """Does the same for a PNG, JPEG or WebP file. Picklable and at module level: files are opened
    in a sandbox."""
    with decoder_settings():
        file = Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP"))
        file.draft("RGB", (SIDE, SIDE))  # avoids decoding a JPEG in full
        return small_jpeg(file.convert("RGB"), width, height)
