"""Units with pictures and answers, some with a planted fault, made from a seed: what filters find
is known beforehand.

No model answered. Sound units also come in kinds that are easily taken for faults. Loops and texts
that only look like loops are those that the limits of the detector were not set on; scans of pages
are those of its tests. Refusals are written by hand, in the words of several models; some were not
used to extend the rule.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from testing.blank_pages import BLANK, SHOWS_SOMETHING
from testing.pictures import natural
from testing.planted_texts import (
    FOREIGN,
    HELD_OUT_REFUSALS,
    REFUSALS,
    RESEMBLE_REFUSALS,
    form,
    paragraph,
    sentence,
)
from testing.repetition_held_out import LOOPS, PLAIN

WIDTH, HEIGHT = 320, 240
REFUSED = {"that the rule was extended for": REFUSALS} | {
    f"held out, {language}": tuple(lines.strip().splitlines())
    for language, lines in HELD_OUT_REFUSALS.items()
}
Boxes = list[dict[str, Any]]


@dataclass(frozen=True)
class Planted:
    """One unit.

    Args:
        kind: What it is, in words.
        fault: The fault that was planted; empty for a sound unit.
        picture: uint8 (height, width, 3).
        text: The answer.
        boxes: Boxes beside it.
        finish_reason: Why the answer ended.
    """

    kind: str
    fault: str
    picture: np.ndarray
    text: str
    boxes: Boxes
    finish_reason: str = "stop"


def planted(sound: int = 1700, *, each: int = 60, seed: int = 0) -> list[Planted]:
    """The units: sound ones first, so that a copy comes after what it is a copy of.

    Args:
        sound: Number of ordinary sound units; those that are easily taken for faults come on top.
            At least six times `each`, as each copy is of another one.
        each: Number of units of most kinds.
        seed: Other seeds make other units.
    """
    draw = random.Random(seed)
    ordinary = [_ordinary(draw, number) for number in range(sound)]
    units = [*ordinary, *_easily_mistaken(draw, each), *_faults(draw, each)]
    return [*units, *_copies(draw, ordinary, each)]


def _picture(seed: int) -> np.ndarray:
    return np.asarray(natural(WIDTH, HEIGHT, seed))


def _boxes(draw: random.Random, width: int = WIDTH, height: int = HEIGHT) -> Boxes:
    found = []
    for label in draw.sample(["dog", "cup", "door", "car", "tree"], draw.randint(0, 3)):
        # Some touch an edge, as those of cut objects do.
        x1, y1 = (
            draw.choice([0, draw.uniform(0, width - 20)]),
            draw.choice([0, draw.uniform(0, height - 20)]),
        )
        x2, y2 = (
            draw.choice([width, draw.uniform(x1 + 5, width)]),
            draw.choice([height, draw.uniform(y1 + 5, height)]),
        )
        found.append({"label": label, "x1": x1, "y1": y1, "x2": x2, "y2": y2})
    return found


def _ordinary(draw: random.Random, number: int) -> Planted:
    return Planted("ordinary", "", _picture(number), paragraph(draw), _boxes(draw))


def _easily_mistaken(draw: random.Random, each: int) -> Iterator[Planted]:
    """Sound units that rules may take for faults."""
    seeds = iter(range(1_000_000, 2_000_000))
    for _ in range(each):
        yield Planted("short caption", "", _picture(next(seeds)), sentence(draw), _boxes(draw))
    for text in RESEMBLE_REFUSALS:
        yield Planted("words of a refusal, quoted", "", _picture(next(seeds)), text, _boxes(draw))
    for kind in ("calendars", "markdown rows", "html rows", "columns"):
        for number in range(each // 4):
            text = PLAIN[kind](random.Random(f"{kind} {number}"))
            yield Planted("calendar or table", "", _picture(next(seeds)), text, [])
    for _ in range(each):
        yield Planted("same form, other facts", "", _picture(next(seeds)), form(draw), [])
    for _ in range(each // 2):  # a thing has come into the same view
        seed = next(seeds)
        before, after = _picture(seed), _picture(seed).copy()
        top, left = draw.randrange(HEIGHT // 3), draw.randrange(WIDTH // 3)
        after[top : top + HEIGHT // 2, left : left + WIDTH // 2] = draw.choice([20, 235])
        for picture in (before, after):
            yield Planted("same view, another thing in it", "", picture, paragraph(draw), [])
    random_pages = np.random.default_rng(0)
    for make in SHOWS_SOMETHING.values():
        for _ in range(each // 4):
            yield Planted(
                "dark, pale or sparse picture", "", make(random_pages), paragraph(draw), []
            )


def _faults(draw: random.Random, each: int) -> Iterator[Planted]:
    seeds = iter(range(3_000_000, 4_000_000))
    pages = np.random.default_rng(1)
    for make in BLANK.values():
        for _ in range(each // 2):
            yield Planted(
                make.__name__.replace("_", " "), "blank page", make(pages), paragraph(draw), []
            )
    for kind, loop in LOOPS.items():
        for number in range(each // 4):
            text = loop(random.Random(f"{kind} {number}"))
            yield Planted(kind, "loop", _picture(next(seeds)), text, [])
    for kind, texts in REFUSED.items():
        for text in texts:
            yield Planted(kind, "refusal", _picture(next(seeds)), text, [])
    for _ in range(each):
        text = draw.choice(["", "", " ", "\n\n"])
        yield Planted(
            "empty" if not text else "blanks alone", "empty answer", _picture(next(seeds)), text, []
        )
    for number in range(each):
        kind, box = _bad_box(draw, number)
        yield Planted(
            kind, "wrong box", _picture(next(seeds)), paragraph(draw), [*_boxes(draw), box]
        )
    for number in range(each):
        language = list(FOREIGN)[number % len(FOREIGN)]
        text = " ".join(draw.sample(FOREIGN[language], 3))
        yield Planted(language, "other language", _picture(next(seeds)), text, [])
    for _ in range(each):
        lines = [sentence(draw) for _ in range(draw.randint(3, 8))]
        lines += draw.choices(lines, k=draw.randint(len(lines), 2 * len(lines)))
        draw.shuffle(lines)
        yield Planted("lines again", "duplicate lines", _picture(next(seeds)), "\n".join(lines), [])
    for _ in range(each):
        text = ", ".join(sentence(draw).rstrip(".") for _ in range(draw.randint(30, 50)))
        yield Planted("without an end", "long sentence", _picture(next(seeds)), text, [])
    for _ in range(each):
        text = paragraph(draw)
        cut = text[: draw.randint(len(text) // 2, len(text) - 5)]
        yield Planted("cut", "cut answer", _picture(next(seeds)), cut, [], "length")


def _bad_box(draw: random.Random, number: int) -> tuple[str, dict[str, Any]]:
    box = {"label": "dog", "x1": 40.0, "y1": 40.0, "x2": 120.0, "y2": 110.0}
    if number % 3 == 0:
        side = draw.choice(["x2", "y2"])
        return "outside the picture", box | {
            side: (WIDTH if side == "x2" else HEIGHT) + draw.uniform(3, 300)
        }
    if number % 3 == 1:
        return "in thousandths, not in pixels", box | {
            "x1": 125.0,
            "y1": 167.0,
            "x2": 375.0,
            "y2": 458.0,
        }
    return "without an area", box | {"x2": box["x1"] - draw.choice([0, 30])}


def _copies(draw: random.Random, ordinary: list[Planted], each: int) -> Iterator[Planted]:
    """Copies of ordinary units: of the picture, of the text, or of both; each of another one."""
    needed = each + each // 2 * (len(CHANGED) + len(REWORDED))
    originals = iter(draw.sample(ordinary, needed))
    for _ in range(each):
        yield replace(
            next(originals), kind="the same file", fault="copy of a picture", text=paragraph(draw)
        )
    for kind, change in CHANGED.items():
        for _ in range(each // 2):
            picture = np.asarray(change(Image.fromarray(next(originals).picture)).convert("RGB"))
            yield Planted(kind, "copy of a picture", picture, paragraph(draw), [])
    seeds = iter(range(5_000_000, 6_000_000))
    for kind, reword in REWORDED.items():
        for _ in range(each // 2):
            text = reword(next(originals).text, draw)
            yield Planted(kind, "copy of a text", _picture(next(seeds)), text, _boxes(draw))


def _again(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def _logo(image: Image.Image) -> Image.Image:
    marked = image.copy()
    marked.paste((250, 250, 250), (WIDTH - 60, HEIGHT - 24, WIDTH - 6, HEIGHT - 6))
    return marked


CHANGED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG of quality 30": lambda image: _again(image, 30),
    "half the size": lambda image: image.resize(
        (WIDTH // 2, HEIGHT // 2), Image.Resampling.BICUBIC
    ),
    "a fifth brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "with a logo": _logo,
    "3 % of each side cut off": lambda image: image.crop((10, 7, WIDTH - 10, HEIGHT - 7)),
    "mirrored": ImageOps.mirror,
}


def _one_word(text: str, draw: random.Random) -> str:
    words = text.split()
    words[draw.randrange(len(words))] = "different"
    return " ".join(words)


def _tenth_of_words(text: str, draw: random.Random) -> str:
    return " ".join(
        draw.choice(["other", "one", "this"]) if draw.random() < 0.1 else word
        for word in text.split()
    )


REWORDED: dict[str, Callable[[str, random.Random], str]] = {
    "other case and blanks": lambda text, draw: text.upper().replace(" ", "  "),
    "one word": _one_word,
    "a sentence more": lambda text, draw: f"{text} {sentence(draw)}",
    "a tenth of the words": _tenth_of_words,
}
