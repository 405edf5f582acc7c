"""Tells page furniture, what belongs to a page and not to its text: page numbers, running heads and
feet."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_LONGEST = 120  # characters of a running head
_FEWEST = 3  # pages on which a line stands in the same place until it is furniture
_SHARE = 0.3  # of the pages; heads differ between left and right pages, and between chapters
_DIGITS = re.compile(r"\d+")
_ROMAN = r"(?=[ivxlc])c{0,3}(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})"
_NUMBER = rf"(?:\d{{1,4}}|{_ROMAN})"
_PAGE_NUMBER = re.compile(
    rf"[-–—~·|*_\[(\s]*(?:(?:page|p\.|seite|s\.|págin[ao]|第)\s*)?{_NUMBER}"
    rf"(?:\s*(?:/|of|von|de|sur)\s*{_NUMBER})?\s*(?:页|頁|ページ)?[-–—~·|*_\])\s]*",
    re.IGNORECASE,
)
_CAPITAL = re.compile(r"[IVXLC]")
# Lines that are structure, and never furniture by being repeated.
_STRUCTURE = re.compile(
    r"\s*(?:\||<(?!header\b|footer\b|page_number\b)|\$\$|```|!\[|\\\[|[-*+] |\d+[.)] )"
)
_TAGGED = re.compile(r"\s*<(header|footer|page_number)>.*</\1>\s*", re.IGNORECASE)


def is_page_number(line: str) -> bool:
    """Whether a line is nothing but the number of a page: ``12``, ``- 12 -``, ``Page 3 of 9``,
    ``xiv``, ``第 3 页``.

    Single capital letters that are Roman numerals are none: they head parts of a text.
    """
    return bool(_PAGE_NUMBER.fullmatch(line)) and not _CAPITAL.fullmatch(line.strip())


def without_furniture(texts: Sequence[str]) -> list[str]:
    """The texts of a document's pages without page numbers and running heads and feet.

    Page numbers are those of `are_numbers`. A line at a head or foot is dropped if it stands there
    on at least three pages and on 30 % of all; numbers in it may differ. So are lines that the
    model itself marked: ``<header>``, ``<footer>``, ``<page_number>``. A heading stays where it
    stands first, and a line that is alone on its page.

    Args:
        texts: The texts of the pages, in order.
    """
    pages = [_without_marked(text.split("\n")) for text in texts]
    for at_foot in (False, True):
        pages = _without_numbers(pages, at_foot)
        edges = [_edge(lines, at_foot) for lines in pages]
        keys = [
            None if place is None else _key(lines[place])
            for lines, place in zip(pages, edges, strict=True)
        ]
        counts = Counter(key for key in keys if key is not None)
        enough = max(_FEWEST, _SHARE * len(pages))
        headed: set[str] = set()
        for number, (place, key) in enumerate(zip(edges, keys, strict=True)):
            if place is None or key is None or (key and counts[key] < enough):
                continue
            first_heading = key.startswith("#") and key not in headed
            headed.add(key)
            if not first_heading and _is_among_others(pages[number]):
                pages[number] = _without(pages[number], place)
        pages = _without_numbers(pages, at_foot)
    return ["\n".join(lines).strip("\n") for lines in pages]


def _without_marked(lines: list[str]) -> list[str]:
    """The lines of a page without those that the model itself marked, unless it has no others."""
    others = [line for line in lines if not _TAGGED.fullmatch(line)]
    return others if any(line.strip() for line in others) else lines


def are_numbers(texts: Sequence[str], *, at_foot: bool) -> list[bool]:
    """Whether the first or last line of each page is its number, and not a number of the text.

    It has to stand apart by a blank line, have marks as in ``- 12 -`` or ``Page 12``, or count on
    with the pages. The number is not all that is on the page.

    Args:
        texts: The texts of the pages, in order.
        at_foot: Look at the last lines.
    """
    pages = [text.split("\n") for text in texts]
    edges = [_edge(lines, at_foot) for lines in pages]
    shown = [
        "" if place is None else lines[place].strip()
        for lines, place in zip(pages, edges, strict=True)
    ]
    counted = {
        number: int(line)
        for number, line in enumerate(shown)
        if line.isdecimal() and len(line) <= 4
    }
    found = []
    for number, (lines, place, line) in enumerate(zip(pages, edges, shown, strict=True)):
        if place is None or not is_page_number(line) or not _is_among_others(lines):
            found.append(False)
            continue
        beside = place - 1 if at_foot else place + 1
        apart = not lines[beside].strip() and len(line) > line.isalpha()
        others = (number - 2, number - 1, number + 1, number + 2)
        counts_on = any(
            number in counted and counted.get(other) == counted[number] + other - number
            for other in others
        )
        found.append(apart or counts_on or not line.isalnum())
    return found


def _is_among_others(lines: Sequence[str]) -> bool:
    return sum(1 for line in lines if line.strip()) > 1


def without_foot(text: str) -> str:
    """A text without its last line that is not blank."""
    return text.rstrip().rpartition("\n")[0].rstrip()


def _without_numbers(pages: Sequence[list[str]], at_foot: bool) -> list[list[str]]:
    drops = are_numbers(["\n".join(lines) for lines in pages], at_foot=at_foot)
    found = []
    for lines, drop in zip(pages, drops, strict=True):
        place = _edge(lines, at_foot)
        found.append(_without(lines, place) if drop and place is not None else lines)
    return found


def _edge(lines: Sequence[str], at_foot: bool) -> int | None:
    """The first or last line that is not blank."""
    places = range(len(lines) - 1, -1, -1) if at_foot else range(len(lines))
    return next((place for place in places if lines[place].strip()), None)


def _key(line: str) -> str | None:
    """By what a running head is the same on other pages; "" if it is marked as furniture, None if
    it is none."""
    if _TAGGED.fullmatch(line):
        return ""
    # is no head; `are_numbers` tells whether it is a page's
    bare_number = not any(letter.isalpha() for letter in line)
    if bare_number or len(line) > _LONGEST or _STRUCTURE.match(line):
        return None
    return " ".join(_DIGITS.sub("0", line).casefold().split())


def _without(lines: list[str], place: int) -> list[str]:
    return [*lines[:place], *lines[place + 1 :]]
