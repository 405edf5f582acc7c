"""Words and paragraphs that run over the end of a line or page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.quality.page_joining import BETWEEN_PAGES, Vocabulary, join_pages, join_words

LETTERS = st.text(st.sampled_from("abzA .-\n,\u00ad|#\u5b57"), max_size=60)


def words(text: str) -> str:
    return join_words(text, Vocabulary([text]))


def pages(*texts: str, words: bool = False, paragraphs: bool = True) -> str:
    return join_pages(texts, Vocabulary(texts), words=words, paragraphs=paragraphs)


@pytest.mark.parametrize(
    ("text", "joined"),
    [
        ("for exam-\nple this", "for example\nthis"),
        ("for exam\u00ad\nple, this", "for example,\nthis"),
        ("for exam\u2010\n  ple this", "for example\n  this"),
        ("the end of exam-\nple", "the end of example"),
        ("a mea-\nsure for exam-\nple here", "a measure\nfor example\nhere"),
        ("schön wär-\nme da", "schön wärme\nda"),
    ],
)
def test_a_word_goes_up_to_its_start(text: str, joined: str) -> None:
    assert words(text) == joined


@pytest.mark.parametrize(
    "text",
    [
        "Hans-\nPeter",
        "in 1990-\n2000",
        "a -\nb",
        "state-of-\nart",
        "a self-\nmade man, as self-made as it gets",
        "| a-\nb |",
        "```\nx = a-\nb\n```",
        "<td>exam-\nple</td>",
        "exam-\n\nple",
        "nothing at all",
    ],
)
def test_other_hyphens_stay(text: str) -> None:
    assert words(text) == text


def test_a_word_that_is_written_in_one_elsewhere_loses_its_hyphen() -> None:
    assert words("a rail-\nway, a rail-way, a railway") == "a railway,\na rail-way, a railway"


@pytest.mark.parametrize(
    ("above", "below", "joined"),
    [
        ("It runs", "on here.", "It runs on here."),
        ("It runs,\n", "\non here.", "It runs, on here."),
        ("# Head\n\nIt runs", "on.\n\nMore.", "# Head\n\nIt runs on.\n\nMore."),
        ("\u6587\u5b57\u304c", "\u7d9a\u304f\u3002", "\u6587\u5b57\u304c\u7d9a\u304f\u3002"),
        ("a well-", "known one", "a well-known one"),
    ],
)
def test_a_paragraph_is_joined_with_its_end(above: str, below: str, joined: str) -> None:
    assert pages(above, below) == joined


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("It ends.", "then more"),
        ('It ends."', "then more"),
        ("It runs", "On here."),
        ("# a heading", "and text"),
        ("- an item", "and text"),
        ("| a | b |", "and text"),
        ("It runs", "- an item"),
        ("It runs", "<table>"),
        ("page 12\n12", "and text"),
        ("```\ncode", "code\n```"),
        ("", "and text"),
        ("It runs", ""),
    ],
)
def test_what_is_no_running_text_stays_apart(above: str, below: str) -> None:
    assert pages(above, below) == above + BETWEEN_PAGES + below


def test_a_word_is_joined_over_the_end_of_a_page() -> None:
    assert pages("for exam-", "ple this", words=True) == "for example this"
    assert pages("for exam-", "ple this", words=True, paragraphs=False) == "for example\n\nthis"
    assert pages("for exam-", "ple\nthis", words=True, paragraphs=False) == "for example\n\nthis"


def test_a_paragraph_may_run_over_several_pages() -> None:
    assert pages("one", "two", "three.", "Four") == "one two three.\n\nFour"


@given(st.lists(LETTERS, max_size=5), st.booleans(), st.booleans())
def test_no_letter_is_lost_moved_or_made(texts: list[str], words: bool, paragraphs: bool) -> None:
    joined = join_pages(texts, Vocabulary(texts), words=words, paragraphs=paragraphs)

    def plain(text: str) -> str:
        return "".join(one for one in text if one not in " \n-\u00ad")

    assert plain(joined) == plain("".join(texts))
    if not words:
        assert joined.count("-") == sum(text.count("-") for text in texts)
    if not words and not paragraphs:
        assert joined == BETWEEN_PAGES.join(texts)
