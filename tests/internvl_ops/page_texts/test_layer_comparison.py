"""An answer beside a text layer: faults are found, and forms of writing are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.page_texts.layer_comparison import INVENTION, NUMBER, OMISSION, compare, words
from testing.born_digital import answered, make_page

LAYER = """Annual report of the harbour
The quay was length-
ened by 40 metres in spring. Ships of 3 lines call at the port, and the cranes lift
1,250 containers a day. A second basin is planned for the coming years.
Goods Tonnes Change
Coal 1,200 3
Grain 860 12"""
ANSWER = """# Annual report of the harbour

The quay was lengthened by 40 metres in spring. Ships of 3 lines call at the port, and the cranes \
lift **1,250** \
containers a day. A second basin is planned for the coming years.

| Goods | Tonnes | Change |
|---|---:|---|
| Coal | 1,200 | 3 |
| Grain | 860 | 12 |"""


def test_markdown_and_line_ends_are_no_difference() -> None:
    found = compare(ANSWER, LAYER, covers=True)
    assert (found.similarity, found.word_similarity, found.flags) == (1, 1, [])


def test_an_html_table_is_no_difference() -> None:
    html = "<table><tr><td>Coal</td><td>1,200</td></tr></table>"
    assert compare(html, "Coal 1,200", covers=True).similarity == 1


@pytest.mark.parametrize(
    "invented", ["The mayor opened it with a speech.", "| Wood | 77 | 4 |", "not"]
)
def test_an_invention_is_named(invented: str) -> None:
    found = compare(f"{ANSWER}\n{invented} again", LAYER, covers=True)
    assert found.flags == [INVENTION]
    assert words(invented)[0] in found.only_in_answer[0]


def test_a_line_that_is_read_twice_is_an_invention() -> None:
    line = "A second basin is planned for the coming years."
    assert compare(f"{ANSWER}\n{line}", LAYER, covers=True).flags == [INVENTION]


def test_what_a_layer_lacks_is_no_invention_where_it_does_not_cover_the_page() -> None:
    found = compare(f"{ANSWER}\nA letterhead that was scanned", LAYER, covers=False)
    assert found.flags == []
    assert found.only_in_answer == ["a letterhead that was scanned"]


def test_an_omission_is_named() -> None:
    found = compare(
        ANSWER.replace("A second basin is planned for the coming years.", ""), LAYER, covers=True
    )
    assert found.flags == [OMISSION]
    assert found.only_in_layer == ["a second basin is planned for the coming years"]


def test_another_order_is_neither() -> None:
    blocks = ANSWER.split("\n\n")
    found = compare("\n\n".join(reversed(blocks)), LAYER, covers=True)
    assert found.flags == []
    assert found.word_similarity < 1


def test_a_misread_word_is_neither_but_another_number_is_said() -> None:
    assert compare(ANSWER.replace("harbour", "harb0ur"), LAYER, covers=True).flags == []
    assert compare(ANSWER.replace("1,250", "1,750"), LAYER, covers=True).flags == [NUMBER]


def test_letters_of_scripts_without_blanks_are_words() -> None:
    found = compare("港口年度报告。市长发表了讲话", "港口年度报告", covers=True)
    assert found.flags == [INVENTION]


def test_planted_faults_are_found() -> None:
    pages = [make_page(kind, seed) for kind in ("text", "columns", "list") for seed in range(8)]
    for number, page in enumerate(pages):
        layer = "\n".join(page.truth)
        for planted in (INVENTION, OMISSION):
            assert (
                planted
                in compare(answered(page.truth, number, planted).text, layer, covers=True).flags
            )
        assert compare(answered(page.truth, number, "").text, layer, covers=True).flags == []


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_compare(one: str, other: str) -> None:
    found = compare(one, other, covers=True)
    assert 0 <= found.similarity <= 1
    assert 0 <= found.word_similarity <= 1
    assert compare(one, one, covers=True).flags == []
