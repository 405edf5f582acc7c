"""How olmOCR-Bench compares texts: what does not count in them."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_BREAKS = re.compile(r"<br/?>")
_TAGS = re.compile(r"</?[bi]>")
_EMPHASIS = re.compile(r"(\*\*|__|\*|_)(.*?)\1")
_ONE_SIGN = str.maketrans(
    {**dict.fromkeys("‘’‚", "'"), **dict.fromkeys("“”„", '"'), **dict.fromkeys("–—‑‒−", "-"),
     "＿": "_", "µ": "μ"}
)  # fmt: skip


@lru_cache(maxsize=64)  # the facts of a page stand one after the other
def normalised(text: str) -> str:
    """A text without emphasis, with single blanks, composed characters, and one sign for all
    quotation marks and hyphens of a kind."""
    text = _TAGS.sub("", _BREAKS.sub(" ", text))
    for _ in range(2):  # bold, and italics within it
        text = _EMPHASIS.sub(r"\2", text)
    return unicodedata.normalize("NFC", re.sub(r"\s+", " ", text)).translate(_ONE_SIGN)
