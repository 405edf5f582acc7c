"""Page numbers, running heads and feet leave a document; its text stays."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.page_texts.furniture import without_furniture

LINES = st.sampled_from(
    ["", "A Journal 7", "12", "- 3 -", "# Head", "text", "| a |", "<footer>f</footer>", "iv", "2"]
)
PAGES = st.lists(st.lists(LINES, max_size=6).map("\n".join), max_size=6)


def test_numbers_and_running_lines_go() -> None:
    pages = [
        f"{n}\n\nA Journal, vol. 3\nText {'abcd'[n]} of the page.\n\nPublisher" for n in range(4)
    ]
    assert without_furniture(pages) == [f"Text {letter} of the page." for letter in "abcd"]


def test_what_the_model_marks_goes_wherever_it_stands() -> None:
    page = "<header>A</header>\n\n<header>B</header>\n\nText.\n\n<footer>C</footer>\n\nMore."
    assert without_furniture([page, "<footer>alone</footer>"]) == [
        "Text.\n\n\nMore.",
        "<footer>alone</footer>",
    ]


def test_a_heading_stays_where_it_stands_first() -> None:
    assert without_furniture([f"# Chapter\n\nText {letter}." for letter in "abc"]) == [
        "# Chapter\n\nText a.",
        "Text b.",
        "Text c.",
    ]


def test_what_may_be_text_stays() -> None:
    pages = [
        "Name: A\nTotal\n12",
        "Name: A\nTotal\n15",
        "- an item\nText",
        "- an item\nMore",
        "- an item\nEnd",
        "12",
    ]
    assert without_furniture(pages) == pages


@given(PAGES)
def test_a_page_with_text_keeps_some_and_all_structure(pages: list[str]) -> None:
    found = without_furniture(pages)
    assert len(found) == len(pages)
    for before, after in zip(pages, found, strict=True):
        assert bool(before.strip()) == bool(after.strip())
        kept = iter(before.split("\n"))
        assert all(line in kept for line in after.split("\n"))
        assert before.count("| a |") == after.count("| a |")
