"""What is dark on the scan of a page and yet is no writing: the hem of the scanner, holes, folds.

Lengths are shares of the page's long side, so that they hold for every resolution; on A4, 0.01 is
3 mm.
"""

from __future__ import annotations

import cv2
import numpy as np

HEM_CONTRAST = 60  # grey levels by which the scanner's dark differs from the page
HEM_DEPTH = 0.08  # a hem is no deeper: what goes further in is on the page
HEM_SHARE = 0.2  # of a side along which a hem lies at least
HEM_SOFT = 8  # grey levels: where more is lost beside it, it is the shade of a page that bends
HEM_STRAIGHT = 0.08  # of a side, to either hand, over which the depth of a hem is compared
HEM_SPREAD = 0.003  # beside a hem, its blurred edge counts with it
HEM_RAGS = 0.003  # what lies wholly so close to that is a ragged end of the hem
HOLES = (0.012, 0.03)  # sizes of a punched hole
HOLE_MARGIN = 0.075  # the middle of a hole is no further from an edge
HOLE_FILL = (0.68, 0.9)  # of its bounding box; of a disc, pi / 4
HOLE_SPREAD = 0.004
_SOLID = 0.008  # what is thinner, a stroke, is no part of a hole
STRIPS = 24  # a fold is followed through so many strips of the page
FOLD_TILT = 0.02  # rise of a fold over the whole page, of its long side
FOLD_CONTRAST = 2.5  # mean grey levels of a fold in a strip
FOLD_SHARE = 0.8  # of the strips in which it is seen
FOLD_SPREAD = 0.0025
FOLD_BESIDE = 0.004  # so far from a fold, less of it is seen: it is thinner than a letter is high
MOST_FOLDS = 3  # dark ones, and as many pale ones, in each direction


