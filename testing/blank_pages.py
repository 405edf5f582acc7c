"""Scans of pages, blank and with little on them, for the search for blank ones.

Each function draws one page of its kind from a generator of random numbers; `scanned`
([scanner.py](scanner.py)) gives it the faults of real scanners and cameras.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from testing.scanner import (
    Rng,
    creased,
    dusty,
    gutter,
    hemmed,
    paper,
    punched,
    scanned,
    show_through,
)

Colour = tuple[int, int, int]
COLOURS: tuple[Colour, ...] = (
    (250, 190, 200),
    (170, 205, 240),
    (175, 225, 180),
    (250, 215, 150),
    (240, 230, 120),
    (215, 195, 235),
    (190, 165, 130),
)


def _whitish(rng: Rng) -> np.ndarray:
    level = int(rng.integers(230, 256))
    return paper(rng, (level, level, int(level * rng.uniform(0.92, 1))))


def _coloured(rng: Rng) -> np.ndarray:
    red, green, blue = COLOURS[int(rng.integers(len(COLOURS)))]
    share = rng.uniform(0.8, 1)
    return paper(rng, (int(red * share), int(green * share), int(blue * share)))


# Blank pages.


def white(rng: Rng) -> np.ndarray:
    level = int(rng.integers(235, 256))
    return scanned(paper(rng, (level, level, level)), rng)


def yellowed(rng: Rng) -> np.ndarray:
    red, green = int(rng.integers(215, 245)), int(rng.integers(200, 225))
    return scanned(paper(rng, (red, green, int(rng.integers(150, 195)))), rng)


def coloured(rng: Rng) -> np.ndarray:
    return scanned(_coloured(rng), rng)


def black(rng: Rng) -> np.ndarray:
    level = int(rng.integers(0, 30))
    return scanned(paper(rng, (level, level, level)), rng, dust=False)


def inverted(rng: Rng) -> np.ndarray:
    """The negative of a blank scan, as of microfilm."""
    return 255 - scanned(_whitish(rng), rng)


def drawn_white(rng: Rng) -> np.ndarray:
    """A page as a PDF without content is drawn."""
    return paper(rng, (255, 255, 255))


def folded(rng: Rng) -> np.ndarray:
    """A blank letter that was folded."""
    return scanned(creased(_whitish(rng), rng), rng)


def back_side(rng: Rng) -> np.ndarray:
    """A blank page through which the print on its other side shows."""
    return scanned(show_through(_whitish(rng), rng), rng)


def from_a_binder(rng: Rng) -> np.ndarray:
    """A blank page with holes."""
    return scanned(punched(_whitish(rng), rng), rng)


def badly_placed(rng: Rng) -> np.ndarray:
    """A blank page beside which the dark of the scanner shows."""
    return scanned(hemmed(_whitish(rng), rng), rng)


def out_of_a_book(rng: Rng) -> np.ndarray:
    """A blank page that gets darker where the book is bound."""
    return scanned(gutter(_whitish(rng), rng), rng)


def dirty(rng: Rng) -> np.ndarray:
    """A blank page from a scanner that nobody cleans."""
    return scanned(dusty(_whitish(rng), rng), rng)


# Pages and pictures that show something.


def _written(
    page: np.ndarray, rng: Rng, text: str, points: float, ink: Colour, *, lowest: float = 0.9
) -> np.ndarray:
    image = Image.fromarray(page)
    size = max(8, round(points / 842 * page.shape[0]))
    font = ImageFont.load_default(size)
    width = max(1, page.shape[1] - round(font.getlength(text)))
    place = (
        int(rng.uniform(0.06, 0.94) * width * 0.9),
        int(rng.uniform(0.06, lowest) * page.shape[0]),
    )
    ImageDraw.Draw(image).text(place, text, fill=ink, font=font)
    return np.asarray(image)


def _dark_ink(rng: Rng) -> Colour:
    red, green, blue = (int(value) for value in rng.integers(0, 90, 3))
    return red, green, blue


LINE = "as was agreed on the third of May"


def one_line(rng: Rng) -> np.ndarray:
    """A page with one line of text."""
    page = _written(_whitish(rng), rng, LINE, rng.uniform(8, 14), _dark_ink(rng))
    return scanned(page, rng)


def one_line_on_coloured_paper(rng: Rng) -> np.ndarray:
    page = _written(_coloured(rng), rng, LINE, rng.uniform(8, 14), _dark_ink(rng))
    return scanned(page, rng)


def one_line_inverted(rng: Rng) -> np.ndarray:
    """The negative of a page with one line."""
    page = _written(_whitish(rng), rng, LINE, rng.uniform(8, 14), _dark_ink(rng))
    return 255 - scanned(page, rng)


def one_line_on_bad_paper(rng: Rng) -> np.ndarray:
    """One line on a page with holes and a crease, with print shining through and a dark hem."""
    page = show_through(_whitish(rng), rng)
    page = _written(page, rng, LINE, rng.uniform(8, 14), _dark_ink(rng))
    return scanned(hemmed(punched(creased(page, rng), rng), rng), rng)


def page_number(rng: Rng) -> np.ndarray:
    """A page with nothing but its number."""
    text = str(rng.integers(10, 999))
    return scanned(_written(_whitish(rng), rng, text, rng.uniform(9, 12), (30, 30, 30)), rng)


def one_digit(rng: Rng) -> np.ndarray:
    """A page with nothing but a one-digit number."""
    text = str(rng.integers(1, 10))
    return scanned(_written(_whitish(rng), rng, text, rng.uniform(8, 12), (40, 40, 40)), rng)


def page_number_in_the_margin(rng: Rng) -> np.ndarray:
    """A number close to the edge, on a page with holes and a dark hem."""
    page = _whitish(rng)
    height, width = page.shape[:2]
    image, size = Image.fromarray(page), max(8, round(rng.uniform(9, 12) / 842 * height))
    left = rng.choice([rng.uniform(0.1, 0.14), rng.uniform(0.84, 0.88)]) * width
    top = rng.choice([rng.uniform(0.06, 0.08), rng.uniform(0.9, 0.92)]) * height
    ImageDraw.Draw(image).text(
        (left, top),
        str(rng.integers(10, 999)),
        fill=(30, 30, 30),
        font=ImageFont.load_default(size),
    )
    page = punched(np.asarray(image), rng)
    return scanned(hemmed(page, rng) if rng.random() < 0.5 else page, rng)


def pencil(rng: Rng) -> np.ndarray:
    """A page with a few words in pencil."""
    page = _whitish(rng)
    ink = int(page[0, 0, 0]) - int(rng.integers(55, 100))
    text = "see the other file"
    return scanned(_written(page, rng, text, rng.uniform(14, 22), (ink, ink, ink)), rng)


def faint_pencil(rng: Rng) -> np.ndarray:
    """A page with one faint line in pencil."""
    page = _whitish(rng)
    ink = int(page[0, 0, 0]) - int(rng.integers(28, 55))
    text = "see the other file"
    return scanned(_written(page, rng, text, rng.uniform(14, 22), (ink, ink, ink)), rng)


def signature(rng: Rng) -> np.ndarray:
    """A page with one thin curved stroke of a pen."""
    page = _whitish(rng)
    height, width = page.shape[:2]
    along = np.linspace(0, 1, 60)
    x = width * (rng.uniform(0.1, 0.6) + 0.25 * along)
    y = height * (rng.uniform(0.15, 0.85) + 0.015 * np.cumsum(rng.normal(0, 0.4, 60)))
    stroke = np.stack([x, y], axis=1).round().astype(np.int32)
    page = page.copy()
    cv2.polylines(page, [stroke], False, _dark_ink(rng), max(1, height // 900), cv2.LINE_AA)
    return scanned(page, rng)


def few_words_inverted(rng: Rng) -> np.ndarray:
    """A slide with one pale line on a dark ground, scanned from a print."""
    red, green, blue = (int(value) for value in rng.integers(0, 50, 3))
    page = paper(rng, (red, green, blue))
    page = _written(page, rng, "Thank you", rng.uniform(16, 30), (200, 205, 210))
    return scanned(page, rng)


def pale_on_dark(rng: Rng) -> np.ndarray:
    """A slide with one pale line on a dark ground."""
    red, green, blue = (int(value) for value in rng.integers(0, 50, 3))
    page = paper(rng, (red, green, blue))
    return _written(page, rng, "Thank you", rng.uniform(16, 30), (200, 205, 210))


def dark_photograph(rng: Rng) -> np.ndarray:
    """A photograph at night: a few levels of grey, soft shapes, noise."""
    return _photograph(rng, low=0, span=float(rng.uniform(18, 50)), noise=float(rng.uniform(1, 3)))


def night_with_lamps(rng: Rng) -> np.ndarray:
    """A black picture with a few small lights and their glow."""
    page = paper(rng, (2, 2, 4)).astype(np.float32)
    height, width = page.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for _ in range(rng.integers(2, 9)):
        across, down = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        size = float(rng.uniform(0.004, 0.02)) * height
        glow = np.exp(-((x - across) ** 2 + (y - down) ** 2) / (2 * size * size))
        page += glow[..., None] * rng.uniform(60, 250) * np.float32([1, 0.9, 0.7])
    page += rng.normal(0, rng.uniform(0.5, 3), (height, width, 1)).astype(np.float32)
    return np.clip(page, 0, 255).astype(np.uint8)


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
    one.__name__: one
    for one in (
        white,
        yellowed,
        coloured,
        black,
        inverted,
        drawn_white,
        folded,
        back_side,
        from_a_binder,
        badly_placed,
        out_of_a_book,
        dirty,
    )
}
SHOWS_SOMETHING: dict[str, Callable[[Rng], np.ndarray]] = {
    one.__name__: one
    for one in (
        one_line,
        one_line_on_coloured_paper,
        one_line_inverted,
        one_line_on_bad_paper,
        page_number,
        one_digit,
        page_number_in_the_margin,
        pencil,
        faint_pencil,
        signature,
        few_words_inverted,
        pale_on_dark,
        dark_photograph,
        night_with_lamps,
        pale_photograph,
    )
}
