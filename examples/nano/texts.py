"""Lines of text. Fonts are Pillow's own (Aileron, CC0) and, where the system has them, the DejaVu
family (free licence); none is part of this repository."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from examples.nano.sample_types import LETTERS, OCR, Glyph, Picture, Sample, sample_of
from examples.nano.scenes import background_colour

FONTS = (None, "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")
UNIT = 112  # the tile size for which sizes are chosen

_COMMON = (
    "a the and for with from this that open closed shop street house garden river bridge market"
    " train station platform ticket price total sum paid invoice number date time room floor door"
    " exit entry left right north south east west coffee tea milk bread sugar water apple lemon"
    " orange green blue white black light dark small large long short morning evening monday friday"
    " sunday may june july march april summer winter north book page letter word line paper note"
    " list name city road park museum school library office hotel bank post phone call mail today"
    " tomorrow week month year hour minute first second third last next new old good fast slow"
    " quiet please keep off stop go walk wait push pull turn back box key map sign menu lunch"
    " dinner soup salad fish rice bean cake fruit juice quartz jazz fox lazy dog quick brown jump"
    " over wizard vex zoo maze box kiwi queen quilt yellow happy"
)
WORDS = _COMMON.split()


@lru_cache(maxsize=512)
def font_of(name: str | None, size: int) -> ImageFont.FreeTypeFont:
    if name is not None:
        try:
            return ImageFont.truetype(name, size)
        except OSError:  # not on this system
            pass
    return ImageFont.load_default(size)  # type: ignore[return-value]


@lru_cache(maxsize=100_000)
def width_of(name: str | None, size: int, letter: str) -> float:
    return font_of(name, size).getlength(letter)


def word_of(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(WORDS)
    if kind < 0.75:  # something that no list of words helps to read
        return "".join(
            rng.choice("bcdfghjklmnpqrstvwxyz" if at % 2 else "aeiou")
            for at in range(rng.randint(2, 7))
        )
    number = str(rng.randint(0, 10 ** rng.randint(1, 4)))
    return rng.choice(
        (
            number,
            number,
            f"{rng.randint(0, 99)}.{rng.randint(10, 99)}",
            f"{rng.randint(1, 23)}:{rng.randint(10, 59)}",
        )
    )


def _line(
    rng: random.Random, font: tuple[str | None, int], width: float, words: Callable[[], str]
) -> str:
    """As many words as fit into `width` pixels, or fewer."""
    line, most = "", rng.choice((1, 2, 3, 9, 9))
    for count in range(most):
        word = words() + (rng.choice(",.:-") if rng.random() < 0.06 else "")
        longer = f"{line} {word}" if count else word
        if sum(width_of(*font, letter) for letter in longer) > width:
            break
        line = longer
    return line


def _text_picture(
    rng: random.Random, grid: tuple[int, int], words: Callable[[], str], dense: bool
) -> Picture:
    """Lines of text on a plain ground, sized so that tiles of a `grid` show letters of 24 to 40
    pixels."""
    columns, rows = grid
    scale = rng.uniform(0.9, 1.6)
    width = round(columns * UNIT * scale * rng.uniform(0.94, 1.06))
    height = round(rows * UNIT * scale * rng.uniform(0.94, 1.06))
    background = background_colour(rng)
    ink = tuple(rng.randint(0, 90) for _ in range(3))
    if rng.random() < 0.15:
        background, ink = ink, background  # type: ignore[assignment]
    image = Image.new("RGB", (width, height), background)
    canvas = ImageDraw.Draw(image)
    size = round(rng.uniform(24, 40) * scale)
    font = (rng.choice(FONTS), size)
    leading = max(size * 1.15, 31 * scale) * rng.uniform(1.0, 1.25)
    room = max(1, int((height - 0.2 * size) / leading))
    lines = room if dense else rng.randint(1, room)
    y = rng.uniform(0.05 * size, max(0.06 * size, height - lines * leading))
    margin = rng.uniform(0.1, 0.5) * size
    glyphs: list[Glyph] = []
    for _ in range(lines):
        line = _line(rng, font, width - margin - 0.1 * size, words)
        if not line:
            continue
        if glyphs:
            glyphs.append(Glyph("\n", glyphs[-1].x, glyphs[-1].y, size))
        baseline = y + 0.85 * size
        canvas.text((margin, baseline), line, fill=ink, font=font_of(*font), anchor="ls")
        x = margin
        for letter in line:
            advance = width_of(*font, letter)
            glyphs.append(Glyph(letter, x + advance / 2, baseline - 0.27 * size, size))
            x += advance
        y += leading
    return Picture(np.array(image), glyphs=glyphs)


GRIDS = ((1, 1), (2, 1), (2, 1), (3, 1), (3, 1), (4, 1), (4, 1), (5, 1), (6, 1), (2, 2), (3, 2))


def ocr(rng: random.Random) -> Sample:
    for _ in range(20):
        picture = _text_picture(rng, rng.choice(GRIDS), lambda: word_of(rng), rng.random() < 0.3)
        if picture.glyphs:
            break
    pieces = [(glyph.letter, [(0, "glyphs", index)]) for index, glyph in enumerate(picture.glyphs)]
    return sample_of("ocr", [picture], OCR, pieces)


def letters(rng: random.Random) -> Sample:
    """A tile full of letters in no order, to learn them all alike."""

    def word() -> str:
        return "".join(rng.choice(LETTERS[:36]) for _ in range(rng.randint(1, 8)))

    picture = _text_picture(rng, rng.choice(((1, 1), (1, 1), (2, 1))), word, True)
    pieces = [(glyph.letter, [(0, "glyphs", index)]) for index, glyph in enumerate(picture.glyphs)]
    return sample_of("letters", [picture], OCR, pieces)
