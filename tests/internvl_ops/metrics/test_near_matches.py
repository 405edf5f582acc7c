"""Places in a text that are another text but for some edits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.metrics import edits
from internvl_ops.metrics.near_matches import near_matches

LETTERS = st.text("ab c", max_size=25)
WANTED = st.text("ab c", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("wanted", "text", "most", "places"),
    [
        ("ab", "ab ab", 0, [(0, 2, 0), (3, 5, 0)]),
        ("aba", "ababa", 0, [(0, 3, 0), (2, 5, 0)]),
        ("kitten", "the sitten and the kittens", 1, [(4, 10, 1), (19, 25, 0)]),
        ("kitten", "the sitten", 0, []),
        ("kitten", "", 3, []),
        ("naïve 😀", "a naive 😀!", 1, [(2, 9, 1)]),
    ],
)
def test_places(wanted: str, text: str, most: int, places: list[tuple[int, int, int]]) -> None:
    assert near_matches(wanted, text, most) == places


@given(WANTED, LETTERS, st.integers(0, 4))
def test_each_place_differs_by_what_it_says(wanted: str, text: str, most: int) -> None:
    for match in near_matches(wanted, text, most):
        assert edits(wanted, text[match.start : match.end]) == match.edits <= most


@given(WANTED, LETTERS, st.integers(0, 4))
def test_a_place_is_found_if_there_is_one(wanted: str, text: str, most: int) -> None:
    parts = (text[a:b] for a in range(len(text) + 1) for b in range(a, len(text) + 1))
    least = min(edits(wanted, part) for part in parts)
    found = [match.edits for match in near_matches(wanted, text, most)]

    assert bool(found) == (least <= most)
    assert not found or min(found) == least
