"""Judges whether lines of text come in the order in which a person reads them, by their boxes
alone.

Boxes are float64 (boxes, 4): left, top, right, bottom, y downwards, in any unit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

_SAME_ROW = 0.5  # share of the lower of two lines by which they overlap
_WIDE = 2.0  # heights of a line; blanks between words are narrower
_ROWS_ACROSS = 3  # consecutive rows with the same wide blank are columns, or a table


def is_read_in_order(lines: np.ndarray) -> bool:
    """Whether each line follows the one before: on its right, below it, or at the head of a column
    on the right.

    Args:
        lines: Boxes of the lines, in the order in which the file has them.
    """
    column_right = -math.inf
    boxes: list[list[float]] = lines.tolist()  # plain numbers are compared ten times as fast
    for before, line in itertools.pairwise(boxes):
        column_right = max(column_right, before[2])
        slack = 0.5 * min(before[3] - before[1], line[3] - line[1])
        if _overlap(before, line) > _SAME_ROW:
            if line[0] < before[2] - slack:
                return False
        elif line[1] < before[1]:  # upwards: only into a column on the right of all lines so far
            if line[0] < column_right - slack:
                return False
            column_right = -math.inf
    return True


def is_read_across(letters: np.ndarray) -> bool:
    """Whether some rows in sequence have a wide blank in the same place, while the file goes across
    it.

    Such rows are those of a table, or of columns that the file fills row by row.

    Args:
        letters: Boxes of the letters, in the order in which the file has them.
    """
    gaps: list[tuple[float, float, float, float]] = []  # left, right, top, height
    boxes: list[list[float]] = letters.tolist()
    for before, letter in itertools.pairwise(boxes):
        height = max(before[3] - before[1], letter[3] - letter[1])
        if (
            letter[0] - before[2] > _WIDE * height
            and abs(_middle(letter) - _middle(before)) < 0.7 * height
        ):
            gaps.append((before[2], letter[0], _middle(before), height))
    for number, (left, right, middle, _) in enumerate(gaps):
        count = 1
        for other_left, other_right, other_middle, height in gaps[number + 1 :]:
            if other_middle - middle < 0.5 * height:  # another blank of the same row
                continue
            left, right, far = (
                max(left, other_left),
                min(right, other_right),
                other_middle - middle > 4 * height,
            )
            if far or right - left < 0.5 * height:
                break
            middle, count = other_middle, count + 1
            if count == _ROWS_ACROSS:
                return True
    return False


def _middle(box: Sequence[float]) -> float:
    return (box[1] + box[3]) / 2


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    shared = min(one[3], other[3]) - max(one[1], other[1])
    return shared / max(1e-9, min(one[3] - one[1], other[3] - other[1]))
