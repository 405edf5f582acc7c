"""Finds pages without anything on them: white, yellowed, grey or black scans, with noise, shadows
and dust.

A page is blank if no speck of ink on it is as large as a letter, but for the faults of scanners and
of paper (`paper_faults`), and if its light does not change as in a photograph. Each limit is chosen
so that a page with one line, one page number or a faint pencil mark is never blank, at the price of
calling some blank pages written: an empty answer that is wrong is lost, one question more costs a
second.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from internvl_ops.media.paper_faults import HEM_RAGS, filled, folds, hems, holes, spread
from internvl_ops.media.picture_stats import ink_mask, median_level, paper, reduced

GLANCE = 512  # pixels on the long side for a first look, which most written pages end
LOOK = 1280  # pixels on the long side: a letter of 8 points on A4 is then 9 pixels high
WRITTEN = 0.02  # share of ink that needs no closer look
# The first glance asks for this share of ink that differs by so many grey levels, and by so many
# times the difference of neighbours: five times what dust makes on the dirtiest blank page.
CERTAIN, STRONG, NOISES = 0.0015, 40, 24
SAMPLE = 448  # pixels on the long side of that glance, up to twice as many of small pictures
_LEAST = 16  # pixels of a side below which nothing is certain
_TO_GREY = {3: cv2.COLOR_RGB2GRAY, 4: cv2.COLOR_RGBA2GRAY}
BEYOND_HEMS = 0.09  # of the long side: no hem reaches so far
# Contrast in grey levels -> what is longer than this share of the long side is writing. At a faint
# contrast the grain of paper and JPEG blocks make clusters; at a strong one only dust is left,
# which is smaller than a letter.
WRITING = {10: 0.018, 25: 0.0075, 40: 0.006}
BLOCKS = 17  # pixels: what is faint and not longer may be two blocks of JPEG beside a grain of dust
MARGIN = 0.02  # of each side: the edges of a scan show the scanner
LIT = 0.06  # of each side, beyond the margin: a page gets darker towards the spine of a book
MANY = 150  # pieces as large as letters that are no holes and pieces of folds
CELLS, _FINE = 24, 12  # side of the grid on which light is compared
# Percentiles of that grid, once its smooth slope is out -> levels between them that a lit page does
# not reach.
UNEVEN = {(25, 75): 2.5, (2, 98): 5.5}


def is_blank(pixels: np.ndarray) -> bool:
    """Whether a page or picture shows nothing.

    Args:
        pixels: uint8 of shape (height, width, 3), RGB.
    """
    return not is_written(sampled(pixels)) and is_blank_at_length(pixels)


def sampled(pixels: np.ndarray) -> np.ndarray:
    """Some pixels of a page, for `is_written`: every so many in each row and column.

    Args:
        pixels: uint8 of shape (height, width, channels).
    """
    step = max(1, max(pixels.shape[:2]) // SAMPLE)
    return np.ascontiguousarray(pixels[::step, ::step])


def is_written(sample: np.ndarray) -> bool:
    """Whether a page is beyond doubt not blank, by a glance of less than 1 ms on one core.

    It counts strong ink alone, and none where the dark of a scanner may be, so that what it calls
    written `is_blank_at_length` never calls blank. Few written pages need a longer look.

    Args:
        sample: What `sampled` returns, with three channels, or with four of which the last is
            spare; in any order.
    """
    grey = cv2.cvtColor(sample, _TO_GREY[sample.shape[2]])
    edge = math.ceil(BEYOND_HEMS * max(grey.shape))
    inside = np.ascontiguousarray(grey[edge:-edge, edge:-edge])
    if min(inside.shape) < _LEAST:
        return False
    # Not against the paper, as most of a dense page differs from what is taken for its paper.
    noise = median_level(cv2.absdiff(inside[:, 1:], inside[:, :-1]))
    ink = cv2.absdiff(inside, paper(inside)) > max(STRONG, NOISES * noise)
    return bool(np.count_nonzero(ink) > CERTAIN * grey.size)


def is_blank_at_length(pixels: np.ndarray) -> bool:
    """As `is_blank`, by all of its rules: 15 to 100 ms on one core.

    Args:
        pixels: As for `is_blank`.
    """
    small = reduced(pixels, GLANCE)
    hem = hems(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))
    small = _inner(small)
    if (ink_mask(small) & ~_inner(hem)).mean() > WRITTEN or _changes_in_light(small):
        return False
    # Grey alone: JPEG smears the colour of a grain of dust over 16 pixels.
    page = cv2.cvtColor(reduced(pixels, LOOK), cv2.COLOR_RGB2GRAY)
    hem = cv2.resize(hem.astype(np.uint8), page.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    return not _has_writing(_inner(page), _inner(hem))


def _inner(pixels: np.ndarray, margin: float = MARGIN) -> np.ndarray:
    height, width = pixels.shape[:2]
    rows, columns = int(height * margin), int(width * margin)
    return pixels[rows : height - rows, columns : width - columns]


def _has_writing(page: np.ndarray, hem: np.ndarray) -> bool:
    """Whether anything on the grey page is as large as a letter, and neither hem nor hole nor
    fold."""
    longest = {contrast: share * max(page.shape) for contrast, share in WRITING.items()}
    longest[min(WRITING)] = max(longest[min(WRITING)], BLOCKS)
    page = filled(page, hem)
    darker = paper(page).astype(np.float32) - page
    darker[hem] = 0
    differs = np.abs(darker)
    floor = 8 * float(np.median(differs))
    masks = {contrast: _joined(differs > max(contrast, floor)) for contrast in WRITING}
    pieces = {contrast: _pieces(mask, longest[contrast]) for contrast, mask in masks.items()}
    if not any(pieces.values()):
        return False
    if pieces[max(WRITING)] > MANY:
        return True
    fold = folds(darker)
    elsewhere = ~spread(hem, HEM_RAGS)
    return any(
        _pieces(mask & ~(fold | holes(mask)), longest[contrast], elsewhere)
        for contrast, mask in masks.items()
    )


def _joined(ink: np.ndarray) -> np.ndarray:
    """The parts of a thin or broken letter are one."""
    closed = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return np.asarray(closed > 0)


def _pieces(ink: np.ndarray, longest: float, reaching: np.ndarray | None = None) -> int:
    """Number of connected pieces of ink that are longer than so many pixels, and reach a place that
    counts."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    sides = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    long_ones = np.flatnonzero(sides.max(axis=1, initial=0) > longest) + 1
    if reaching is not None and len(long_ones):
        long_ones = np.intersect1d(long_ones, labels[reaching])
    return len(long_ones)


