"""The middle of a picture, as the model cards of InternViT and InternVL-14B take it by
CLIPImageProcessor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from internvl_ops.media.tiling import tile_image

SIDE = 56


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width * 10_000 + height).integers(
        0, 256, (height, width, 3), np.uint8
    )


def restated(pixels: np.ndarray) -> np.ndarray:
    """Resizes the shorter side to `SIDE` by Pillow's bicubic, and takes the middle."""
    height, width = pixels.shape[:2]
    short = min(width, height)
    resized = Image.fromarray(pixels).resize(
        (int(SIDE * width / short), int(SIDE * height / short)), Image.BICUBIC
    )
    left, top = (resized.width - SIDE) // 2, (resized.height - SIDE) // 2
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE))).transpose(2, 0, 1)


@given(st.integers(20, 220), st.integers(20, 220))
def test_as_published_bit_for_bit(width: int, height: int) -> None:
    if max(width, height) > 4 * min(width, height):
        return
    pixels = noise(width, height)
    (tile,) = tile_image(pixels, tile_size=SIDE, max_tiles=12, resize="exact", fit="crop")
    assert np.array_equal(tile, restated(pixels))


def test_as_transformers_own_processor() -> None:
    from transformers import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size=SIDE, do_normalize=False, do_rescale=False
    )
    for width, height in ((100, 80), (80, 101), (57, 200), (300, 300)):
        pixels = noise(width, height)
        expected = processor(Image.fromarray(pixels), return_tensors="np")["pixel_values"][0]
        (tile,) = tile_image(pixels, tile_size=SIDE, resize="exact", fit="crop")
        assert np.array_equal(tile, expected.astype(np.uint8))


def test_fast_differs_little() -> None:
    pixels = noise(640, 480)
    exact, fast = (
        tile_image(pixels, tile_size=SIDE, resize=how, fit="crop").astype(int)
        for how in ("exact", "fast")
    )  # type: ignore[arg-type]
    assert np.abs(exact - fast).max() <= 2


@pytest.mark.parametrize(("width", "height"), [(50_000, 3), (3, 50_000), (1, 1), (1, 9)])
def test_a_long_strip_takes_little_memory(width: int, height: int) -> None:
    """Resized first and cut then, the strip of 50,000 pixels would have a million columns."""
    assert tile_image(noise(width, height), tile_size=SIDE, fit="crop").shape == (1, 3, SIDE, SIDE)
