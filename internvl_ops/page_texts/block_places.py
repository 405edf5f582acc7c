"""Finds where on a page its blocks are, by the lines of the text that the PDF itself stores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

Box = tuple[float, float, float, float]  # left, top, right, bottom
_WORD = re.compile(r"\w+")
_FOUND = 0.6  # share of a block's words that has to stand in its lines
_ON_LINE = 0.5  # share of the words of a line, or two words, by which it belongs to a block
_MOST_WORDS = 5_000  # of a page; a longer one is left alone


def places_of(texts: Sequence[str], lines: Sequence[tuple[str, Box]]) -> list[Box | None]:
    """The place of each text: around the lines that have most of its words, in their order.

    A line belongs to one text alone, the first that it fits.

    Args:
        texts: The texts of the blocks of a page.
        lines: The lines of its text layer, each with its box.

    Returns:
        Of each text a box that holds its lines, or None if they are not found.
    """
    words: list[str] = []
    line_of: list[int] = []
    for number, (text, _) in enumerate(lines):
        for word in _WORD.findall(text.lower()):
            words.append(word)
            line_of.append(number)
    asked = [_WORD.findall(text.lower()) for text in texts]
    if len(words) > _MOST_WORDS or sum(map(len, asked)) > _MOST_WORDS:
        return [None] * len(texts)
    sizes, taken = Counter(line_of), set[int]()
    found: list[Box | None] = []
    for own in asked:
        its = _lines_of(own, words, line_of, sizes) - taken if own else set()
        taken |= its
        boxes = [lines[number][1] for number in its]
        found.append(_around(boxes) if boxes else None)
    return found


def _lines_of(
    own: list[str], words: list[str], line_of: list[int], sizes: Counter[int]
) -> set[int]:
    longest = SequenceMatcher(None, own, words, autojunk=False).find_longest_match()
    if not longest.size:
        return set()
    # The rest of the text stands around its longest run of words.
    start = max(0, longest.b - longest.a - len(own) // 2)
    end = longest.b + len(own) - longest.a + len(own) // 2
    near = SequenceMatcher(None, own, words[start:end], autojunk=False).get_matching_blocks()
    hits = [start + run.b + offset for run in near for offset in range(run.size)]
    if len(hits) < _FOUND * len(own):
        return set()
    on_line = Counter(line_of[hit] for hit in hits)
    return {
        line
        for line, count in on_line.items()
        if count >= _ON_LINE * sizes[line] or count >= max(2, _FOUND * len(own))
    }


def _around(boxes: Sequence[Box]) -> Box:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
