"""RefCOCO's score, number for number as the reference evaluation counts."""

from __future__ import annotations

import math

import pytest

from internvl_ops.metrics.grounding import Located, iou, precision_at_05

# Answers for a box of 200, 100, 600, 500 in an image of 1000 × 500, and whether the reference
# counts them.
ANSWERS = [
    ("<ref>a dog</ref><box>[[200, 200, 600, 1000]]</box>", True),
    ("[200, 200, 600, 1000]", True),
    ("a dog[[200, 200, 600, 1000]]", True),
    ("[[0.2, 0.2, 0.6, 1.0]]", True),
    ("[[200.0, 200.0, 600.0, 1000.0]]", True),
    ("<box>[[200, 200, 600, 600]]</box>", True),  # IoU is 0.5
    ("<box>[[200, 200, 600, 599]]</box>", False),
    ("<box>[[200, 200, 600, 1000], [0, 0, 1, 1]]</box>", True),  # the first counts
    ("<box>[[0, 0, 1, 1], [200, 200, 600, 1000]]</box>", False),
    ("<box>[[200, 200, 600, 1000, 3]]</box>", False),  # "1000, 3" is no number: zeros
    ("<box>[[600, 1000, 200, 200]]</box>", False),  # corners stay as they are
    ("<box>[[200, 200, 600, 1000</box>", False),  # no bracket, no box
    ("<box>[[200，200，600，1000]]</box>", False),
    ("<box>[[x1, y1, x2, y2]]</box>", False),
    ("There is no dog.", False),
    ("", False),
]


@pytest.mark.parametrize(("answer", "right"), ANSWERS)
def test_counts_an_answer_as_the_reference_does(answer: str, right: bool) -> None:
    assert precision_at_05([Located(answer, (200, 100, 600, 500), 1000, 500)]) == float(right)


def test_is_the_share_of_right_answers() -> None:
    located = [Located(answer, (200, 100, 600, 500), 1000, 500) for answer, _ in ANSWERS]

    assert precision_at_05(located) == 7 / len(ANSWERS)
    assert math.isnan(precision_at_05([]))


@pytest.mark.parametrize(
    ("other", "overlap"),
    [
        ((0, 0, 10, 10), 1),
        ((0, 0, 10, 5), 0.5),
        ((5, 0, 15, 10), 1 / 3),
        ((10, 10, 20, 20), 0),
        ((2, 2, 4, 4), 0.04),
    ],
)
def test_iou(other: tuple[float, ...], overlap: float) -> None:
    assert iou((0, 0, 10, 10), other) == pytest.approx(overlap)
    assert iou(other, (0, 0, 10, 10)) == pytest.approx(overlap)
