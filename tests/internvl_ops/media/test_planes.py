"""A picture resized colour by colour has the values that torch gives it as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from internvl_ops.media.planes import Box, Planes, bicubic, resizes_rows_first
from internvl_ops.media.workspace import Workspace

sides = st.integers(1, 90)
workspace = Workspace()


def as_a_whole(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    old_height, old_width = pixels.shape[:2]
    rows_first = resizes_rows_first(old_width, old_height, width, height)
    between = np.empty((height, old_width, 3) if rows_first else (old_height, width, 3), np.uint8)
    bicubic(pixels, between)
    whole = np.empty((height, width, 3), np.uint8)
    bicubic(between, whole)
    return whole


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """Grey noise with a box of coloured noise in it, which may be all of it or nothing."""
    height, width = draw(sides), draw(sides)
    noise = np.random.default_rng(draw(st.integers(0, 1000)))
    pixels = np.repeat(noise.integers(0, 256, (height, width, 1), np.uint8), 3, axis=2)
    top, bottom = sorted((draw(st.integers(0, height)), draw(st.integers(0, height))))
    left, right = sorted((draw(st.integers(0, width)), draw(st.integers(0, width))))
    shape = pixels[top:bottom, left:right].shape
    pixels[top:bottom, left:right] = noise.integers(0, 256, shape, np.uint8)
    return pixels


@given(pixels=pictures(), sizes=st.lists(st.tuples(sides, sides), min_size=1, max_size=3))
@settings(max_examples=400, deadline=None)
def test_every_value_is_that_of_the_whole(pixels: np.ndarray, sizes: list[tuple[int, int]]) -> None:
    planes = Planes(pixels, workspace)
    for width, height in sizes:
        np.testing.assert_array_equal(
            np.stack(planes.resized(width, height), axis=2), as_a_whole(pixels, width, height)
        )


@pytest.mark.parametrize("size", [(448, 448), (896, 1344), (1344, 448), (300, 2000)])
@pytest.mark.parametrize(
    "coloured",
    [Box(0, 0, 0, 0), Box(0, 0, 120, 90), Box(1700, 1200, 1754, 1241), Box(0, 0, 1754, 1241)],
)
def test_a_page_with_a_coloured_part_too(size: tuple[int, int], coloured: Box) -> None:
    noise = np.random.default_rng(7)
    pixels = np.repeat(noise.integers(0, 256, (1754, 1241, 1), np.uint8), 3, axis=2)
    part = pixels[coloured.top : coloured.bottom, coloured.left : coloured.right]
    part[...] = noise.integers(0, 256, part.shape, np.uint8)
    resized = Planes(pixels, workspace).resized(*size)
    np.testing.assert_array_equal(np.stack(resized, axis=2), as_a_whole(pixels, *size))


def test_the_order_of_colours_and_a_spare_byte_are_as_said() -> None:
    noise = np.random.default_rng(3)
    stored = noise.integers(0, 256, (40, 30, 4), np.uint8)
    red, green, blue = Planes(stored, workspace, order=(2, 1, 0)).planes
    np.testing.assert_array_equal(np.stack([red, green, blue], axis=2), stored[..., 2::-1])
