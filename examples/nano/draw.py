"""Draws what nano-InternVL learns from: pictures and clips with their questions, answers and what
lies where. Every sample follows from its seed alone."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import numpy as np
from PIL import Image

from examples.nano import clips, scenes, texts
from examples.nano.sample_types import Sample

DRAWERS: dict[str, Callable[..., Sample]] = {
    "caption": scenes.caption,
    "count": scenes.count,
    "question": scenes.question,
    "ground": scenes.ground,
    "video": clips.video,
    "ocr": texts.ocr,
    "letters": texts.letters,
    "clutter": scenes.clutter,
}


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
