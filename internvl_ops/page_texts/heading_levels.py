"""Gives the numbered headings of a document the levels that their numbers say: each page was read
by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_HEADING = re.compile(r"(#{1,6})[ \t]+((\d{1,2}(?:\.\d{1,3})*)\.?[ \t]+\S.*)")
_TITLE = re.compile(r"#[ \t]+\D")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_FEWEST = 3  # numbered headings, of several depths, from which numbers are taken for an outline


def level_headings(texts: Sequence[str]) -> list[str]:
    """The texts of pages with the levels of Markdown headings such as ``2.1 Methods`` by the parts
    of their numbers.

    ``2`` has level 1, or level 2 below a title without a number, and ``2.1`` is one below it.
    Headings without a number stay as they are. So do all, if fewer than three have numbers, or all
    numbers have as many parts.

    Args:
        texts: The texts of the pages, in order.
    """
    pages = [text.split("\n") for text in texts]
    places = [(lines, number) for lines in pages for number in _outside_code(lines)]
    found = [
        (lines, number, heading)
        for lines, number in places
        if (heading := _HEADING.fullmatch(lines[number]))
    ]
    depths = {heading[3].count(".") for _, _, heading in found}
    if len(found) < _FEWEST or len(depths) < 2:
        return list(texts)
    first = next((lines[number] for lines, number in places if lines[number].startswith("#")), "")
    top = 2 if _TITLE.match(first) else 1
    for lines, number, heading in found:
        lines[number] = f"{'#' * min(6, top + heading[3].count('.'))} {heading[2]}"
    return ["\n".join(lines) for lines in pages]


def _outside_code(lines: Sequence[str]) -> Iterator[int]:
    fenced = False
    for number, line in enumerate(lines):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number
