"""Finds pages without anything on them: white, yellowed, grey or black scans, with noise, shadows
and dust.

A page is blank if no speck of ink on it is as large as a letter, and if its light does not change
as in a photograph. Each limit is chosen so that a page with one line, one page number or a faint
pencil mark is never blank, at the price of calling some blank pages written: an empty answer that
is wrong is lost, one question more costs a second.
"""

from __future__ import annotations

import cv2
import numpy as np

from internvl_ops.media.picture_stats import ink_mask, reduced

GLANCE = 512  # pixels on the long side for a first look, which most written pages end
LOOK = 1280  # pixels on the long side: a letter of 8 points on A4 is then 9 pixels high
WRITTEN = 0.02  # share of ink that needs no closer look
# Contrast in grey levels -> what is longer than this share of the long side is writing. At a faint
# contrast the grain of paper and JPEG blocks make clusters; at a strong one only dust is left,
# which is smaller than a letter.
WRITING = {10: 0.018, 25: 0.0075, 40: 0.005}
MARGIN = 0.02  # of each side: the edges of a scan show the scanner
CELLS = 24  # side of the grid of means on which light is compared
# Percentiles of that grid, once its smooth slope is out -> levels between them that a lit page does
# not reach.
UNEVEN = {(25, 75): 2.5, (2, 98): 5.5}


def is_blank(pixels: np.ndarray) -> bool:
    """Whether a page or picture shows nothing.

    Args:
        pixels: uint8 of shape (height, width, 3), RGB.
    """
    small = _inner(reduced(pixels, GLANCE))
    if ink_mask(small).mean() > WRITTEN or _changes_in_light(small):
        return False
    return not _has_writing(_inner(reduced(pixels, LOOK)))


def _inner(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    rows, columns = int(height * MARGIN), int(width * MARGIN)
    return pixels[rows : height - rows, columns : width - columns]


def _has_writing(page: np.ndarray) -> bool:
    """Whether anything on the page is as large as a letter."""
    # Grey alone: JPEG smears the colour of a grain of dust over 16 pixels.
    page = cv2.cvtColor(page, cv2.COLOR_RGB2GRAY)
    return any(
        _longest(page, contrast) > share * max(page.shape[:2])
        for contrast, share in WRITING.items()
    )


def _longest(page: np.ndarray, contrast: float) -> int:
    """Longest side of a connected piece of ink, in pixels."""
    # The parts of a thin or broken letter are one.
    joined = cv2.morphologyEx(
        ink_mask(page, contrast).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)
    )
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    return int(stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(initial=0))


def _changes_in_light(page: np.ndarray) -> bool:
    """Whether the light changes beyond a smooth slope, as in photographs, however dark or pale."""
    grey = cv2.resize(
        cv2.cvtColor(page, cv2.COLOR_RGB2GRAY), (CELLS, CELLS), interpolation=cv2.INTER_AREA
    )
    values = grey.astype(np.float64).reshape(-1)
    y, x = np.mgrid[-1 : 1 : CELLS * 1j, -1 : 1 : CELLS * 1j].reshape(2, -1)
    slope = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    rest = values - slope @ np.linalg.lstsq(slope, values, rcond=None)[0]
    return any(
        np.subtract(*np.percentile(rest, between[::-1])) > levels
        for between, levels in UNEVEN.items()
    )
