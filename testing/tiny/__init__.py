"""A tiny InternVL checkpoint with random weights, in the published file layout.

    python -m testing.tiny OUT [--tile-size 112] [--vision 6b] [--language internlm2] [--native]

Tests and trials use it wherever a real checkpoint would be too big: config, tokenizer and weight
names are those of the published family, so it takes the same code path. Its answers are noise.
"""

from testing.tiny.language import LANGUAGES
from testing.tiny.native import make_tiny_native_checkpoint
from testing.tiny.published import make_tiny_checkpoint
from testing.tiny.vision import VISIONS

__all__ = ["LANGUAGES", "VISIONS", "make_tiny_checkpoint", "make_tiny_native_checkpoint"]
