"""Each form of fact of olmOCR-Bench, by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.evaluation import Sample
from internvl_ops.evaluation.olmocr_bench import read_facts, score, states, summarise
from internvl_ops.evaluation.olmocr_text import normalised

TABLE = (
    "| | May | June |\n|---|---|---|\n| rain | 3 | 4 |\n| sun | 5 | 6 |\n\n"
    "<table><tr><th>City</th><th colspan=2>Trade</th></tr><tr><td>Rome</td><td>in</td><td>out</td>"
    "</tr></table>"
)


def fact(form: str, **given: Any) -> dict[str, Any]:
    line = {"pdf": "a.pdf", "page": 1, "id": "x", "type": form, **given}
    truth, *_ = read_facts({"some.jsonl": json.dumps(line)}, [])
    return json.loads(truth.truth)


@pytest.mark.parametrize(
    ("given", "answer", "there"),
    [
        ({"text": "a big world"}, "Hello, a **big**\n\nworld!", True),
        ({"text": "a big world"}, "Hello, a bg world!", False),
        ({"text": "a big world", "max_diffs": 1}, "Hello, a bg world!", True),
        ({"text": "a big world"}, "A BIG WORLD", False),
        ({"text": "a big world", "case_sensitive": False}, "A BIG WORLD", True),
        ({"text": "“tis’ – so"}, "\"tis' - so", True),
        ({"text": "7", "first_n": 3}, "7 is first, 8 last", True),
        ({"text": "7", "last_n": 3}, "7 is first, 8 last", False),
        ({"text": "last", "first_n": 2, "last_n": 5}, "7 is first, 8 last", True),
        ({"text": "a long phrase"}, " ", False),  # the blank is in the phrase, not the reverse
        ({"text": "a long phrase"}, "", False),
    ],
)
def test_text_that_is_present_or_absent(given: dict, answer: str, there: bool) -> None:
    assert states(fact("present", **given), answer) is there
    assert states(fact("absent", **given), answer) is not there


@pytest.mark.parametrize(
    ("given", "answer", "right"),
    [
        ({"text": "A title", "format": "heading"}, "Text\n### A title of\nmore", True),
        ({"text": "A title", "format": "heading"}, "A title\n# Another", False),
        ({"text": "A title", "format": "heading"}, "<h2 class=x>A **title**</h2>", True),
        ({"text": "A titel", "format": "heading", "max_diffs": 2}, "# A title", True),
        ({"text": "a title", "format": "heading"}, "# A TITLE", False),
        ({"text": "a title", "format": "heading", "case_sensitive": False}, "# A TITLE", True),
        ({"text": "loud", "format": "bold"}, "so **very loud** it was", True),
        ({"text": "loud", "format": "bold"}, "so __loud__", True),
        ({"text": "loud", "format": "bold"}, "so <strong>loud</strong>", True),
        ({"text": "loud", "format": "bold"}, "so *loud*", False),
        ({"text": "soft", "format": "italic"}, "so *soft* it was", True),
        ({"text": "soft", "format": "italic"}, "so _soft_", True),
        ({"text": "soft", "format": "italic"}, "so <em>soft</em>", True),
        ({"text": "soft", "format": "italic"}, "so **soft** it was", False),
    ],
)
def test_a_text_with_a_format(given: dict, answer: str, right: bool) -> None:
    assert states(fact("format", **given), answer) is right


@pytest.mark.parametrize(
    ("given", "answer", "right"),
    [
        ({"marker": "1"}, "a word[^1] and", True),
        ({"marker": "1"}, "[^1]: it is only the footnote", False),
        ({"marker": "1"}, "a word<sup class=x>1</sup>", True),
        ({"marker": "12"}, "a word\u00b9\u00b2", True),
        ({"marker": "1"}, "a word1", False),
        ({"marker": "*"}, "a word<sup>*</sup>", True),
        ({"marker": "1", "appears_before_marker": "a last word"}, "It is a *last* word.[^1]", True),
        ({"marker": "1", "appears_before_marker": "a last word"}, "a last word, and more that"
         " stands between it and its marker[^1]", False),
        ({"marker": "1", "appears_before_marker": "a last wrod", "max_diffs": 2},
         "a last word[^1]", True),
        ({"marker": "1", "appears_after_marker": "See there"}, "word[^1]\n\n<sup>1</sup> See"
         " there.", True),
        ({"marker": "1", "appears_after_marker": "See there"}, "See there<sup>1</sup>", False),
        ({"marker": "1", "appears_before_marker": "word", "appears_after_marker": "See"},
         "word[^1] and\n\n<sup>1</sup> See", True),
    ],
)  # fmt: skip
def test_a_footnote(given: dict, answer: str, right: bool) -> None:
    assert states(fact("footnote", **given), answer) is right


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"type": "format", "text": "a", "format": "large"}, "heading, bold, italic"),
        ({"type": "format", "text": "a"}, "format is None"),
        ({"type": "footnote", "marker": "1 2"}, "without blanks"),
        ({"type": "footnote", "marker": "1", "appears_after_marker": " "}, "a text is needed"),
    ],
)
def test_a_fact_about_marks_that_cannot_be_checked_is_refused(given: dict, needed: str) -> None:
    line = {"pdf": "a.pdf", "page": 1, "id": "x", **given}
    with pytest.raises(ValueError, match=needed):
        read_facts({"some.jsonl": json.dumps(line)}, [])


@pytest.mark.parametrize(
    ("answer", "max_diffs", "right"),
    [
        ("the first and then the second", 0, True),
        ("the second and then the first", 0, False),
        ("the frst and then the secnd", 0, False),
        ("the frst and then the secnd", 1, True),
        ("second, first, second", 0, True),  # somewhere the one is before the other
        ("the first alone", 0, False),
    ],
)
def test_order(answer: str, max_diffs: int, right: bool) -> None:
    asked = fact("order", before="first", after="second", max_diffs=max_diffs)
    assert states(asked, answer) is right


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ({"cell": "4", "up": "June", "down": "6", "left": "3"}, True),
        ({"cell": "4", "up": "May"}, False),
        ({"cell": "5", "right": "6", "top_heading": "May", "left_heading": "sun"}, True),
        ({"cell": "5", "left_heading": "rain"}, False),
        ({"cell": "in", "up": "Trade", "left": "Rome"}, True),
        ({"cell": "out", "top_heading": "Trade", "left_heading": "Rome"}, True),
        ({"cell": "Trade", "down": "out"}, True),
        ({"cell": "out", "top_heading": "City"}, False),
        ({"cell": "Rome"}, True),
        ({"cell": "Rom"}, False),
        ({"cell": "Rom", "max_diffs": 1}, True),
        ({"cell": "9"}, False),
        ({"cell": "4", "ignore_markdown_tables": True}, False),
    ],
)
def test_cells_of_a_table(given: dict, right: bool) -> None:
    assert states(fact("table", **given), TABLE) is right
    assert not states(fact("table", **given), "no table")


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        (r"so \(E = mc^2\) is", True),
        (r"so $$ E=m c^{2} $$", True),
        (r"$F + E = mc^2 + G$", True),
        (r"$E = mc_2$", False),
        ("E = mc^2", False),  # no formula: nothing delimits it
    ],
)
def test_formulas(answer: str, right: bool) -> None:
    assert states(fact("math", math="E = mc^2"), answer) is right


@pytest.mark.parametrize(
    ("given", "answer", "right"),
    [
        ({}, "Some text.", True),
        ({}, "--- !", False),
        ({}, "x" + "la " * 30, True),
        ({}, "x" + "la " * 31, False),
        ({"max_repeats": 40}, "x" + "la " * 31, True),
        ({}, "Some 文 text", False),
        ({"check_disallowed_characters": False}, "Some 文 text", True),
        ({"max_length": 3}, "p. 7", True),
        ({"max_length": 3}, "four", False),
        ({"max_length": 3}, "![a picture](a.png)", False),
        ({"max_length": 3, "max_length_skips_image_alt_tags": True}, "![a picture](a.png)", True),
    ],
)
def test_baseline(given: dict, answer: str, right: bool) -> None:
    assert states(fact("baseline", **given), answer) is right


def test_every_document_has_a_baseline() -> None:
    line = {"pdf": "a.pdf", "page": 2, "id": "x", "type": "present", "text": "a", "first_n": None}
    truths = read_facts({"part.jsonl": f"{json.dumps(line)}\n\n"}, ["a.pdf", "b.pdf"])

    assert [(one.id, one.unit, one.split, one.category) for one in truths] == [
        ("x", "a.pdf#page=2", "part", "present"),
        ("a.pdf_baseline", "a.pdf#page=1", "baseline", "baseline"),
        ("b.pdf_baseline", "b.pdf#page=1", "baseline", "baseline"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"a\.jsonl:1: Expecting"),
        ("[]", "a JSON object is needed"),
        ('{"type": "presnt"}', "type 'presnt'; one of present, absent, order, table, math, form"),
        ('{"type": "present", "pdf": "a", "id": "1", "page": 1}', "text is None; a text is needed"),
        ('{"type": "math", "pdf": "a", "id": "1", "page": 0, "math": "x"}', "page is 0; a whole"),
        ('{"type": "baseline", "pdf": "a", "id": "1", "page": 1, "max_diffs": 1.5}', "max_diffs"),
        ('{"type": "order", "pdf": "a", "id": "1", "page": 1, "before": "a", "after": "b",'
         ' "max_diffs": 1}', "more than half"),
        ('{"type": "baseline", "pdf": "a", "id": "1", "page": 1}\n'
         '{"type": "baseline", "pdf": "b", "id": "1", "page": 1}', r"a\.jsonl:2: the id '1' is al"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_fact(line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_facts({"a.jsonl": line}, [])


def test_the_figure_is_the_mean_of_the_files() -> None:
    def sample(split: str, answer: str, failed: bool = False) -> Sample:
        truth = json.dumps(fact("present", text="yes"))
        return Sample("x", split, answer, answers=[truth], category="present", failed=failed)

    samples = [sample("a", "yes"), sample("a", "yes"), sample("b", "no"), sample("b", "yes"),
               sample("b", "no"), sample("b", "yes", failed=True)]  # fmt: skip
    scores = score(samples)
    figures = summarise(samples, scores)

    assert scores == [1, 1, 0, 1, 0, 0]
    # of a all, of b one of four; a mean of all would be 50
    assert figures.table["overall"] == pytest.approx((100 + 25) / 2)
    assert (figures.table["a"], figures.table["b"]) == (100, 25)
    # one of the files varies: by a binomial of four, whose ends of 95 % are 0 and 3 of 4
    assert figures.table["±"] == pytest.approx(75 / 2 / 2)
    assert figures.categories == {"present": {"score": 50, "questions": 6}}


@given(st.text(), st.text())
def test_what_is_present_is_not_absent(text: str, answer: str) -> None:
    if normalised(text).strip():
        present = states(fact("present", text=text), answer)
        assert states(fact("absent", text=text), answer) is not present


@given(st.text("abc *_\n", max_size=30), st.text("abc ", min_size=1, max_size=6))
def test_a_planted_text_is_present(around: str, planted: str) -> None:
    if planted.strip():
        assert states(fact("present", text=planted.strip()), f"{around}\n{planted.strip()}")
