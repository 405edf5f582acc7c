"""Settings of image libraries that hold for a whole process: changed while a file is read, and put back afterwards."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pillow_heif
from PIL import Image, ImageFile, TiffImagePlugin

_lock = threading.Lock()
_readers = 0  # that read a file at this moment, in whichever thread
_before: list[tuple[Any, str, Any]] = []


@contextmanager
def reading(truncated: Literal["error", "accept"] = "error") -> Iterator[None]:
    """Sets the libraries up for one file. The settings of the process come back with the end of the last reader.

    Args:
        truncated: Whether files that end early are decoded as far as they go; threads should agree on it.
    """
    global _readers
    with _lock:
        _register_heif()
        wanted: list[tuple[Any, str, Any]] = [
            (Image, "MAX_IMAGE_PIXELS", None),  # `open_image` looks at the size instead, before anything is decoded
            (ImageFile, "LOAD_TRUNCATED_IMAGES", truncated == "accept"),
            (TiffImagePlugin, "READ_LIBTIFF", False),  # `open_image` switches it on for one kind of file
            (pillow_heif.options, "DECODE_THREADS", 1),  # many decoders run beside each other, one on each core
            *((pillow_heif.options, name, False) for name in ("THUMBNAILS", "DEPTH_IMAGES", "AUX_IMAGES")),
            (logging.getLogger("tifffile"), "disabled", True),  # what it says of damaged files comes back as an error
        ]
        if not _readers:
            _before[:] = [(owner, name, getattr(owner, name)) for owner, name, _ in wanted]
        _readers += 1
        _set(wanted)
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _set(_before)


def _set(values: list[tuple[Any, str, Any]]) -> None:
    for owner, name, value in values:
        setattr(owner, name, value)


@functools.cache
def _register_heif() -> None:
    """With the first file: a process that only imports this keeps the readers that it has."""
    pillow_heif.register_heif_opener()
