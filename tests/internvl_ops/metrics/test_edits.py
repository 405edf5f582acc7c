"""Edit distance and error rates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.metrics import character_errors, edits, error_rate, word_errors

WORDS = st.text("abc", max_size=8)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("kitten", "sitting", 3),  # k to s, e to i, and a g
        ("flaw", "lawn", 2),  # without f, with n
        ("ab", "ba", 2),  # an exchange of neighbours is two edits
        ("你好", "您好", 1),
    ],
)
def test_edits(first: str, second: str, distance: int) -> None:
    assert edits(first, second) == edits(second, first) == distance


@given(WORDS, WORDS, WORDS)
def test_edits_is_a_distance(first: str, second: str, third: str) -> None:
    assert (edits(first, second) == 0) == (first == second)
    assert edits(first, third) <= edits(first, second) + edits(second, third)


def test_error_rates_are_of_all_texts_together() -> None:
    pairs = [("red", "red"), ("gren", "green"), ("", "blue")]

    # 0 of 3, 1 of 5 and 4 of 4 characters; 0, 1 and 1 of a word each.
    assert error_rate([character_errors(*pair) for pair in pairs]) == 5 / 12
    assert error_rate([word_errors(*pair) for pair in pairs]) == 2 / 3


def test_words_are_what_stands_between_blanks() -> None:
    assert word_errors("a  red\nfox", "a red fox.") == (1, 3)


def test_a_rate_may_be_above_one_and_is_of_something_without_characters_too() -> None:
    assert error_rate([character_errors("red red red", "red")]) == 8 / 3
    assert error_rate([character_errors("", "")]) == 0
    assert error_rate([character_errors("made up", "")]) == 1
    assert error_rate([]) == 0
