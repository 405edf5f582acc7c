"""Scores of short answers, computed by hand."""

from __future__ import annotations

import pytest

from internvl_ops.metrics import anls, exact_match, ocrbench_hit, relaxed_accuracy, vqa_accuracy
from internvl_ops.metrics.questions import HANDWRITTEN_MATHS
from internvl_ops.metrics.vqa_normalisation import normalise


@pytest.mark.parametrize(
    ("response", "answers", "score"),
    [
        ("Coca-Cola", ["coca-cola"], 1),
        ("  coca   cola ", ["Coca Cola"], 1),  # 0 edits, whatever the lengths
        ("coca cola", ["coca cola company", "coca-cola"], 1 - 1 / 9),  # one of nine characters
        ("ab", ["abcd"], 0.5),  # 2 of 4: exactly half counts
        ("ab", ["abcde"], 0),  # 3 of 5 is 0.4 alike
        # One edit, divided by the 7 characters with the blanks.
        ("cat   ", ["cut"], 1 - 1 / 6),
        ("", [""], 1),
        ("", ["cat"], 0),
        ("cat", [""], 0),
        ("dog", ["cat", "dog"], 1),
        ("Straße", ["Strase"], 1 - 1 / 7),  # upper-cased it is STRASSE
        ("ﬁsh", ["fish"], 1 - 2 / 4),  # a ligature of two letters
    ],
)
def test_anls(response: str, answers: list[str], score: float) -> None:
    assert anls(response, answers) == pytest.approx(score)


@pytest.mark.parametrize(
    ("response", "answers", "right"),
    [
        ("105", ["100"], True),
        ("105.1", ["100"], True),  # 5.1 is less than 5 % of the response
        ("95", ["100"], False),  # 5 is more than that of 95
        ("19", ["20"], False),
        ("20", ["19"], True),
        ("-105", ["-100"], True),
        ("100", ["-100"], False),
        ("14%", ["0.14"], True),
        ("14", ["0.14"], False),
        ("14%", ["14"], False),  # 0.14 is no 14
        ("14%", ["14%"], True),
        ("0", ["0"], True),  # 5 % of zero is nothing: compared as text
        ("0", ["0.0"], False),
        ("0.0", ["0"], False),
        ("0.01", ["0"], False),
        ("Yes", ["yes"], True),
        ("yes.", ["yes"], False),
        (" 2014 ", ["2014"], True),
        ("1,000", ["1000"], False),  # no number to the reference, and not the same text
        ("3", ["cat", "3"], True),
        ("", [""], True),
        ("", ["3"], False),
        ("nan", ["3"], False),
        ("%", ["%"], True),
    ],
)
def test_relaxed_accuracy(response: str, answers: list[str], right: bool) -> None:
    assert relaxed_accuracy(response, answers) == right


@pytest.mark.parametrize(
    ("matches", "score"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)]
)
def test_vqa_accuracy_leaves_each_person_out_in_turn(matches: int, score: float) -> None:
    # Of three like answers: without one of them (3 times) 2/3, without another (7 times) 3/3: (3 x
    # 2/3 + 7) / 10 = 0.9.
    answers = ["nous les gosses"] * matches + [f"other {number}" for number in range(10 - matches)]

    assert vqa_accuracy("Nous les gosses", answers) == score


def test_vqa_accuracy_of_an_empty_answer() -> None:
    assert vqa_accuracy("", ["dakota"] * 10) == 0
    assert vqa_accuracy("the", ["a"] * 10) == 1  # both normalise to nothing


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The Two dogs", "2 dogs"),
        ("none", "0"),
        ("Dont", "don't"),
        ("couldntve", "couldntve"),  # both apostrophes missing: not in the list
        ("couldnt've", "couldn't've"),
        ("John's", "john 's"),
        ("1,000", "1000"),
        ("what?", "what"),
        ("half-price", "half price"),  # between words a blank
        ("half -price", "half price"),  # at the edge of one nothing
        ("3.50", "3.50"),
        ("st. john", "st john"),
        ("5.", "5"),
        ("a\nb\tc", "b c"),
        ("(12)", "12"),
    ],
)
def test_normalisation(text: str, normal: str) -> None:
    assert normalise(text) == normal


@pytest.mark.parametrize(
    ("response", "answers", "right"),
    [
        (" Red ", ["red"], 1),
        ("red.", ["red"], 0),
        ("b", ["a", "B"], 1),
        ("", [""], 1),
        ("", ["red"], 0),
    ],
)
def test_exact_match(response: str, answers: list[str], right: int) -> None:
    assert exact_match(response, answers) == right


@pytest.mark.parametrize(
    ("response", "answers", "category", "right"),
    [
        ("The word is CENTRE.", ["centre"], "", 1),
        ("cent re", ["centre"], "", 0),
        ("one\ntwo", ["One Two"], "", 1),
        ("", ["centre"], "", 0),
        ("15", ["12", "15"], "", 1),
        (r"\frac { A } { b }", [r"\frac{A}{b}"], HANDWRITTEN_MATHS, 1),
        (r"\frac{a}{b}", [r"\frac{A}{b}"], HANDWRITTEN_MATHS, 0),
        (r"\frac { A } { b }", [r"\frac{A}{b}"], "Handwriting Recognition", 0),
    ],
)
def test_ocrbench_hit(response: str, answers: list[str], category: str, right: int) -> None:
    assert ocrbench_hit(response, answers, category) == right
