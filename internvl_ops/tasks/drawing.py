"""Draws boxes into the picture, so that people can see what the model found."""

from __future__ import annotations

import colorsys
import math
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from internvl_ops.tasks.boxes import Box

# pixels; smaller pictures are enlarged, so that labels are readable
LEAST_LONG, LEAST_SHORT = 480, 32
LEAST_TEXT = 14  # pixels
LONGEST_LABEL = 60  # characters
# Pillow's own font has only plain Latin letters. These font files of common systems have more.
FONTS = (
    *("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf"),
    *("PingFang.ttc", "msyh.ttc"),
)
NOT_IN_ANY_FONT = "\U0010fffd"

Rectangle = tuple[float, float, float, float]


def draw_boxes(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """A copy of a picture with frames and labels, one colour per label.

    If no installed font has a label's characters, accents aside, the label is the number of the box
    in the answer, from
    1. This happens, for example, with Chinese labels on a system without a Chinese font.

    Args:
        image: Upright, any mode and size.
        boxes: In the picture's pixels.

    Returns:
        RGB; a small picture is enlarged by a whole number.
    """
    scale = math.ceil(max(1, LEAST_LONG / max(image.size), LEAST_SHORT / min(image.size)))
    drawn = image.convert("RGB").resize(
        (image.width * scale, image.height * scale), Image.Resampling.NEAREST
    )
    long, short = max(drawn.size), min(drawn.size)
    draw, size = ImageDraw.Draw(drawn), max(LEAST_TEXT, min(long // 60, short // 8))
    colours = {
        label: _colour(number)
        for number, label in enumerate(dict.fromkeys(box.label for box in boxes))
    }
    frames = [(box.x1 * scale, box.y1 * scale, box.x2 * scale, box.y2 * scale) for box in boxes]
    for box, frame in zip(boxes, frames, strict=True):
        draw.rectangle(frame, outline=colours[box.label], width=max(2, size // 8))
    taken: list[Rectangle] = []
    for number, (box, frame) in enumerate(zip(boxes, frames, strict=True), 1):
        if label := " ".join(box.label.split()):
            _write(draw, label, str(number), frame, size, colours[box.label], taken)
    return drawn


def _colour(number: int) -> tuple[int, int, int]:
    """A hue by the golden ratio, so that each hue is far from the earlier ones."""
    red, green, blue = colorsys.hsv_to_rgb(
        number * 0.618034 % 1, 0.95, (0.95, 0.65)[number // 12 % 2]
    )
    return round(red * 255), round(green * 255), round(blue * 255)


def _write(
    draw: ImageDraw.ImageDraw,
    label: str,
    number: str,
    frame: Rectangle,
    size: int,
    colour: tuple[int, int, int],
    taken: list[Rectangle],
) -> None:
    text, font = _text_and_font(label, number, size)
    pad = max(2, size // 6)
    text = _shortened(text, font, draw.im.size[0] - 2 * pad)
    left, top, right, bottom = font.getbbox(text)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    place = next(_free_places(frame, width, height, draw.im.size, taken))
    taken.append(place)
    draw.rectangle(place, fill=colour)
    bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
    draw.text(
        (place[0] + pad - left, place[1] + pad - top), text, "black" if bright else "white", font
    )


def _free_places(
    frame: Rectangle, width: float, height: float, size: tuple[int, int], taken: list[Rectangle]
) -> Iterator[Rectangle]:
    """Places above the box, inside its upper edge, below it, inside its lower edge; last of all,
    over other labels."""
    x = max(0, min(frame[0], size[0] - width))
    tops = (frame[1] - height, frame[1], frame[3], frame[3] - height)
    inside = [(x, y, x + width, y + height) for y in tops if 0 <= y <= size[1] - height]
    for place in inside:
        if not any(_overlap(place, other) for other in taken):
            yield place
    y = max(0, min(frame[1], size[1] - height))
    yield (x, y, x + width, y + height)


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    if len(text) <= LONGEST_LABEL and font.getlength(text) <= width:
        return text
    text = text[:LONGEST_LABEL]
    while len(text) > 1 and font.getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def _text_and_font(label: str, number: str, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """The label and a font that has all its characters; without accents if necessary; or else the
    number."""
    bare = "".join(
        sign for sign in unicodedata.normalize("NFKD", label) if not unicodedata.combining(sign)
    )
    for text in (label, bare):
        for font in _fonts(size):
            if _has(font, text):
                return text, font
    return number, _fonts(size)[0]


@lru_cache(maxsize=8)
def _fonts(size: int) -> list[ImageFont.FreeTypeFont]:
    fonts = [ImageFont.load_default(size)]
    for name in FONTS:
        try:
            fonts.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return [font for font in fonts if isinstance(font, ImageFont.FreeTypeFont)]


def _has(font: ImageFont.FreeTypeFont, text: str) -> bool:
    """Whether the font has all characters. It draws the same sign for each character that it
    lacks."""
    missing = bytes(font.getmask(NOT_IN_ANY_FONT))
    try:
        return all(bytes(font.getmask(sign)) != missing for sign in set(text) - {" "})
    except UnicodeEncodeError:  # a lone surrogate
        return False
