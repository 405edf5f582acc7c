"""Edit distance, and the error rates that are made of it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edits(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Levenshtein distance: insertions, deletions and substitutions of one item each that make one of the other."""
    if len(first) < len(second):
        first, second = second, first
    row = list(range(len(second) + 1))
    for i, x in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(second, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def character_errors(response: str, answer: str) -> tuple[int, int]:
    """Edits that make ``response`` of ``answer``, and the characters of ``answer``.

    An error rate is the sum of the first over that of the second, over all texts. It may be above 1.
    """
    return edits(response, answer), len(answer)


def word_errors(response: str, answer: str) -> tuple[int, int]:
    """`character_errors` in words: what stands between blanks."""
    words = answer.split()
    return edits(response.split(), words), len(words)


def error_rate(errors: Sequence[tuple[int, int]]) -> float:
    """Edits over units of all answers together; of answers without a single unit 0 where nothing was edited, else 1."""
    wrong, units = (sum(part) for part in zip(*errors, strict=True)) if errors else (0, 0)
    return wrong / units if units else float(wrong > 0)
