"""Memory that is reused for one image after another."""

from __future__ import annotations

import math
import threading

import numpy as np

_MAX_KEPT_BYTES = 64 << 20


class Workspace(threading.local):
    """Three buffers, kept between images, with a separate set for each thread.

    New memory costs a page fault every 4 KiB, and recently used memory is still in the processor's
    cache. So decoding and resizing back and forth between two buffers is about a tenth faster than
    allocating each step's output.
    """

    def __init__(self) -> None:
        self._buffers = [np.empty(0, np.uint8)] * 3

    def array(self, which: int, shape: tuple[int, ...]) -> np.ndarray:
        """A uint8 array over buffer 0, 1 or 2 with undefined contents; valid until the next request
        for that buffer."""
        size = math.prod(shape)
        if size > _MAX_KEPT_BYTES:
            return np.empty(shape, np.uint8)
        if len(self._buffers[which]) < size:
            self._buffers[which] = np.empty(size, np.uint8)
        return self._buffers[which][:size].reshape(shape)
