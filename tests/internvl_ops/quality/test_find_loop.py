"""Loops at the end of an answer that is still being generated."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.quality import Loop, find_loop

EVERY = 16  # tokens between two looks, as the engine watches
VOCABULARY = 151_674


def tokens(count: int, seed: int) -> list[int]:
    return random.Random(seed).choices(range(VOCABULARY), k=count)


def stopped_at(start: list[int], period: list[int], budget: int) -> int | None:
    """Length of the answer when the loop was first seen."""
    answer = start + period * (budget // len(period) + 1)
    return next(
        (size for size in range(EVERY, budget + 1, EVERY) if find_loop(answer[:size])), None
    )


@pytest.mark.parametrize("period", [1, 2, 3, 7, 16, 31, 100, 333, 1000, 3000])
def test_any_period_is_seen_after_two_rounds_and_two_hundred_tokens(period: int) -> None:
    start = tokens(500, seed=1)

    size = stopped_at(start, tokens(period, seed=2), budget=8000)

    assert size is not None
    assert 0 <= size - (500 + 2 * period + 200) < EVERY


@pytest.mark.parametrize("period", [1, 5, 250])
def test_says_where_the_loop_begins(period: int) -> None:
    answer = tokens(500, seed=1) + tokens(period, seed=2) * (1000 // period)

    assert find_loop(answer) == Loop(start=500, period=period, length=1000)


def test_finds_the_period_although_its_end_stands_in_it_twice() -> None:
    tail = tokens(250, seed=1)
    period = tokens(40, seed=2) + tail + tokens(60, seed=3) + tail

    loop = find_loop(period * 4)

    assert loop is not None
    assert loop.period == len(period)


@pytest.mark.parametrize(
    "text", ["the ", "哈", "A man walks along the road with a red bag. ", "图中有一只猫。\n"]
)
def test_takes_text_of_an_engine_without_token_ids(text: str) -> None:
    answer = "The picture shows a street. " + text * (1200 // len(text))

    loop = find_loop(answer)

    assert loop is not None
    assert loop.period == len(text)


@pytest.mark.parametrize(
    "signs", ["-", "_", ". ", "| --- ", "|  |  |  |\n", "_" * 80 + "\n", "0\n"]
)
def test_signs_alone_may_fill_a_page_of_text(signs: str) -> None:
    assert find_loop("Contents\n" + signs * (2400 // len(signs))) is None
    assert find_loop("Contents\n" + signs * (4000 // len(signs))) is not None


def test_a_loop_that_was_left_is_no_loop() -> None:
    answer = tokens(10, seed=1) * 200

    assert find_loop(answer) is not None
    assert find_loop([*answer, 7]) is None


@given(st.lists(st.integers(0, VOCABULARY - 1), max_size=1000) | st.text(max_size=1000))
def test_takes_any_answer(answer: list[int] | str) -> None:
    loop = find_loop(answer)

    assert loop is None or loop.start + loop.length == len(answer)


@given(
    st.integers(0, 30), st.lists(st.integers(0, 3), min_size=1, max_size=30), st.integers(1, 500)
)
def test_a_loop_is_a_stretch_equal_to_itself_a_period_before(
    start: int, period: list[int], size: int
) -> None:
    answer = [9] * start + (period * size)[:size]

    loop = find_loop(answer)

    assert (loop is not None) or size < 200 + 2 * len(period)
    if loop:
        stretch = answer[loop.start :]
        assert stretch[loop.period :] == stretch[: -loop.period]
        assert loop.start == 0 or answer[loop.start - 1] != answer[loop.start - 1 + loop.period]
