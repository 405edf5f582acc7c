"""The samples that nano-InternVL learns from: their parts, the questions, and the words of the
answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

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
STEP = 10  # coordinates in answers are multiples of it


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
        task: Which drawer made it, a key of `draw.DRAWERS`.
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


def sample_of(task: str, pictures: list[Picture], question: str, pieces: Pieces) -> Sample:
    """A sample whose answer is joined from pieces, each with the marks that it follows from."""
    answer = "".join(text for text, _ in pieces)
    return Sample(task, pictures, question, answer, [marks for text, marks in pieces for _ in text])
