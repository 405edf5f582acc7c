"""Edit distance, and the error rates that are based on it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from rapidfuzz.distance import Levenshtein


def edits(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Levenshtein distance: insertions, deletions and substitutions of single items that turn one
    into the other."""
    return Levenshtein.distance(first, second)


def character_errors(response: str, answer: str) -> tuple[int, int]:
    """Edits that turn ``answer`` into ``response``, and the number of characters of ``answer``.

    An error rate is the sum of the first over the sum of the second, over all texts. It may exceed
    1.
    """
    return edits(response, answer), len(answer)


def word_errors(response: str, answer: str) -> tuple[int, int]:
    """Does the same as `character_errors`, with words separated by whitespace."""
    words = answer.split()
    return edits(response.split(), words), len(words)


def error_rate(errors: Sequence[tuple[int, int]]) -> float:
    """Edits per unit over all answers. If the answers have no unit at all, it is 0 without edits,
    else 1."""
    wrong, units = (sum(part) for part in zip(*errors, strict=True)) if errors else (0, 0)
    return wrong / units if units else float(wrong > 0)
