"""What a picture says of itself: equal for equal pictures, near for copies, and as its definitions
say."""

from __future__ import annotations

import hashlib
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from internvl_ops.media.image import load_image
from internvl_ops.media.parts import WHOLE, DecodeOptions, load
from internvl_ops.media.picture_stats import median_level, picture_stats
from testing.datasets import picture


def bits_apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


def pixels(size: tuple[int, int] = (640, 480), seed: int = 1) -> np.ndarray:
    return np.asarray(picture(size, seed))


def test_the_hash_of_a_file_is_its_sha256_and_of_pixels_theirs() -> None:
    shown = pixels()
    assert picture_stats(shown, b"file").image_hash == hashlib.sha256(b"file").hexdigest()
    assert picture_stats(shown).image_hash == hashlib.sha256(shown.tobytes()).hexdigest()


def test_copies_in_other_sizes_and_formats_hash_near_and_other_pictures_far() -> None:
    shown = Image.fromarray(pixels())
    smaller = np.asarray(shown.resize((320, 240), Image.Resampling.BICUBIC))
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=60)
    again = np.asarray(Image.open(file))
    own = picture_stats(pixels()).image_phash
    assert bits_apart(own, picture_stats(smaller).image_phash) <= 4
    assert bits_apart(own, picture_stats(again).image_phash) <= 4
    assert (
        min(bits_apart(own, picture_stats(pixels(seed=seed)).image_phash) for seed in range(2, 12))
        > 10
    )


def test_the_perceptual_hash_is_that_of_a_plain_cosine_transform() -> None:
    grey = np.random.default_rng(3).integers(0, 256, (32, 32)).astype(np.uint8)
    shown = np.repeat(grey[..., None], 3, axis=2)
    k, n = np.mgrid[0:32, 0:32]
    cosines = 2 * np.cos(math.pi * k * (2 * n + 1) / 64)
    low = (cosines @ grey.astype(float) @ cosines.T)[:8, :8]
    expected = np.packbits((low > np.median(low)).reshape(-1)).tobytes().hex()
    assert picture_stats(shown).image_phash == expected


def test_entropy_sharpness_and_ink() -> None:
    plain = np.full((100, 100, 3), 255, np.uint8)
    halves = plain.copy()
    halves[:50] = 0
    assert picture_stats(plain).entropy == 0
    assert picture_stats(halves).entropy == 1
    assert picture_stats(plain).sharpness == 0 < picture_stats(halves).sharpness
    dotted = np.full((400, 400, 3), 250, np.uint8)
    dotted[100:104, 50:350] = 20
    assert picture_stats(plain).ink_share == 0
    assert picture_stats(dotted).ink_share == pytest.approx(4 * 300 / 400**2, rel=0.2)


def test_they_are_measured_only_if_asked_for_and_change_no_tile() -> None:
    file = io.BytesIO()
    picture((500, 300), 5).save(file, "PNG")
    plain = load(file.getvalue(), WHOLE, DecodeOptions(), 6)
    measured = load(file.getvalue(), WHOLE, DecodeOptions(stats=True, find_blank=True), 6)
    assert plain.seen.stats is None
    assert measured.seen.stats is not None
    assert measured.seen.stats.image_hash == hashlib.sha256(file.getvalue()).hexdigest()
    assert not measured.seen.blank
    assert np.array_equal(plain.tiles, measured.tiles)
    assert np.array_equal(plain.tiles, load_image(file.getvalue()).tiles[: len(plain.tiles)])


@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_the_median_of_levels_is_numpys(levels: np.ndarray) -> None:
    assert median_level(levels) == np.median(levels)
