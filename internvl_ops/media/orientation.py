"""EXIF orientation: how stored pixels become upright."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

# EXIF orientation -> the function that turns the stored pixels upright.
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.transpose(cv2.rotate(pixels, cv2.ROTATE_180)),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
_SIDEWAYS = (5, 6, 7, 8)
_EXIF_ORIENTATION = 0x0112


def orientation_of(image: Image.Image, notes: list[str]) -> int:
    """Reads EXIF orientation, 1 to 8; a broken EXIF block costs the orientation, not the image."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
        return value if value in UPRIGHT else 1
    except Exception as error:  # EXIF parsing raises many types: zero division, struct, syntax, key
        notes.append(f"EXIF unreadable, orientation not applied: {type(error).__name__}")
        return 1


def upright_size(stored_size: tuple[int, int], orientation: int) -> tuple[int, int]:
    width, height = stored_size
    return (height, width) if orientation in _SIDEWAYS else (width, height)
