"""Draws what nano-InternVL learns from: pictures and clips with their questions, answers and what
lies where.

Every sample follows from its seed alone. Fonts are Pillow's own (Aileron, CC0) and, where the
system has them, the DejaVu family (free licence); none is part of this repository.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CAPTION = "Provide a one-sentence caption for the provided image."
FILM = "Provide a one-sentence caption for the provided video."
OCR = "Read all the text in the image, line by line from top to bottom. Answer with the text alone."
GROUND = (
    "Please provide the bounding box coordinates of the region this sentence describes:"
    " <ref>{}</ref>"
)
SHORT = " Answer the question using a single word or phrase."

KINDS = ("circle", "square", "triangle", "star", "cross", "diamond")
COLOURS = {
    "red": (215, 35, 40),
    "orange": (245, 140, 25),
    "yellow": (240, 215, 40),
    "green": (45, 155, 65),
    "blue": (40, 85, 210),
    "purple": (140, 60, 165),
    "black": (30, 30, 30),
}
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .,:-"
FONTS = (None, "DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")
UNIT = 112  # the tile size for which sizes are chosen
STEP = 10  # coordinates in answers are multiples of it

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


@dataclass(frozen=True)
class Shape:
    """One shape: a kind of `KINDS`, a colour of `COLOURS`, and its box (x1, y1, x2, y2) in
    pixels."""

    kind: str
    colour: str
    box: tuple[float, float, float, float]

    @property
    def name(self) -> str:
        return f"{self.colour} {self.kind}"

    @property
    def one(self) -> str:
        """With its article."""
        return f"{'an' if self.colour == 'orange' else 'a'} {self.name}"


@dataclass(frozen=True)
class Glyph:
    """One letter: its middle and its font's size, in pixels."""

    letter: str
    x: float
    y: float
    size: float


@dataclass
class Picture:
    """An image, or one frame of a clip: uint8 (height, width, 3), and what is on it."""

    pixels: np.ndarray
    shapes: list[Shape] = field(default_factory=list)
    glyphs: list[Glyph] = field(default_factory=list)


@dataclass
class Sample:
    """One question.

    Args:
        task: Which drawer made it, a key of `DRAWERS`.
        pictures: The image, or the frames of the clip.
        question: Without ``<image>``.
        answer: What the model should say.
        seen: For each character of the answer, the marks on the pictures that it follows from:
            (picture, "shapes" or "glyphs", index).
    """

    task: str
    pictures: list[Picture]
    question: str
    answer: str
    seen: list[list[tuple[int, str, int]]]

    @property
    def media(self) -> str:
        return "video" if len(self.pictures) > 1 else "images"


Pieces = Sequence[tuple[str, list[tuple[int, str, int]]]]


def _sample(task: str, pictures: list[Picture], question: str, pieces: Pieces) -> Sample:
    answer = "".join(text for text, _ in pieces)
    return Sample(task, pictures, question, answer, [marks for text, marks in pieces for _ in text])


def draw(task: str, seed: int, **how: int) -> Sample:
    """The sample of this task and seed. One in three has been through JPEG, as photographs and
    clips have.

    Args:
        task: A key of `DRAWERS`.
        seed: Of everything that is drawn by chance.
        how: ``frames`` of a clip.
    """
    rng = random.Random(f"{task} {seed}")
    sample = DRAWERS[task](rng, **how)
    if rng.random() < 0.33:
        quality = rng.randint(40, 95)
        for picture in sample.pictures:
            picture.pixels = _compressed(picture.pixels, quality)
    return sample


def _compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


# Shapes


def _background(rng: random.Random) -> tuple[int, int, int]:
    base = rng.choice((255, 245, 225, 205))
    return tuple(min(255, max(0, base + rng.randint(-12, 12))) for _ in range(3))  # type: ignore[return-value]


def _ink(rng: random.Random, colour: str) -> tuple[int, ...]:
    return tuple(min(255, max(0, part + rng.randint(-14, 14))) for part in COLOURS[colour])


