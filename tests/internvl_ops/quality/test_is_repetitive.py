"""Finished answers: loops are told from what people do repeat, over a labelled set."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.quality import is_repetitive
from testing.repetition_held_out import held_out_texts
from testing.repetition_texts import Labelled, labelled_texts


@pytest.fixture(scope="module", params=[labelled_texts, held_out_texts], ids=["set on", "held out"])
def texts(request: pytest.FixtureRequest) -> list[Labelled]:
    return request.param()


def wrong(texts: list[Labelled]) -> list[str]:
    return [
        f"{text.kind}: …{text.text[-80:]!r}"
        for text in texts
        if is_repetitive(text.text) != text.loops
    ]


def test_the_set_is_large_enough_for_its_figures() -> None:
    everything = [*labelled_texts(), *held_out_texts()]

    assert sum(text.loops for text in everything) >= 150
    assert sum(not text.loops for text in everything) >= 150


def test_recall(texts: list[Labelled]) -> None:
    loops = [text for text in texts if text.loops]

    missed = wrong(loops)

    assert len(missed) <= 0.02 * len(loops), missed


def test_false_positives(texts: list[Labelled]) -> None:
    plain = [text for text in texts if not text.loops]

    accused = wrong(plain)

    assert len(accused) <= 0.01 * len(plain), accused


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("", False),
        ("the", False),
        ("No, no, no, no, no!", False),
        ("the " * 40, True),
        ("哈哈哈哈哈哈", False),
        ("哈" * 100, True),
        ("| --- " * 40, False),
        ("<tr><td>0</td></tr>\n" * 40, False),
        ("".join(f"{number}\n" for number in range(500)), False),
        ("".join(f"{number}. the " for number in range(100)), True),
        ("".join(f"Figure {number}: a cat. " for number in range(40)), True),
        ("".join(f"Invoice {number * number}: paid. " for number in range(40)), False),
        ("".join(f"Item {number}: 第{number}章 " for number in range(90, 130)), True),
    ],
)
def test_one_text(text: str, loops: bool) -> None:
    assert is_repetitive(text) is loops


def test_a_loop_is_seen_wherever_it_stands() -> None:
    start, loop, end = (
        "A street in the rain. ",
        "A car passes by the house. " * 8,
        "That is all there is to see.",
    )

    assert is_repetitive(start + loop)
    assert is_repetitive(start + loop + end)
    assert is_repetitive(loop + end)
    assert not is_repetitive(start + end)


@given(st.text())
def test_takes_any_text(text: str) -> None:
    assert is_repetitive(text) in (True, False)


@given(st.text(alphabet="ab1 \n", max_size=40), st.integers(1, 300))
def test_takes_any_text_again_and_again(text: str, times: int) -> None:
    assert is_repetitive(text * times) in (True, False)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["a", "1", "1 ", " \n", "<", "<a ", "字", "0x00, ", "Ab cd ef gh. ", "_", "\\"]
)
def test_a_long_answer_of_one_piece_takes_no_time_that_hurts(piece: str) -> None:
    is_repetitive(piece * (100_000 // len(piece)))


@pytest.mark.timeout(20)
def test_a_long_line_without_an_end_takes_no_time_that_hurts() -> None:
    assert not is_repetitive("".join(random.Random(0).choices("ab", k=100_000)))
