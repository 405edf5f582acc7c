"""Whether an answer is fit to be kept."""

from internvl_ops.quality.repetition import Loop, find_loop, is_repetitive

__all__ = ["Loop", "find_loop", "is_repetitive"]
