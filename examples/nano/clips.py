"""Clips in which one shape moves."""

from __future__ import annotations

import random

from examples.nano.sample_types import DIRECTIONS, FILM, SHORT, Sample, Shape, sample_of
from examples.nano.scenes import background_colour, distinct_names, render


def video(rng: random.Random, frames: int | None = None) -> Sample:
    """One shape moves, another may stand still."""
    frames = frames or rng.choice((4, 6, 8))
    width, height = rng.choice(((112, 112), (160, 120), (176, 112), (120, 160)))
    (kind, colour), (other_kind, other_colour) = distinct_names(rng)(2)
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
    background = background_colour(rng)
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
        pictures.append(render(random.Random(f"{kind}{colour}"), width, height, shapes, background))
    marks = [(0, "shapes", 0), (frames - 1, "shapes", 0)]
    moving = pictures[0].shapes[0]
    asked = rng.choice(("way", "way", "what", "caption"))
    if asked == "way":
        question, answer = f"Which way does the {moving.name} move?" + SHORT, direction
    elif asked == "what":
        question, answer = "What moves?" + SHORT, moving.one
    else:
        question, answer = FILM, f"{moving.one} moves {direction}"
    return sample_of("video", pictures, question, [(answer, marks)])
