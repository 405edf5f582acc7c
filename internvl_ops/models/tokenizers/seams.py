"""Makes a tokenizer read text as plain text, even if it spells special tokens.

A tokenizer splits off its added tokens before it reads the text between them. Where a text spells
such a token, a seam is put inside: a character that no text contains, which interrupts the
tokenizer there. It is absent from the ids.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

SEAM = "\ufdd0"  # a noncharacter: Unicode keeps it out of text, for uses such as this one
_MARK = re.compile(r"<.+>|\[.+\]", re.DOTALL)
# The family writes boxes and their labels with these.
GROUNDING_TOKENS = ("<ref>", "</ref>", "<box>", "</box>", "<quad>", "</quad>")


def is_mark(token: str) -> bool:
    """Whether an added token looks like markup, such as ``<think>``, rather than like a word."""
    return _MARK.fullmatch(token) is not None


class Seams:
    """Puts seams where a text spells special tokens.

    Args:
        tokens: Tokens that must not be recognised.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        forms = sorted(
            {token for token in tokens if len(token) > 1 and token not in GROUNDING_TOKENS},
            key=len,
            reverse=True,
        )
        # The lookahead also finds tokens that begin inside another one.
        self._found = re.compile(f"(?={'|'.join(map(re.escape, forms))})") if forms else None

    def put(self, text: str) -> str:
        """``text`` with a seam in every special token that it spells, including spellings with
        similar characters."""
        text = text.replace(SEAM, "\ufffd")
        if self._found is None:
            return text
        if text.isascii():
            return self._ascii(text)
        # A tokenizer may fold a fullwidth `<` into an ASCII one before it searches.
        folded = [unicodedata.normalize("NFKC", character) or character for character in text]
        place_of = [place for place, characters in enumerate(folded) for _ in characters]
        places = {place_of[match.start()] for match in self._found.finditer("".join(folded))}
        return "".join(character + SEAM * (place in places) for place, character in enumerate(text))

    def _ascii(self, text: str) -> str:
        assert self._found is not None
        parts, last = [], 0
        for match in self._found.finditer(text):
            parts.append(text[last : match.start() + 1])
            last = match.start() + 1
        return SEAM.join([*parts, text[last:]])