def _points(kind: str) -> list[tuple[float, float]]:
    """Corners in a box from 0 to 1."""
    if kind == "square":
        return [(0, 0), (1, 0), (1, 1), (0, 1)]
    if kind == "triangle":
        return [(0.5, 0), (1, 1), (0, 1)]
    if kind == "diamond":
        return [(0.5, 0), (1, 0.5), (0.5, 1), (0, 0.5)]
    if kind == "cross":
        a, b = 0.33, 0.67
        return [
            (a, 0),
            (b, 0),
            (b, a),
            (1, a),
            (1, b),
            (b, b),
            (b, 1),
            (a, 1),
            (a, b),
            (0, b),
            (0, a),
            (a, a),
        ]
    turns = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
    x, y = radii * np.sin(turns), -radii * np.cos(turns)
    low, high = (x.min(), y.min()), (x.max(), y.max())
    return [
        ((a - low[0]) / (high[0] - low[0]), (b - low[1]) / (high[1] - low[1]))
        for a, b in zip(x, y, strict=True)
    ]


_CORNERS = {kind: _points(kind) for kind in KINDS if kind != "circle"}


def _paint(canvas: ImageDraw.ImageDraw, shape: Shape, ink: tuple[int, ...]) -> None:
    x1, y1, x2, y2 = shape.box
    if shape.kind == "circle":
        canvas.ellipse(shape.box, fill=ink)
    else:
        canvas.polygon(
            [(x1 + a * (x2 - x1), y1 + b * (y2 - y1)) for a, b in _CORNERS[shape.kind]], fill=ink
        )


def _size(rng: random.Random) -> tuple[int, int]:
    """Of a scene: mostly small, so that it is few tiles; of many aspect ratios."""
    aspect = rng.choice((1.0, 1.0, rng.uniform(0.75, 1.33), rng.uniform(0.45, 2.2)))
    area = rng.choice((rng.uniform(96, 150), rng.uniform(112, 320))) ** 2
    return max(64, round((area * aspect) ** 0.5)), max(64, round((area / aspect) ** 0.5))


def _boxes(
    rng: random.Random, count: int, width: int, height: int
) -> list[tuple[float, float, float, float]]:
    """Boxes that do not touch, as many of `count` as find room, left to right by clearly different
    middles."""
    found: list[tuple[float, float, float, float]] = []
    for _ in range(40):
        if len(found) == count:
            break
        side = rng.uniform(0.17, 0.46 if count < 3 else 0.34)
        w, h = (side * (width * height) ** 0.5 * rng.uniform(0.85, 1.15) for _ in range(2))
        w, h = min(w, 0.6 * width), min(h, 0.6 * height)
        x, y = (
            rng.uniform(0.02 * width, 0.98 * width - w),
            rng.uniform(0.02 * height, 0.98 * height - h),
        )
        gap_x, gap_y = 0.03 * width, 0.03 * height
        if all(
            (x + w + gap_x < a or c + gap_x < x or y + h + gap_y < b or d + gap_y < y)
            and abs((a + c) / 2 - x - w / 2) > 0.08 * width
            for a, b, c, d in found
        ):
            found.append((x, y, x + w, y + h))
    return sorted(found, key=lambda box: box[0] + box[2])


def _scene(
    rng: random.Random, count: int, names: Callable[[int], list[tuple[str, str]]]
) -> Picture:
    width, height = _size(rng)
    boxes = _boxes(rng, count, width, height)
    shapes = [
        Shape(kind, colour, box)
        for (kind, colour), box in zip(names(len(boxes)), boxes, strict=True)
    ]
    return _render(rng, width, height, shapes, _background(rng))


def _render(
    rng: random.Random,
    width: int,
    height: int,
    shapes: list[Shape],
    background: tuple[int, int, int],
) -> Picture:
    image = Image.new("RGB", (width, height), background)
    canvas = ImageDraw.Draw(image)
    for shape in shapes:
        _paint(canvas, shape, _ink(rng, shape.colour))
    return Picture(np.array(image), shapes=shapes)


