"""Scenes of shapes on a plain ground, and questions about them."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from examples.nano.sample_types import (
    CAPTION,
    COLOURS,
    GROUND,
    KINDS,
    SHORT,
    STEP,
    Picture,
    Sample,
    Shape,
    sample_of,
)


def background_colour(rng: random.Random) -> tuple[int, int, int]:
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
    return render(rng, width, height, shapes, background_colour(rng))


def render(
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


def distinct_names(rng: random.Random) -> Callable[[int], list[tuple[str, str]]]:
    every = [(kind, colour) for kind in KINDS for colour in COLOURS]
    return lambda count: rng.sample(every, count)


def caption(rng: random.Random) -> Sample:
    picture = _scene(rng, rng.choice((1, 2, 2, 3, 3)), _any_names(rng))
    pieces: list[tuple[str, list]] = []
    last = len(picture.shapes) - 1
    for index, shape in enumerate(picture.shapes):
        joint = "" if index == 0 else " and " if index == last else ", "
        pieces.append((joint + shape.one, [(0, "shapes", index)]))
    return sample_of("caption", [picture], CAPTION, pieces)


def count(rng: random.Random) -> Sample:
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
    return sample_of("count", [picture], question, [(str(len(counted)), marks)])


def question(rng: random.Random) -> Sample:
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
    return sample_of("question", [picture], question + SHORT, [(answer, [(0, "shapes", index)])])


def ground(rng: random.Random) -> Sample:
    picture = _scene(rng, rng.randint(1, 4), distinct_names(rng))
    index = rng.randrange(len(picture.shapes))
    shape = picture.shapes[index]
    height, width = picture.pixels.shape[:2]
    x1, y1, x2, y2 = (
        round(1000 / STEP * a / b) * STEP
        for a, b in zip(shape.box, [width, height] * 2, strict=True)
    )
    answer = f"<ref>{shape.name}</ref><box>[[{x1}, {y1}, {x2}, {y2}]]</box>"
    return sample_of(
        "ground", [picture], GROUND.format(shape.name), [(answer, [(0, "shapes", index)])]
    )


def clutter(rng: random.Random) -> Sample:
    """A scene of up to six shapes, to learn them all alike."""
    picture = _scene(rng, rng.randint(1, 6), _any_names(rng))
    return sample_of("clutter", [picture], CAPTION, [("", [])])