def _changes_in_light(page: np.ndarray) -> bool:
    """Whether the light changes beyond a smooth slope, as in photographs, however dark or pale."""
    page = _inner(page, LIT)
    fine = cv2.resize(
        cv2.cvtColor(page, cv2.COLOR_RGB2GRAY),
        (CELLS * _FINE, CELLS * _FINE),
        interpolation=cv2.INTER_AREA,
    )
    # The median of a cell does not know of a fold that crosses it.
    cells = fine.reshape(CELLS, _FINE, CELLS, _FINE).swapaxes(1, 2).reshape(CELLS * CELLS, -1)
    rest = _without_slope(np.median(cells, axis=1).astype(np.float64))
    return any(
        np.subtract(*np.percentile(rest, between[::-1])) > levels
        for between, levels in UNEVEN.items()
    )


def _without_slope(cells: np.ndarray) -> np.ndarray:
    """What is left of the light without its slope, which ends at black and at white."""
    y, x = np.mgrid[-1 : 1 : CELLS * 1j, -1 : 1 : CELLS * 1j].reshape(2, -1)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    inside = (cells > 1) & (cells < 254)
    if inside.sum() < 8 * terms.shape[1]:
        inside[:] = True
    fit = np.linalg.lstsq(terms[inside], cells[inside], rcond=None)[0]
    return np.asarray(cells - np.clip(terms @ fit, 0, 255))
