"""Memory that one image after another is worked on in."""

from __future__ import annotations

import math
import threading

import numpy as np

_MAX_KEPT_BYTES = 64 << 20


class Workspace(threading.local):
    """Three buffers, kept between images, a set for each thread.

    Fresh memory costs a page fault every 4 KiB, and memory used a moment ago is still in the processor's cache:
    decoding and resizing back and forth between two of them is about a tenth faster than allocating each step's output.
    """

    def __init__(self) -> None:
        self._buffers = [np.empty(0, np.uint8)] * 3

    def array(self, which: int, shape: tuple[int, ...]) -> np.ndarray:
        """A uint8 array over buffer 0, 1 or 2, contents undefined; valid until that buffer is asked for again."""
        size = math.prod(shape)
        if size > _MAX_KEPT_BYTES:
            return np.empty(shape, np.uint8)
        if len(self._buffers[which]) < size:
            self._buffers[which] = np.empty(size, np.uint8)
        return self._buffers[which][:size].reshape(shape)
