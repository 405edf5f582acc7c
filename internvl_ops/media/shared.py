"""Where results are written: ordinary memory, or memory shared with the process that asked for them.

A function that makes a large result with `empty` costs its sandboxed caller no copy; anywhere else it is ``np.empty``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

# Set by the sandbox's child: hands out writable shared memory of the asked size in bytes.
allocate: Callable[[int], memoryview] | None = None


def empty(shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    """An array whose contents are undefined, in shared memory when this process has some to give."""
    if allocate is None:
        return np.empty(shape, dtype)
    count = math.prod(shape)
    return np.frombuffer(allocate(count * np.dtype(dtype).itemsize), dtype, count).reshape(shape)
