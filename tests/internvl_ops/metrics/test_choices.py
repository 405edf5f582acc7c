"""Multiple choice, and yes or no."""

from __future__ import annotations

import pytest

from internvl_ops.metrics import (
    mmbench_letter,
    mme_scores,
    mvbench_hit,
    video_mme_letter,
    yes_or_no,
)

COLOURS = ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("B", "B"),
        (" C\n", "C"),
        ("b", "b"),  # a single sign is taken as it is, and so is wrong
        ("B. green", "B"),
        ("It is blue.", "C"),
        ("(C)", "C"),
        ("The answer is A", "A"),
        ("A red cat, so option A.", "A"),  # an article is a letter
        ("A cat, so option B", "A cat, so option B"),  # and so there are two
        ("option B", "B"),
        ("**B**: it is red", "B"),  # a letter goes before any text
        ("I think (B).", "B"),
        ("Both A and C", "Both A and C"),  # of two letters none, though the first sign is one
        ("A or B: GREEN", "B"),  # but then the text decides
        ("either green or red", "either green or red"),  # of two texts none
        ("Because it is red", "A"),
        ("D", "D"),
        ("Z, it is red", "Z, it is red"),
        ("Cannot determine the answer: B", "Cannot determine the answer: B"),
        ("Do not know", "Do not know"),
        ("", ""),
    ],
)
def test_mmbench(response: str, letter: str) -> None:
    assert mmbench_letter(response, COLOURS) == letter


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("(B) green", 1),
        ("B", 1),
        ("b.", 1),
        ("Answer: (B)", 1),
        ("(b)green", 1),
        ("(A) red", 0),
        ("green", 0),  # the reference reads the option, not its text
        ("", 0),
        (".", 0),
    ],
)
def test_mvbench(response: str, right: int) -> None:
    assert mvbench_hit(response, COLOURS, "green") == right


@pytest.mark.parametrize(("response", "right"), [("(C) b c", 1), ("C", 1), ("(B)", 0), ("B", 0)])
def test_of_equal_options_of_mvbench_the_last_is_right(response: str, right: int) -> None:
    assert mvbench_hit(response, ["3", "b c", "b c"], "b c") == right


def test_mvbench_needs_the_answer_among_the_options() -> None:
    with pytest.raises(ValueError, match="is not in list"):
        mvbench_hit("A", COLOURS, "black")


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("C", "C"),
        ("The best answer is: D", "D"),
        ("Best option: (A)", "A"),
        ("no idea", ""),
        ("", ""),
        ("E", ""),
    ],
)
def test_video_mme(response: str, letter: str) -> None:
    assert video_mme_letter(response) == letter


@pytest.mark.parametrize(
    ("response", "meant"),
    [
        ("Yes", "yes"),
        ("no.", "no"),
        ("\nYes, it is.", "yes"),
        ("True", "yes"),
        ("false", "no"),
        ("不是", "no"),
        ("是的", "yes"),
        ("It is yes", "other"),  # the first four characters only
        ("Not", "no"),
        ("", "other"),
    ],
)
def test_yes_or_no(response: str, meant: str) -> None:
    assert yes_or_no(response) == meant


def test_mme_adds_accuracy_and_accuracy_plus() -> None:
    answered = [
        ("count", "1.jpg", True),
        ("count", "1.jpg", True),
        ("count", "2.jpg", True),
        ("count", "2.jpg", False),
        ("OCR", "1.jpg", False),
        ("OCR", "1.jpg", False),
    ]

    # count: 3 of 4 questions, 1 of 2 images: 75 + 50.
    assert mme_scores(answered) == {
        "count": {"accuracy": 75, "accuracy+": 50, "score": 125},
        "OCR": {"accuracy": 0, "accuracy+": 0, "score": 0},
    }
