"""OmniDocBench: matches of blocks and figures of pages, by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.evaluation import Sample
from internvl_ops.evaluation.omnidocbench import (
    PageFigures,
    compare_page,
    formula_key,
    read_pages,
    score,
    summarise,
    text_key,
)
from internvl_ops.evaluation.page_matching import match_blocks

ONE = "A first paragraph that says something about ships and harbours"
TWO = "Another one about mountains with snow upon them all summer long"
THREE = "And a third, which mentions bakers, bread and the price of flour"
HTML = "<table><tr><td>a</td><td>b</td></tr><tr><td>1</td><td>2</td></tr></table>"


def block(category: str, text: str, order: int | None = None, **more: Any) -> dict[str, Any]:
    name = {"table": "html", "equation_isolated": "latex"}.get(category, "text")
    return {"category_type": category, name: text, "order": order, "anno_id": order, **more}


def page(*blocks: dict[str, Any], image: str = "a.jpg", relations: list | None = None) -> dict:
    info = {"image_path": image, "page_attribute": {"data_source": "book"}}
    return {"layout_dets": list(blocks), "page_info": info, "extra": {"relation": relations or []}}


def truth(*blocks: dict[str, Any], relations: list | None = None) -> str:
    text = json.dumps([page(*blocks, relations=relations)])
    (one,) = read_pages({"OmniDocBench.json": text}, ["a.jpg"])
    return one.truth


def texts(figures: PageFigures) -> list[tuple[str, int]]:
    return [(kind, wrong) for kind, (wrong, _) in figures.texts]


class TestMatching:
    def test_each_block_finds_its_own(self) -> None:
        assert match_blocks([ONE, TWO], [TWO, ONE, "noise"]) == [((0,), (1,)), ((1,), (0,))]

    def test_a_block_that_the_answer_splits(self) -> None:
        pieces = [ONE[:20], ONE[20:40], ONE[40:], TWO]
        assert match_blocks([ONE, TWO], pieces) == [((0,), (0, 1, 2)), ((1,), (3,))]

    def test_blocks_that_the_answer_writes_as_one(self) -> None:
        assert match_blocks([ONE, TWO], [f"{ONE} {TWO}"]) == [((0, 1), (0,))]

    def test_what_is_too_different_stays_alone(self) -> None:
        assert match_blocks([ONE], ["0123456789" * 6]) == [((0,), ())]
        assert match_blocks([ONE], []) == [((0,), ())]
        assert match_blocks([], [ONE]) == []

    @given(st.lists(st.text("abc", max_size=12), max_size=6),
           st.lists(st.text("abc", max_size=12), max_size=6))  # fmt: skip
    def test_each_block_is_in_one_match(self, truths: list[str], answers: list[str]) -> None:
        matches = match_blocks(truths, answers)
        of_truths = [number for match in matches for number in match.truths]
        of_answers = [number for match in matches for number in match.answers]

        assert sorted(of_truths) == list(range(len(truths)))
        assert len(set(of_answers)) == len(of_answers)


class TestPages:
    def test_an_answer_that_is_right(self) -> None:
        given = truth(
            block("title", "Heading", 1), block("text_block", ONE, 2), block("table", HTML, 3),
            block("equation_isolated", "$$E=mc^2$$", 4), block("text_block", TWO, 5),
            block("page_number", "17", 6), block("figure", "", 7),
        )  # fmt: skip
        answer = (
            f"# Heading\n\n{ONE}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n$$E = m c^{{2}}$$\n\n{TWO}"
        )
        figures = compare_page(given, f"{answer}\n\n17")

        assert texts(figures) == [("title", 0), ("text_block", 0), ("text_block", 0)]
        assert [wrong for wrong, _ in figures.formulas] == [0]
        assert (figures.tables, figures.order) == ([(1, 1)], 0)
        assert compare_page(given, answer) == figures  # furniture need not be said

    def test_blocks_in_another_order(self) -> None:
        given = truth(
            block("text_block", ONE, 1), block("text_block", TWO, 2), block("text_block", THREE, 3)
        )
        figures = compare_page(given, f"{TWO}\n\n{THREE}\n\n{ONE}")

        assert texts(figures) == [("text_block", 0)] * 3
        # 2, 3, 1 becomes 1, 2, 3 by one insertion and one removal
        assert figures.order == pytest.approx(2 / 3)

    def test_what_is_not_said(self) -> None:
        given = truth(
            block("text_block", ONE, 1), block("text_block", TWO, 2), block("table", HTML, 3),
            block("equation_isolated", "x+y", 4),
        )  # fmt: skip
        figures = compare_page(given, TWO)

        length = len(text_key(ONE))
        assert figures.texts == [
            ("text_block", (length, length)),
            ("text_block", (0, len(text_key(TWO)))),
        ]
        assert (figures.formulas, figures.tables) == ([(3, 3)], [(0, 0)])
        assert figures.order == 0.5

    def test_a_formula_that_is_said_as_text_counts_as_text(self) -> None:
        given = truth(block("equation_isolated", "E=mc^2", 1))
        figures = compare_page(given, "E = mc2")

        assert figures.formulas == []
        assert figures.texts == [("equation_isolated", (0, 4))]
        assert compare_page(given, "$E=mc_2$").formulas == [(1, 6)]

    def test_a_paragraph_that_the_layout_cuts_is_one(self) -> None:
        cut = [{"source_anno_id": 1, "target_anno_id": 3, "relation_type": "truncated"}]
        blocks = (
            block("text_block", ONE[:30], 1), block("text_block", TWO, 2),
            block("text_block", ONE[30:], 3),
        )  # fmt: skip
        figures = compare_page(truth(*blocks, relations=cut), f"{ONE}\n\n{TWO}")

        assert texts(figures) == [("text_block", 0)] * 2
        assert figures.order == 0

    def test_tables_are_compared_with_the_nearest(self) -> None:
        other = HTML.replace(">a<", ">Rome<").replace(">b<", ">Paris<").replace(">1<", ">9<")
        given = truth(block("table", HTML, 1), block("table", other, 2))
        wrong = HTML.replace("<td>2</td>", "<td>3</td>")
        figures = compare_page(given, f"{other}\n\n{wrong}")

        # of 1 table, 2 rows and 4 cells, one cell has another text
        assert figures.tables == [(pytest.approx(1 - 1 / 7), 1), (1, 1)]

    def test_heads_of_tables_do_not_count(self) -> None:
        given = truth(block("table", HTML, 1))
        head = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tr><td>1</td><td>2</td></tr>"
        assert compare_page(given, f"{head}</table>").tables == [(1, 1)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, **big** world!", "Hello big world"),
        ("energy $E=mc^2$ of", "energy E = mc2 of"),
        (r"the angle $\alpha$", "the angle α"),
        ("H<sub>2</sub>O", "H2O"),
        ("１２", "12"),
    ],
)
def test_what_counts_of_a_text(one: str, other: str) -> None:
    assert text_key(one) == text_key(other)


def test_what_counts_of_a_formula() -> None:
    aligned = r"\begin{aligned} A &= b \end{aligned}"
    assert formula_key(aligned) == formula_key("a = B") == "a=b"


def test_figures_are_means_of_pages() -> None:
    given = [truth(block("text_block", ONE, 1)), truth(block("text_block", TWO, 1)),
             truth(block("table", HTML, 1))]  # fmt: skip
    samples = [
        Sample("1", "", ONE, answers=[given[0]], category="book"),
        Sample("2", "", TWO, answers=[given[1]], category="note", failed=True),
        Sample("3", "", HTML, answers=[given[2]], category="note"),
    ]
    scores = score(samples)
    figures = summarise(samples, scores)

    assert scores == [0, 1, 0]
    assert figures.table == {
        "Text edit": 0.5, "Table TEDS": 100, "Table TEDS-S": 100, "Read order edit": 0.5,
    }  # fmt: skip
    assert figures.categories == {
        "pages of book": {"edit": 0, "count": 1},
        "pages of note": {"edit": 1, "count": 1},
        "text_block": {"edit": 0.5, "count": 2},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"OmniDocBench\.json: Expecting"),
        ("{}", "a list of pages is needed"),
        ("[{}]", "page 0 of the list: page_info with an image_path"),
        (json.dumps([page({"order": 1})]), "category_type is missing"),
        (json.dumps([page({"category_type": "title", "anno_id": 7})]), "block 7 of category title"),
        (json.dumps([page(block("table", "none", 1))]), "html 'none' has no <table>"),
        (json.dumps([page(block("title", "x", 1) | {"order": "1"})]), "order '1' is no number"),
        (json.dumps([page(), page()]), r"page 1 of the list: a\.jpg is there twice"),
    ],
)
def test_data_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_pages({"OmniDocBench.json": text}, ["a.jpg"])


def test_pages_are_found_by_their_names() -> None:
    text = json.dumps([page(image="old/folder/a.jpg"), page(image="b.jpg")])
    found = read_pages({"OmniDocBench.json": text}, ["en/a.jpg"])

    assert [(one.unit, one.category) for one in found] == [("en/a.jpg", "book"), ("b.jpg", "book")]


@given(st.text("ab\n|#$- ", max_size=60))
def test_any_answer_has_figures(answer: str) -> None:
    given = truth(block("title", "ab", 1), block("table", HTML, 2),
                  block("equation_isolated", "a-b", 3), block("header", "a", 4))  # fmt: skip
    figures = compare_page(given, answer)

    assert len(figures.tables) == 1
    assert all(0 <= wrong <= length for _, (wrong, length) in figures.texts)