def _any_names(rng: random.Random) -> Callable[[int], list[tuple[str, str]]]:
    return lambda count: [(rng.choice(KINDS), rng.choice(list(COLOURS))) for _ in range(count)]


def _distinct_names(rng: random.Random) -> Callable[[int], list[tuple[str, str]]]:
    every = [(kind, colour) for kind in KINDS for colour in COLOURS]
    return lambda count: rng.sample(every, count)


def _caption(rng: random.Random) -> Sample:
    picture = _scene(rng, rng.choice((1, 2, 2, 3, 3)), _any_names(rng))
    pieces: list[tuple[str, list]] = []
    last = len(picture.shapes) - 1
    for index, shape in enumerate(picture.shapes):
        joint = "" if index == 0 else " and " if index == last else ", "
        pieces.append((joint + shape.one, [(0, "shapes", index)]))
    return _sample("caption", [picture], CAPTION, pieces)


def _count(rng: random.Random) -> Sample:
    kinds, colours = rng.sample(KINDS, 2), rng.sample(list(COLOURS), 2)
    picture = _scene(
        rng,
        rng.randint(1, 5),
        lambda count: [(rng.choice(kinds), rng.choice(colours)) for _ in range(count)],
    )
    about = rng.choice(("shapes", kinds[0] + "s", kinds[0] + "s", colours[0] + " shapes"))
    about = "crosses" if about == "crosss" else about
    counted = [
        index
        for index, shape in enumerate(picture.shapes)
        if about == "shapes" or about.startswith(shape.kind) or about.split()[0] == shape.colour
    ]
    marks = [(0, "shapes", index) for index in counted]
    question = f"How many {about} are in the image?" + SHORT
    return _sample("count", [picture], question, [(str(len(counted)), marks)])


def _question(rng: random.Random) -> Sample:
    kinds, colours = rng.sample(KINDS, 4), rng.sample(list(COLOURS), 4)
    picture = _scene(
        rng, rng.randint(1, 4), lambda count: list(zip(kinds[:count], colours[:count], strict=True))
    )
    index = rng.randrange(len(picture.shapes))
    shape = picture.shapes[index]
    if rng.random() < 0.5:
        question, answer = f"What color is the {shape.kind}?", shape.colour
    else:
        question, answer = f"What shape is {shape.colour}?", shape.kind
    return _sample("question", [picture], question + SHORT, [(answer, [(0, "shapes", index)])])


def _ground(rng: random.Random) -> Sample:
    picture = _scene(rng, rng.randint(1, 4), _distinct_names(rng))
    index = rng.randrange(len(picture.shapes))
    shape = picture.shapes[index]
    height, width = picture.pixels.shape[:2]
    x1, y1, x2, y2 = (
        round(1000 / STEP * a / b) * STEP
        for a, b in zip(shape.box, [width, height] * 2, strict=True)
    )
    answer = f"<ref>{shape.name}</ref><box>[[{x1}, {y1}, {x2}, {y2}]]</box>"
    return _sample(
        "ground", [picture], GROUND.format(shape.name), [(answer, [(0, "shapes", index)])]
    )


# Clips


