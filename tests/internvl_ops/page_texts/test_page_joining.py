"""Words and paragraphs that run over the end of a line or page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.page_texts.page_joining import BETWEEN_PAGES, Vocabulary, join_pages, join_words

TABLE = "| a | b |\n|---|---|\n| 1 | 2 |"
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


@pytest.mark.parametrize("foot", ["\n12", "- 12 -", "\nxiv", "Page 3 of 9"])
def test_a_page_number_at_the_foot_keeps_no_paragraph_apart(foot: str) -> None:
    assert pages(f"It runs\n{foot}", "on here.") == "It runs on here."
    assert pages(f"It ends.\n{foot}", "On it goes.") == f"It ends.\n{foot}\n\nOn it goes."


def test_numbers_that_count_on_with_the_pages_are_theirs() -> None:
    assert pages("It runs\n7", "on and\n8", "on.") == "It runs on and on."
    assert (
        pages("there were\n7", "on board and\n9", "on land.")
        == "there were\n7\n\non board and\n9\n\non land."
    )


@pytest.mark.parametrize(
    ("above", "below", "joined"),
    [
        (f"T\n\n{TABLE}", "| 3 | 4 |\n\nEnd", f"T\n\n{TABLE}\n| 3 | 4 |\n\nEnd"),
        (TABLE, "| a | b |\n|---|---|\n| 3 | 4 |", f"{TABLE}\n| 3 | 4 |"),
        (f"{TABLE}\n\n7", "| | |\n|---|---|\n| 3 | 4 |", f"{TABLE}\n| 3 | 4 |"),
        (
            "<table><tr><th>a</th></tr></table>\n",
            "<table border=1><tr><td>1</td></tr></table> x",
            "<table><tr><th>a</th></tr>\n<tr><td>1</td></tr></table> x",
        ),
        (
            "<table><tr><th>a</th></tr></table>",
            "<table><thead><tr><th>a</th></tr></thead><tr><td>1</td></tr></table>",
            "<table><tr><th>a</th></tr>\n<tr><td>1</td></tr></table>",
        ),
    ],
)  # fmt: skip
def test_a_table_goes_on_at_the_head_of_the_next_page(above: str, below: str, joined: str) -> None:
    texts = (above, below)
    assert (
        join_pages(texts, Vocabulary(texts), words=False, paragraphs=False, tables=True) == joined
    )
    assert pages(above, below, paragraphs=False) == above + BETWEEN_PAGES + below


def test_a_table_may_run_over_several_pages() -> None:
    texts = (
        "<table><tr><th>a</th></tr></table>",
        *["<table><tr><td>1</td></tr></table>"] * 2,
        "End.",
    )
    joined = join_pages(texts, Vocabulary(texts), words=False, paragraphs=False, tables=True)
    assert (
        joined
        == "<table><tr><th>a</th></tr>\n<tr><td>1</td></tr>\n<tr><td>1</td></tr></table>\n\nEnd."
    )


MARKDOWN = "| a | b |\n|---|---|\n"


@pytest.mark.parametrize(
    ("first", "row", "last"),
    [
        ("<table><tr><th>a</th><th>b</th></tr>", "<tr><td>{}</td><td>x</td></tr>", "</table>"),
        (MARKDOWN.rstrip(), "| {} | x |", ""),
    ],
)
def test_a_table_of_thousands_of_pages_is_one(first: str, row: str, last: str) -> None:
    """Each page is read once: to read all that was joined again with each page would take hours."""
    rows = [[row.format(20 * page + line) for line in range(20)] for page in range(3000)]
    head = first if last else MARKDOWN.rstrip()
    texts = ["\n".join([head, *one]) + last for one in rows]
    joined = join_pages(texts, Vocabulary([]), words=False, paragraphs=False, tables=True)
    assert joined == "\n".join([head, *(line for one in rows for line in one)]) + last


@given(
    pages=st.lists(st.integers(1, 3), min_size=1, max_size=6),
    heads=st.lists(st.booleans(), min_size=6, max_size=6),
    html=st.booleans(),
)
def test_no_row_is_lost_and_none_comes_twice(
    pages: list[int], heads: list[bool], html: bool
) -> None:
    """Whether a page repeats the head, or goes on without one."""
    head = "<tr><th>a</th></tr>" if html else "| a |\n|---|"
    texts, rows = [], []
    for page, count in enumerate(pages):
        own = [f"{page}.{row}" for row in range(count)]
        own = [f"<tr><td>{cell}</td></tr>" if html else f"| {cell} |" for cell in own]
        with_head = [head] if heads[page] or page == 0 else []
        text = "\n".join([*with_head, *own])
        texts.append(f"<table>{text}</table>" if html else text)
        rows += own
    joined = join_pages(texts, Vocabulary(texts), words=False, paragraphs=False, tables=True)
    whole = "\n".join([head, *rows])
    assert joined == (f"<table>{whole}</table>" if html else whole)


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| 3 | 4 | 5 |"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "| c | d |\n|---|---|\n| 3 | 4 |"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "Text.\n\n| 3 | 4 |"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n\nText.", "| 3 | 4 |"),
        (
            "<table><tr><th>a</th></tr></table>",
            "<table><tr><th>b</th></tr><tr><td>1</td></tr></table>",
        ),
        ("<table><tr><th>a</th></tr></table>", "| 3 | 4 |"),
        ("<table><tr><th>a</th></tr></table>", "<table><tr><td>1"),
    ],
)
def test_another_table_stays_apart(above: str, below: str) -> None:
    texts = (above, below)
    joined = join_pages(texts, Vocabulary(texts), words=False, paragraphs=False, tables=True)
    assert joined == above + BETWEEN_PAGES + below


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
