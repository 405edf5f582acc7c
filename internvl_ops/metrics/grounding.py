"""RefCOCO's score, computed like InternVL's ``eval/refcoco/evaluate_grounding.py``.

That script accepts fewer forms than `internvl_ops.tasks.boxes.parse_boxes`, and published scores
include what it misses. So it has its own parser here: the first four items between brackets and
commas, or else a box of zeros.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

# the same as lazy dots, in linear time
FIRST_FOUR = re.compile(r"\[++" + r"([^,\n]*+)," * 3 + r"([^\]\n]*+)\]")
LEAST_IOU = 0.5


class Located(NamedTuple):
    """An answer and the location of the phrase.

    Attributes:
        response: The model's text, with special tokens.
        box: The right box: x1, y1, x2, y2 in pixels.
        width: Width of the image, in pixels.
        height: Height of the image, in pixels.
    """

    response: str
    box: Sequence[float]
    width: int
    height: int


def precision_at_05(located: Iterable[Located]) -> float:
    """The share of answers that are a `hit`; nan if there are no answers."""
    right = [hit(each) for each in located]
    return sum(right) / len(right) if right else float("nan")


def hit(located: Located) -> bool:
    """Whether the answer's first box overlaps the right one by an IoU of at least 0.5."""
    return iou(_first_box(located), located.box) >= LEAST_IOU


def iou(first: Sequence[float] | np.ndarray, second: Sequence[float] | np.ndarray) -> float:
    """Intersection over union of two boxes, in float32 like the reference; nan if both boxes have
    no area.

    Args:
        first: x1, y1, x2, y2. The corners are not sorted: swapped corners have a negative or no
            area, as in the reference.
        second: x1, y1, x2, y2.
    """
    a, b = np.asarray(first, np.float32), np.asarray(second, np.float32)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        width, height = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
        overlap = width * height
        both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - overlap
        return float(overlap / both)


def _first_box(located: Located) -> np.ndarray:
    """float32, x1, y1, x2, y2 in pixels; thousandths if the numbers sum to 4 or more, fractions
    otherwise."""
    try:
        found = FIRST_FOUR.findall(located.response)[0]
        box = np.array([float(number) for number in found], np.float32)
    except (IndexError, ValueError):
        box = np.zeros(4, np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        if box.sum() >= 4:
            box = box / np.float32(1000)
        return box * np.array([located.width, located.height] * 2, np.float32)