def hems(page: np.ndarray) -> np.ndarray:
    """Where the scanner shows along an edge: what differs much from the page, begins at the edge
    and ends soon."""
    height, width = page.shape
    deepest = round(HEM_DEPTH * max(height, width))
    smooth = cv2.medianBlur(page, 3)
    level = int(np.median(smooth))
    dark = np.abs(smooth.astype(np.int16) - level) > HEM_CONTRAST
    found = np.zeros(page.shape, bool)
    for turn in range(4):  # the top edge of the turned page
        seen, marked = np.rot90(dark, turn), np.rot90(found, turn)  # views
        depth = np.where(seen.all(axis=0), len(seen), seen.argmin(axis=0))
        is_hem = (depth > 0) & (depth <= deepest)
        if is_hem.mean() >= HEM_SHARE and _ends_sharply(np.rot90(smooth, turn), depth, is_hem):
            # In a corner where two hems meet, each ends nowhere: it goes on as beside the corner.
            places = np.arange(len(depth))
            in_corner = ~is_hem & (np.minimum(places, places[::-1]) <= deepest)
            depth[in_corner] = np.interp(places, places[is_hem], depth[is_hem])[in_corner]
            # The edge of a page is straight: what juts out of the hem is a mark that touches it.
            window = 2 * round(HEM_STRAIGHT * len(depth)) + 1
            around = np.pad(depth, window // 2, mode="edge")
            usual = np.median(np.lib.stride_tricks.sliding_window_view(around, window), axis=1)
            depth = np.minimum(depth, usual + 1)
            marked |= (np.arange(len(seen))[:, None] < depth) & seen & (is_hem | in_corner)
    return spread(found, HEM_SPREAD)


def _ends_sharply(page: np.ndarray, depth: np.ndarray, is_hem: np.ndarray) -> bool:
    """Whether the page has its own light right beside a hem, unlike beside the spine of a book."""
    off = (HEM_SPREAD + HEM_RAGS) * max(page.shape)
    columns = np.flatnonzero(is_hem)
    beside, further = (
        page[np.minimum(depth[columns] + round(times * off), len(page) - 1), columns].astype(int)
        for times in (1.3, 3.5)
    )
    return bool(abs(np.median(beside - further)) <= HEM_SOFT)


def filled(page: np.ndarray, hem: np.ndarray) -> np.ndarray:
    """The page with the light of the paper nearby in the place of its hems.

    Args:
        page: uint8 of shape (height, width).
        hem: bool of the same shape.
    """
    if not hem.any():
        return page
    coarse = page.shape[1] // 8 + 1, page.shape[0] // 8 + 1
    is_page = cv2.resize((~hem).astype(np.float32), coarse, interpolation=cv2.INTER_AREA)
    shown = np.where(hem, np.float32(0), page.astype(np.float32))
    light = cv2.resize(shown, coarse, interpolation=cv2.INTER_AREA)
    window = 2 * round(HEM_DEPTH * max(coarse)) + 1
    near = cv2.blur(light, (window, window)) / np.maximum(cv2.blur(is_page, (window, window)), 1e-3)
    near = cv2.resize(near, page.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(hem, near.clip(0, 255), page).astype(np.uint8)


def holes(ink: np.ndarray) -> np.ndarray:
    """Where solid discs of the size of punched holes lie near an edge."""
    height, width = ink.shape
    long_side = max(height, width)
    solid = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_OPEN, _disc(_SOLID * long_side))
    count, labels, stats, centres = cv2.connectedComponentsWithStats(solid, connectivity=8)
    found = []
    for number in range(1, count):
        _, _, wide, high, area = stats[number]
        across, down = centres[number]
        from_edge = min(across, down, width - across, height - down)
        if (
            HOLES[0] * long_side <= min(wide, high)
            and max(wide, high) <= min(HOLES[1] * long_side, 1.3 * min(wide, high))
            and HOLE_FILL[0] <= area / (wide * high) <= HOLE_FILL[1]
            and from_edge <= HOLE_MARGIN * long_side
        ):
            found.append(number)
    return spread(np.isin(labels, found), HOLE_SPREAD) if found else np.zeros(ink.shape, bool)


def folds(differs: np.ndarray) -> np.ndarray:
    """Where a thin line runs from edge to edge, as no line of text does.

    Args:
        differs: float32 of shape (height, width): grey levels by which a page is darker than the
            paper nearby; negative where it is paler.
    """
    return _level_folds(differs) | _level_folds(differs.T).T


def _level_folds(differs: np.ndarray) -> np.ndarray:
    height, width = differs.shape
    found = np.zeros(differs.shape, bool)
    if width < 8 * STRIPS or height < 8 * STRIPS:
        return found
    edges = np.linspace(0, width, STRIPS + 1).astype(int)
    # The mean over a strip has little noise: a fold shows there that is broken up in the picture.
    profile = np.add.reduceat(differs, edges[:-1], axis=1) / np.diff(edges)
    long_side = max(height, width)
    reach = max(1, round(FOLD_SPREAD * long_side))
    rise = round(FOLD_TILT * long_side)
    for signed in (profile, -profile):
        seen = _thin(signed, long_side)
        for _ in range(MOST_FOLDS):
            share, row, tilt = max(_along(seen, tilt) for tilt in range(-rise, rise + 1, 2))
            if share < FOLD_SHARE:
                break
            middle = row + tilt * np.linspace(-0.5, 0.5, STRIPS)
            line = np.interp(
                np.arange(width), (edges[:-1] + edges[1:]) / 2, _followed(signed, middle, reach)
            )
            for off in range(-reach, reach + 1):
                rows = np.rint(line + off).astype(int)
                found[np.clip(rows, 0, height - 1), np.arange(width)] = True
            seen[max(0, row - 2 * rise) : row + 2 * rise + 1] = False
    return found


def _along(seen: np.ndarray, tilt: int) -> tuple[float, int, int]:
    """The row from which most strips show a fold, if it rises by `tilt` over the page: the share of
    the strips, the row in the middle of the page, and the tilt."""
    off = np.rint(tilt * np.linspace(-0.5, 0.5, STRIPS)).astype(int)

    def hit(rows: np.ndarray, strips: np.ndarray) -> np.ndarray:
        return np.asarray(seen[np.clip(rows[:, None] + off[strips], 0, len(seen) - 1), strips])

    strips, rows = np.arange(STRIPS), np.arange(len(seen))
    for end in (strips[:2], strips[-2:]):  # from edge to edge
        rows = rows[hit(rows, end).any(axis=1)]
    if not len(rows):
        return 0.0, 0, tilt
    shares = hit(rows, strips).mean(axis=1)
    return float(shares.max()), int(rows[shares.argmax()]), tilt


def _followed(profile: np.ndarray, middle: np.ndarray, reach: int) -> np.ndarray:
    """The straight line near `middle`, a row for each strip, on which the profile is darkest."""
    near = np.rint(middle).astype(int) + np.arange(-reach, reach + 1)[:, None]
    dark = profile[np.clip(near, 0, len(profile) - 1), np.arange(STRIPS)].clip(min=0) ** 2
    weight = dark.sum(axis=0) + 1e-6
    rows = (dark * near).sum(axis=0) / weight
    fit = np.polynomial.Polynomial.fit(np.arange(STRIPS), rows, 1, w=np.sqrt(weight))
    return np.asarray(fit(np.arange(STRIPS)))


def _thin(profile: np.ndarray, long_side: int) -> np.ndarray:
    """Where each strip has a thin dark line, within a pixel: on one side of it hardly anything is
    left of it, and on the other not all, as beside the shade of a fold. Beside the feet of letters
    are the letters."""
    beside = max(2, round(FOLD_BESIDE * long_side))
    above, below = np.roll(profile, beside, axis=0), np.roll(profile, -beside, axis=0)
    thin = (
        (profile > FOLD_CONTRAST)
        & (np.minimum(above, below) < 0.35 * profile)
        & (np.maximum(above, below) < 0.7 * profile)
    )
    return cv2.dilate(thin.astype(np.uint8), np.ones((3, 1), np.uint8)) > 0


def spread(found: np.ndarray, share: float) -> np.ndarray:
    """What was found, and what lies beside it, up to a share of the long side."""
    size = 2 * round(share * max(found.shape)) + 1
    return cv2.dilate(found.astype(np.uint8), np.ones((size, size), np.uint8)) > 0


def _disc(size: float) -> np.ndarray:
    side = max(3, round(size) | 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
