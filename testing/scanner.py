"""What scanners, cameras and the life of a paper do to a page."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Rng = np.random.Generator


def paper(rng: Rng, colour: tuple[int, int, int]) -> np.ndarray:
    """An empty page of some size at some resolution."""
    height = int(rng.integers(800, 1800))
    return np.full((height, int(height / rng.uniform(1.2, 1.5)), 3), colour, np.uint8)


def scanned(page: np.ndarray, rng: Rng, *, dust: bool = True) -> np.ndarray:
    """A page as a scanner or camera gives it: uneven light, the grain of paper, noise, dust,
    JPEG."""
    height, width = page.shape[:2]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    light = (
        rng.uniform(-10, 10) * x + rng.uniform(-10, 10) * y - rng.uniform(0, 12) * (x * x + y * y)
    )
    grain = cv2.GaussianBlur(_noise(rng, height, width), (0, 0), rng.uniform(1, 3))
    light += grain * (rng.uniform(0, 2.5) / max(float(grain.std()), 1e-6))
    light += _noise(rng, height, width) * rng.uniform(0.5, 4)
    shown = page.astype(np.float32) + light[..., None].astype(np.float32)
    if dust:
        _add_dust(shown, rng, int(rng.integers(0, 40)))
    file = io.BytesIO()
    Image.fromarray(np.clip(shown, 0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=int(rng.integers(50, 96))
    )
    return np.asarray(Image.open(file).convert("RGB"))


def _noise(rng: Rng, height: int, width: int) -> np.ndarray:
    return rng.standard_normal((height, width), dtype=np.float32)


def _add_dust(shown: np.ndarray, rng: Rng, grains: int) -> None:
    height, width = shown.shape[:2]
    for _ in range(grains):
        across, down = int(rng.integers(0, width)), int(rng.integers(0, height))
        level = float(rng.uniform(-120, 60))
        side = int(rng.integers(1, max(1, round(0.0017 * height)) + 1))  # to 0.5 mm on A4
        near = shown[down : down + side, across : across + side]
        near += level


def dusty(page: np.ndarray, rng: Rng) -> np.ndarray:
    """Some hundred grains of dust, up to half a millimetre."""
    shown = page.astype(np.float32)
    _add_dust(shown, rng, int(rng.integers(80, 300)))
    return np.clip(shown, 0, 255).astype(np.uint8)


def creased(page: np.ndarray, rng: Rng) -> np.ndarray:
    """One or two folds from edge to edge: a thin line, and a soft shade beside it."""
    height, width = page.shape[:2]
    shown = page.astype(np.float32)
    across = bool(rng.random() < 0.7)
    for place in ([0.5], [1 / 3, 2 / 3])[int(rng.integers(2))]:
        y, x = np.mgrid[:height, :width].astype(np.float32)
        along, off, side = (x / width, y, height) if across else (y / height, x, width)
        tilt = rng.uniform(-0.01, 0.01)
        distance = off - side * (place + rng.uniform(-0.02, 0.02) + tilt * (along - 0.5))
        thin = max(0.6, 0.0006 * height * float(rng.uniform(0.7, 1.6)))
        line = np.exp(-((distance / thin) ** 2) / 2) * rng.uniform(10, 45)
        shade = np.exp(-np.abs(distance) / (0.012 * height)) * (distance > 0) * rng.uniform(0, 10)
        # A fold is not equally sharp everywhere.
        waves = 0.75 + 0.25 * np.sin(along * rng.uniform(5, 25) + rng.uniform(0, 6))
        shown += ((-line * float(rng.choice([1, 1, -0.4])) - shade) * waves)[..., None]
    return np.clip(shown, 0, 255).astype(np.uint8)


def show_through(page: np.ndarray, rng: Rng) -> np.ndarray:
    """The print of the other side: mirrored, blurred by the paper, a few levels darker."""
    height, width = page.shape[:2]
    ink = Image.new("L", (width, height))
    font = ImageFont.load_default(max(8, round(rng.uniform(9, 12) / 842 * height)))
    draw = ImageDraw.Draw(ink)
    for line in range(int(rng.integers(8, 45))):
        text = "the accounts of the society for the year that has ended in March and are closed"
        draw.text(
            (0.12 * width, (0.1 + 0.018 * line) * height), text[line % 20 :], fill=255, font=font
        )
    mirrored = np.asarray(ink)[:, ::-1].astype(np.float32) / 255
    # Paper of 80 g spreads light over about half a millimetre.
    soft = cv2.GaussianBlur(mirrored, (0, 0), float(rng.uniform(0.0012, 0.0022)) * height)
    soft *= rng.uniform(3, 9) / max(float(soft.max()), 1e-6)
    return np.clip(page.astype(np.float32) - soft[..., None], 0, 255).astype(np.uint8)


def punched(page: np.ndarray, rng: Rng) -> np.ndarray:
    """Two, three or four holes along an edge, with what lies behind the page."""
    height = page.shape[0]
    hole = float(rng.uniform(0.0085, 0.0118)) * height  # radius: 5 to 7 mm across on A4
    places = (
        [0.365, 0.635],
        [0.14, 0.5, 0.86],
        [0.096, 0.365, 0.635, 0.904],
    )[int(rng.integers(3))]
    shown = page.copy()
    left = float(rng.uniform(0.032, 0.045)) * height
    if rng.random() < 0.2:
        left = page.shape[1] - left
    behind = int(rng.choice([int(rng.integers(0, 60)), int(rng.integers(100, 190))]))
    for place in places:
        centre = round(left + rng.normal(0, 0.001) * height), round(place * height)
        cv2.circle(shown, centre, round(hole), (behind, behind, behind), -1, cv2.LINE_AA)
    return shown


def hemmed(page: np.ndarray, rng: Rng) -> np.ndarray:
    """The dark of an open scanner along one or two edges of a page that lies a little askew."""
    height, width = page.shape[:2]
    shown = page.copy()
    level = int(rng.integers(0, 90))
    for edge in rng.choice(4, int(rng.integers(1, 3)), replace=False):
        first, second = rng.uniform(0, 0.055, 2)
        corners = {
            0: [(0, 0), (width, 0), (width, first * height), (0, second * height)],
            1: [(0, 0), (0, height), (first * width, height), (second * width, 0)],
            2: [
                (0, height),
                (width, height),
                (width, height * (1 - first)),
                (0, height * (1 - second)),
            ],
            3: [
                (width, 0),
                (width, height),
                (width * (1 - first), height),
                (width * (1 - second), 0),
            ],
        }[int(edge)]
        cv2.fillPoly(shown, [np.array(corners).round().astype(np.int32)], (level, level, level))
    blur = float(rng.uniform(0.3, 2))
    return cv2.GaussianBlur(shown, (0, 0), blur)


def gutter(page: np.ndarray, rng: Rng) -> np.ndarray:
    """A page that bends into the spine of a book on one side, and is darker there."""
    width = page.shape[1]
    from_spine = np.arange(width, dtype=np.float32) / width
    if rng.random() < 0.5:
        from_spine = from_spine[::-1]
    shade = np.exp(-from_spine / rng.uniform(0.008, 0.022)) * rng.uniform(40, 150)
    return np.clip(page.astype(np.float32) - shade[None, :, None], 0, 255).astype(np.uint8)
