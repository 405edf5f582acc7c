"""Memory for results: ordinary memory, or memory shared with the process that requested them.

A large result that is made with `empty` is passed to a sandboxed caller without a copy; elsewhere
it is ``np.empty``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

# Set by the sandbox's child: returns writable shared memory of the given size in bytes.
allocate: Callable[[int], memoryview] | None = None


def empty(shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    """An array with undefined contents, in shared memory if this process has some."""
    if allocate is None:
        return np.empty(shape, dtype)
    count = math.prod(shape)
    return np.frombuffer(allocate(count * np.dtype(dtype).itemsize), dtype, count).reshape(shape)
