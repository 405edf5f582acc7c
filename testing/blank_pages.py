"""Scans of pages, with the faults of real scanners, for the search for blank ones."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

Rng = np.random.Generator


def scanned(page: np.ndarray, rng: Rng, *, dust: bool = True) -> np.ndarray:
    """A page as a scanner or camera gives it: uneven light, the grain of paper, noise, dust,
    JPEG."""
    height, width = page.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = (
        rng.uniform(-10, 10) * x + rng.uniform(-10, 10) * y - rng.uniform(0, 12) * (x * x + y * y)
    )
    grain = cv2.GaussianBlur(
        rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), rng.uniform(1, 3)
    )
    grain *= rng.uniform(0, 2.5) / max(grain.std(), 1e-6)
    noise = rng.normal(0, rng.uniform(0.5, 4), (height, width))
    shown = page.astype(np.float64) + (slope + grain + noise)[..., None]
    if dust:
        for _ in range(rng.integers(0, 40)):
            centre = int(rng.integers(0, width)), int(rng.integers(0, height))
            level = float(rng.uniform(-120, 60))
            spot = np.zeros((height, width), np.uint8)
            cv2.circle(spot, centre, int(rng.integers(0, max(1, height // 900) + 1)), 1, -1)
            shown[spot > 0] += level
    file = io.BytesIO()
    Image.fromarray(np.clip(shown, 0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=int(rng.integers(50, 96))
    )
    return np.asarray(Image.open(file).convert("RGB"))


def paper(rng: Rng, colour: tuple[int, int, int]) -> np.ndarray:
    """An empty page of some size at some resolution."""
    height = int(rng.integers(800, 1800))
    return np.full((height, int(height / rng.uniform(1.2, 1.5)), 3), colour, np.uint8)


def white(rng: Rng) -> np.ndarray:
    level = int(rng.integers(235, 256))
    return scanned(paper(rng, (level, level, level)), rng)


def yellowed(rng: Rng) -> np.ndarray:
    return scanned(
        paper(
            rng,
            (int(rng.integers(215, 245)), int(rng.integers(200, 225)), int(rng.integers(150, 195))),
        ),
        rng,
    )


def black(rng: Rng) -> np.ndarray:
    level = int(rng.integers(0, 30))
    return scanned(paper(rng, (level, level, level)), rng, dust=False)


def drawn_white(rng: Rng) -> np.ndarray:
    """A page as a PDF without content is drawn."""
    return paper(rng, (255, 255, 255))


def _written(
    page: np.ndarray, rng: Rng, text: str, points: float, ink: tuple[int, int, int]
) -> np.ndarray:
    image = Image.fromarray(page)
    size = max(8, round(points / 842 * page.shape[0]))
    font = ImageFont.load_default(size)
    width = max(1, page.shape[1] - round(font.getlength(text)))
    place = int(rng.uniform(0.06, 0.94) * width * 0.9), int(rng.uniform(0.06, 0.9) * page.shape[0])
    ImageDraw.Draw(image).text(place, text, fill=ink, font=font)
    return np.asarray(image)


def one_line(rng: Rng) -> np.ndarray:
    """A page with one line of text."""
    level = int(rng.integers(225, 256))
    page = paper(rng, (level, level, int(level * rng.uniform(0.85, 1))))
    ink = tuple(int(value) for value in rng.integers(0, 90, 3))
    return scanned(
        _written(page, rng, "as was agreed on the third of May", rng.uniform(8, 14), ink), rng
    )  # type: ignore[arg-type]


def page_number(rng: Rng) -> np.ndarray:
    """A page with nothing but its number."""
    level = int(rng.integers(230, 256))
    page = paper(rng, (level, level, level))
    return scanned(
        _written(page, rng, str(rng.integers(10, 999)), rng.uniform(9, 12), (30, 30, 30)), rng
    )


def one_digit(rng: Rng) -> np.ndarray:
    """A page with nothing but a one-digit number."""
    level = int(rng.integers(230, 256))
    page = paper(rng, (level, level, level))
    return scanned(
        _written(page, rng, str(rng.integers(1, 10)), rng.uniform(9, 12), (40, 40, 40)), rng
    )


def pencil(rng: Rng) -> np.ndarray:
    """A page with a few faint words in pencil."""
    level = int(rng.integers(235, 256))
    page = paper(rng, (level, level, level))
    ink = level - int(rng.integers(55, 100))
    return scanned(
        _written(page, rng, "see the other file", rng.uniform(14, 22), (ink, ink, ink)), rng
    )


def pale_on_dark(rng: Rng) -> np.ndarray:
    """A slide with one pale line on a dark ground."""
    page = paper(rng, tuple(int(value) for value in rng.integers(0, 50, 3)))  # type: ignore[arg-type]
    return _written(page, rng, "Thank you", rng.uniform(16, 30), (200, 205, 210))


def dark_photograph(rng: Rng) -> np.ndarray:
    """A photograph at night: a few levels of grey, soft shapes, noise."""
    return _photograph(rng, low=0, span=float(rng.uniform(18, 50)), noise=float(rng.uniform(1, 3)))


def pale_photograph(rng: Rng) -> np.ndarray:
    """A photograph in fog or snow."""
    return _photograph(
        rng, low=float(rng.uniform(180, 205)), span=float(rng.uniform(20, 50)), noise=1.0
    )


def _photograph(rng: Rng, low: float, span: float, noise: float) -> np.ndarray:
    height, width = int(rng.integers(500, 1400)), int(rng.integers(500, 1400))
    shapes = np.zeros((height, width), np.float32)
    for _ in range(rng.integers(6, 25)):
        centre = int(rng.integers(0, width)), int(rng.integers(0, height))
        axes = int(rng.integers(20, width // 3)), int(rng.integers(20, height // 3))
        cv2.ellipse(
            shapes, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0, 1)), -1
        )
    shapes = cv2.GaussianBlur(shapes, (0, 0), float(rng.uniform(2, 15)))
    values = (
        low
        + span * shapes[..., None] * rng.uniform(0.7, 1, 3)
        + rng.normal(0, noise, (height, width, 1))
    )
    return np.clip(values, 0, 255).astype(np.uint8)


BLANK: dict[str, Callable[[Rng], np.ndarray]] = {
    one.__name__: one for one in (white, yellowed, black, drawn_white)
}
SHOWS_SOMETHING: dict[str, Callable[[Rng], np.ndarray]] = {
    one.__name__: one
    for one in (
        one_line,
        page_number,
        one_digit,
        pencil,
        pale_on_dark,
        dark_photograph,
        pale_photograph,
    )
}
