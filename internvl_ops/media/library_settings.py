"""Process-wide settings of image libraries: changed while a file is read, and restored
afterwards."""

from __future__ import annotations

import ctypes
import functools
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal

import pillow_heif
from PIL import Image, ImageFile, TiffImagePlugin

_lock = threading.Lock()
_readers = 0  # files being read at this moment, in all threads
_before: list[tuple[Any, str, Any]] = []


@contextmanager
def decoder_settings(truncated: Literal["error", "accept"] = "error") -> Iterator[None]:
    """Sets up the libraries for one file. When the last reader ends, the settings of the process
    are restored.

    Args:
        truncated: Whether truncated files are decoded as far as possible; all threads should use
            the same value.
    """
    global _readers
    with _lock:
        _register_heif()
        wanted: list[tuple[Any, str, Any]] = [
            # `open_image` checks the size instead, before anything is decoded
            (Image, "MAX_IMAGE_PIXELS", None),
            (ImageFile, "LOAD_TRUNCATED_IMAGES", truncated == "accept"),
            # `open_image` switches it on for one kind of file
            (TiffImagePlugin, "READ_LIBTIFF", False),
            # many decoders run in parallel, one on each core
            (pillow_heif.options, "DECODE_THREADS", 1),
            *(
                (pillow_heif.options, name, False)
                for name in ("THUMBNAILS", "DEPTH_IMAGES", "AUX_IMAGES")
            ),
            # its messages about damaged files become errors
            (logging.getLogger("tifffile"), "disabled", True),
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
    """Called for the first file: a process that only imports this module keeps its own readers."""
    pillow_heif.register_heif_opener()


@functools.cache
def import_decord() -> ModuleType:
    """Imports decord without giving its libraries to the rest of the process.

    decord loads itself and its zlib of 2005 with ``RTLD_GLOBAL``. Codecs that are imported after it
    would then call that zlib instead of their own, and fail on sound PNG files.
    """
    with _lock:
        everywhere = ctypes.RTLD_GLOBAL
        _set([(ctypes, "RTLD_GLOBAL", ctypes.RTLD_LOCAL)])
        try:
            import decord  # imported here because it is slow to import and rarely used
        finally:
            _set([(ctypes, "RTLD_GLOBAL", everywhere)])
    return decord