def _video(rng: random.Random, frames: int | None = None) -> Sample:
    """One shape moves, another may stand still."""
    frames = frames or rng.choice((4, 6, 8))
    width, height = rng.choice(((112, 112), (160, 120), (176, 112), (120, 160)))
    (kind, colour), (other_kind, other_colour) = _distinct_names(rng)(2)
    direction = rng.choice(list(DIRECTIONS))
    dx, dy = DIRECTIONS[direction]
    side = rng.uniform(0.2, 0.3) * min(width, height)
    way = rng.uniform(0.35, 0.65)  # of the picture's side
    x, y = rng.uniform(0, width - side), rng.uniform(0, height - side)
    if dx:
        start = rng.uniform(0, (1 - way) * width - side) if (1 - way) * width > side else 0.0
        x = start if dx > 0 else width - side - start
    else:
        start = rng.uniform(0, (1 - way) * height - side) if (1 - way) * height > side else 0.0
        y = start if dy > 0 else height - side - start
    background = _background(rng)
    still = None
    if rng.random() < 0.5:
        a, b = rng.uniform(0, width - side), rng.uniform(0, height - side)
        track = (min(x, x + dx * way * width), min(y, y + dy * way * height))
        end = (max(x, x + dx * way * width) + side, max(y, y + dy * way * height) + side)
        if a + side < track[0] or a > end[0] or b + side < track[1] or b > end[1]:
            still = Shape(other_kind, other_colour, (a, b, a + side, b + side))
    pictures = []
    for number in range(frames):
        at = number / (frames - 1)
        left = min(max(0.0, x + at * dx * way * width), width - side)
        top = min(max(0.0, y + at * dy * way * height), height - side)
        shapes = [
            Shape(kind, colour, (left, top, left + side, top + side)),
            *([still] if still else []),
        ]
        pictures.append(
            _render(random.Random(f"{kind}{colour}"), width, height, shapes, background)
        )
    marks = [(0, "shapes", 0), (frames - 1, "shapes", 0)]
    moving = pictures[0].shapes[0]
    asked = rng.choice(("way", "way", "what", "caption"))
    if asked == "way":
        question, answer = f"Which way does the {moving.name} move?" + SHORT, direction
    elif asked == "what":
        question, answer = "What moves?" + SHORT, moving.one
    else:
        question, answer = FILM, f"{moving.one} moves {direction}"
    return _sample("video", pictures, question, [(answer, marks)])


# Text


@lru_cache(maxsize=512)
def _font(name: str | None, size: int) -> ImageFont.FreeTypeFont:
    if name is not None:
        try:
            return ImageFont.truetype(name, size)
        except OSError:  # not on this system
            pass
    return ImageFont.load_default(size)  # type: ignore[return-value]


@lru_cache(maxsize=100_000)
def _advance(name: str | None, size: int, letter: str) -> float:
    return _font(name, size).getlength(letter)


def _word(rng: random.Random) -> str:
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
        if sum(_advance(*font, letter) for letter in longer) > width:
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
    background = _background(rng)
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
        canvas.text((margin, baseline), line, fill=ink, font=_font(*font), anchor="ls")
        x = margin
        for letter in line:
            advance = _advance(*font, letter)
            glyphs.append(Glyph(letter, x + advance / 2, baseline - 0.27 * size, size))
            x += advance
        y += leading
    return Picture(np.array(image), glyphs=glyphs)


GRIDS = ((1, 1), (2, 1), (2, 1), (3, 1), (3, 1), (4, 1), (4, 1), (5, 1), (6, 1), (2, 2), (3, 2))


def _ocr(rng: random.Random) -> Sample:
    for _ in range(20):
        picture = _text_picture(rng, rng.choice(GRIDS), lambda: _word(rng), rng.random() < 0.3)
        if picture.glyphs:
            break
    pieces = [(glyph.letter, [(0, "glyphs", index)]) for index, glyph in enumerate(picture.glyphs)]
    return _sample("ocr", [picture], OCR, pieces)


def _letters(rng: random.Random) -> Sample:
    """A tile full of letters in no order, to learn them all alike."""

    def word() -> str:
        return "".join(rng.choice(LETTERS[:36]) for _ in range(rng.randint(1, 8)))

    picture = _text_picture(rng, rng.choice(((1, 1), (1, 1), (2, 1))), word, True)
    pieces = [(glyph.letter, [(0, "glyphs", index)]) for index, glyph in enumerate(picture.glyphs)]
    return _sample("letters", [picture], OCR, pieces)


def _clutter(rng: random.Random) -> Sample:
    """A scene of up to six shapes, to learn them all alike."""
    picture = _scene(rng, rng.randint(1, 6), _any_names(rng))
    return _sample("clutter", [picture], CAPTION, [("", [])])


DRAWERS: dict[str, Callable[..., Sample]] = {
    "caption": _caption,
    "count": _count,
    "question": _question,
    "ground": _ground,
    "video": _video,
    "ocr": _ocr,
    "letters": _letters,
    "clutter": _clutter,
}
