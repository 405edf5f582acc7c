"""Finds where a text stands in another one, but for a number of edits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class NearMatch(NamedTuple):
    """A place: characters ``start`` to ``end`` of the text, which differ by ``edits``."""

    start: int
    end: int
    edits: int


def near_matches(wanted: str, text: str, most: int) -> list[NearMatch]:
    """The places in ``text`` that are ``wanted`` but for at most ``most`` insertions, removals and
    replacements of characters, by Sellers' algorithm (1980).

    Of places that end beside each other, the one with the fewest edits is returned, and of these
    the longest. Without edits, every place is returned, also those that overlap. Takes the product
    of both lengths.

    Args:
        wanted: At least one character.
        text: Any text.
        most: 0 or more.
    """
    if most == 0:
        return _exact(wanted, text)
    last = _last_row(wanted, text, anywhere=True)
    found: list[NearMatch] = []
    for end in _best_ends(last, most):
        edits = int(last[end])
        # a place is at most so much longer than what is wanted
        before = text[max(0, end - len(wanted) - edits) : end]
        lengths = np.flatnonzero(_last_row(wanted[::-1], before[::-1], anywhere=False) == edits)
        found.append(NearMatch(end - int(lengths[-1]), end, edits))
    return found


def least_edits(wanted: str, text: str) -> int:
    """How many edits make ``wanted`` of the part of ``text`` that is most like it."""
    return int(_last_row(wanted, text, anywhere=True).min())


def _exact(wanted: str, text: str) -> list[NearMatch]:
    found, place = [], text.find(wanted)
    while place >= 0:
        found.append(NearMatch(place, place + len(wanted), 0))
        place = text.find(wanted, place + 1)
    return found


def _best_ends(last: np.ndarray, most: int) -> list[int]:
    ends = np.flatnonzero(last <= most)
    if not len(ends):
        return []
    runs = np.split(ends, np.flatnonzero(np.diff(ends) > 1) + 1)
    return [int(run[np.flatnonzero(last[run] == last[run].min())[-1]]) for run in runs]


def _last_row(wanted: str, text: str, *, anywhere: bool) -> np.ndarray:
    """The last row of the table of edit distances: int64 (len(text) + 1,), the edits of ``wanted``
    to what ends at each place; ``anywhere`` it may begin, else at the start."""
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    places = np.arange(len(letters) + 1)
    row = np.zeros_like(places) if anywhere else places.copy()
    for number, letter in enumerate(wanted, 1):
        new = row + 1
        new[1:] = np.minimum(new[1:], row[:-1] + (letters != ord(letter)))
        new[0] = number
        # an insertion costs 1 more than the place to the left
        row = np.minimum.accumulate(new - places) + places
    return row
