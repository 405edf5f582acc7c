"""Blocks of an answer find their lines in the text layer, and no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.page_texts.block_places import places_of

LINES = [
    ("On dogs", (0.1, 0.05, 0.4, 0.08)),
    ("Dogs are animals that live with", (0.1, 0.1, 0.9, 0.12)),
    ("people in houses and on farms.", (0.1, 0.13, 0.8, 0.15)),
    ("the dogs of the house", (0.1, 0.5, 0.5, 0.52)),
    ("1 See page 3.", (0.1, 0.9, 0.3, 0.92)),
]


def test_each_block_has_the_box_around_its_lines() -> None:
    blocks = [
        "On dogs",
        "Dogs are animals that live with people in houses and on farms.",
        "a table of prices that the page does not have",
        "1 See page 3.",
        "",
    ]
    assert places_of(blocks, LINES) == [
        (0.1, 0.05, 0.4, 0.08),
        (0.1, 0.1, 0.9, 0.15),
        None,
        (0.1, 0.9, 0.3, 0.92),
        None,
    ]


def test_a_misread_word_and_another_order_do_not_matter() -> None:
    found = places_of(["1 See page 8.", "Dogs are animols that live with people"], LINES)
    assert found == [LINES[4][1], LINES[1][1]]


@given(
    st.lists(st.text(alphabet="ab c", max_size=12), max_size=5),
    st.lists(st.text(alphabet="ab c", max_size=12), max_size=5),
)
def test_a_line_belongs_to_one_block(texts: list[str], lines: list[str]) -> None:
    boxes = [(float(n), float(n), n + 1.0, n + 1.0) for n in range(len(lines))]
    found = [place for place in places_of(texts, list(zip(lines, boxes, strict=True))) if place]
    assert len({place[0] for place in found}) == len(found)
