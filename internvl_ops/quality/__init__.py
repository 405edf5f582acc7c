"""Checks whether an answer is usable."""

from internvl_ops.quality.repetition import Loop, find_loop, is_repetitive
from internvl_ops.quality.thoughts import thought_notes

__all__ = ["Loop", "find_loop", "is_repetitive", "thought_notes"]
