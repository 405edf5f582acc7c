"""Tiling against the model cards' rule and pixels, both written down here a second time and in
another way."""

from __future__ import annotations

import itertools
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from internvl_ops.media.tiling import choose_grid, share_tile_budget, tile_image
from testing.pictures import natural

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


@lru_cache(1000)
def cards_shapes(least: int, most: int) -> list[tuple[int, int]]:
    """By area; of equal areas in the order of the cards' set, which is that of its hashes and of
    what came in when."""
    shapes: set[tuple[int, int]] = set()
    for count in range(least, most + 1):
        shapes.update(
            (i, j)
            for i in range(1, count + 1)
            for j in range(1, count + 1)
            if least <= i * j <= most
        )
    return [
        shape for area in range(least, most + 1) for shape in shapes if shape[0] * shape[1] == area
    ]


def cards_grid(width: int, height: int, least: int, most: int, side: int) -> tuple[int, int]:
    """Of the shapes nearest to the image's, the first by area, or the last one that its pixels more
    than half fill."""
    shapes = cards_shapes(least, most)
    distances = [abs(width / height - i / j) for i, j in shapes]
    nearest = [
        shape
        for shape, distance in zip(shapes, distances, strict=True)
        if distance == min(distances)
    ]
    filled = [
        (i, j)
        for i, j in nearest[1:]
        if Fraction(width * height) > Fraction(side * side * i * j, 2)
    ]
    return filled[-1] if filled else nearest[0]


def cards_pixels(image: Image.Image, side: int, most: int) -> np.ndarray:
    """The cards' float32 input, (tiles, 3, side, side): each tile to [0, 1], then ImageNet's mean
    and deviation."""
    columns, rows = cards_grid(*image.size, 1, most, side)
    whole = image.resize((columns * side, rows * side))
    boxes = [
        (x * side, y * side, (x + 1) * side, (y + 1) * side)
        for y in range(rows)
        for x in range(columns)
    ]
    tiles = [whole.crop(box) for box in boxes]
    if len(tiles) > 1:
        tiles.append(image.resize((side, side)))
    return np.stack([normalised(np.asarray(tile).transpose(2, 0, 1)) for tile in tiles])


def normalised(tiles: np.ndarray) -> np.ndarray:
    return (tiles.astype(np.float32) / np.float32(255) - MEAN[:, None, None]) / STD[:, None, None]


sides = st.integers(1, 5000) | st.integers(1, 200_000)
most_tiles = st.integers(1, 40)


@st.composite
def shaped_sizes(draw: st.DrawFn) -> tuple[int, int]:
    """Sizes at or next to the shape of a grid, or halfway between two: where ties and near-ties
    are."""
    i, j, k, m = (draw(st.integers(1, 40)) for _ in range(4))
    shape = Fraction(i, j) if draw(st.booleans()) else (Fraction(i, j) + Fraction(k, m)) / 2
    factor = draw(st.integers(1, 2000))
    width, height = shape.numerator * factor, shape.denominator * factor
    return max(1, width + draw(st.integers(-1, 1))), max(1, height + draw(st.integers(-1, 1)))


class TestChooseGrid:
    @given(
        size=st.tuples(sides, sides) | shaped_sizes(),
        most=most_tiles,
        side=st.sampled_from([448, 224, 364, 28]),
    )
    @settings(max_examples=400, deadline=None)
    def test_is_the_cards_rule(self, size: tuple[int, int], most: int, side: int) -> None:
        assert choose_grid(*size, max_tiles=most, tile_size=side) == cards_grid(
            *size, 1, most, side
        )

    @given(size=st.tuples(sides, sides) | shaped_sizes(), most=most_tiles, data=st.data())
    @settings(max_examples=300, deadline=None)
    def test_is_the_cards_rule_with_a_least_number_of_tiles(
        self, size: tuple[int, int], most: int, data: st.DataObject
    ) -> None:
        least = data.draw(st.integers(1, most))
        assert choose_grid(*size, min_tiles=least, max_tiles=most) == cards_grid(
            *size, least, most, 448
        )

    @pytest.mark.parametrize(
        ("size", "grid"),
        [
            ((633, 633), (1, 1)),
            ((634, 634), (2, 2)),  # more than half of 2x2 tiles: 401,408 pixels
            ((950, 950), (2, 2)),
            ((951, 951), (3, 3)),  # 903,168
            ((1266, 633), (2, 1)),
            ((1268, 634), (4, 2)),  # 802,816
            ((1899, 633), (3, 1)),
            ((1902, 634), (6, 2)),  # 1,204,224
            ((448, 896), (1, 2)),
            ((634, 1268), (2, 4)),
            ((634, 1902), (2, 6)),
            ((1, 1), (1, 1)),
            ((50_000, 1), (12, 1)),
            ((1, 50_000), (1, 12)),
            ((640, 480), (4, 3)),
            ((1920, 1080), (4, 2)),
        ],
    )
    def test_ties_go_to_the_larger_grid_only_if_the_image_half_fills_it(
        self, size: tuple[int, int], grid: tuple[int, int]
    ) -> None:
        assert choose_grid(*size) == grid

    @pytest.mark.parametrize("size", [(3150, 1260), (3000, 1200), (2000, 800)])
    def test_of_equal_areas_the_one_that_the_cards_set_has_first(
        self, size: tuple[int, int]
    ) -> None:
        assert choose_grid(*size, min_tiles=4, max_tiles=4) == (2, 2)

    @pytest.mark.parametrize("most", [4, 6, 9, 12, 20])
    def test_every_tie_between_two_grids(self, most: int) -> None:
        for least in range(2, most + 1):
            shapes = {
                (i, j)
                for i in range(1, most + 1)
                for j in range(1, most + 1)
                if least <= i * j <= most
            }
            ratios = sorted({Fraction(i, j) for i, j in shapes})
            for low, high in itertools.pairwise(ratios):
                shape = (low + high) / 2
                for factor in (1, -(-1500 // shape.numerator)):
                    size = shape.numerator * factor, shape.denominator * factor
                    expected = cards_grid(*size, least, most, 448)
                    assert choose_grid(*size, min_tiles=least, max_tiles=most) == expected

    def test_a_shape_halfway_between_two_grids_is_a_tie_as_well(self) -> None:
        assert choose_grid(546, 364, max_tiles=2) == (1, 1)
        # more than half of 2x1 tiles: 200,704 pixels
        assert choose_grid(549, 366, max_tiles=2) == (2, 1)

    @pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5)])
    def test_refuses_an_image_without_pixels(self, size: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="at least 1 pixel"):
            choose_grid(*size)

    @pytest.mark.parametrize(("least", "most"), [(0, 12), (13, 12), (1, 0)])
    def test_refuses_tile_numbers_that_leave_no_grid(self, least: int, most: int) -> None:
        with pytest.raises(ValueError, match="1 <= min_tiles <= max_tiles"):
            choose_grid(10, 10, min_tiles=least, max_tiles=most)


class TestExactTiles:
    @given(
        width=st.integers(1, 300),
        height=st.integers(1, 300),
        most=most_tiles,
        side=st.sampled_from([14, 28, 56]),
    )
    @example(width=300, height=1, most=40, side=56)
    @example(width=1, height=300, most=40, side=56)
    @settings(max_examples=60, deadline=None)
    def test_are_bit_identical_to_the_cards(
        self, width: int, height: int, most: int, side: int
    ) -> None:
        image = natural(width, height, seed=width * 1000 + height)
        tiles = tile_image(image, tile_size=side, max_tiles=most, resize="exact")
        assert np.array_equal(normalised(tiles), cards_pixels(image, side, most))

    @pytest.mark.parametrize("size", [(640, 480), (1000, 1500), (333, 1200)])
    def test_are_bit_identical_to_the_cards_at_full_size(self, size: tuple[int, int]) -> None:
        image = natural(*size)
        assert np.array_equal(
            normalised(tile_image(image, resize="exact")), cards_pixels(image, 448, 12)
        )


class TestFastTiles:
    @given(
        width=st.integers(1, 700), height=st.integers(1, 700), side=st.sampled_from([56, 112, 224])
    )
    @example(width=100, height=900, side=224)
    @example(width=447, height=449, side=448)
    @settings(max_examples=60, deadline=None)
    def test_differ_little_and_rarely_from_the_cards(
        self, width: int, height: int, side: int
    ) -> None:
        self.check(natural(width, height, seed=width * 1000 + height), side)

    @pytest.mark.parametrize(
        "size",
        [
            (640, 480),
            (480, 640),
            (1536, 1152),
            (1350, 900),
            (2400, 300),
            (300, 2400),
            (2000, 1500),
            (64, 64),
        ],
    )
    def test_differ_little_and_rarely_at_full_size(self, size: tuple[int, int]) -> None:
        self.check(natural(*size), 448)

    def test_differ_little_and_rarely_on_noise(self) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (500, 700, 3), dtype=np.uint8)
        self.check(Image.fromarray(noise), 448)

    @staticmethod
    def check(image: Image.Image, side: int) -> None:
        """At most 2/255 off, on under 1 % of values; a handful is allowed where there are few
        values."""
        fast = tile_image(image, tile_size=side).astype(int)
        off = np.abs(fast - tile_image(image, tile_size=side, resize="exact"))
        assert off.max() <= 2
        assert np.count_nonzero(off) < max(0.01 * off.size, 50)


class TestTileImage:
    @pytest.mark.parametrize("resize", ["fast", "exact"])
    @pytest.mark.parametrize("size", [(1, 1), (50, 40), (448, 448), (90, 700), (2000, 3)])
    def test_number_and_order_of_tiles(self, size: tuple[int, int], resize: str) -> None:
        columns, rows = choose_grid(*size, tile_size=56)
        tiles = tile_image(natural(*size), tile_size=56, resize=resize)
        bare = tile_image(natural(*size), tile_size=56, resize=resize, thumbnail=False)
        assert tiles.dtype == np.uint8
        assert len(bare) == columns * rows
        assert len(tiles) == len(bare) + (len(bare) > 1)
        assert np.array_equal(tiles[: len(bare)], bare)

    def test_tiles_run_row_by_row_and_the_thumbnail_is_last(self) -> None:
        image = Image.new("RGB", (300, 200))
        for index in range(6):
            column, row = index % 3, index // 3
            image.paste(
                (40 * index, 0, 0), (column * 100, row * 100, column * 100 + 100, row * 100 + 100)
            )
        tiles = tile_image(image, tile_size=28, max_tiles=6)
        assert [int(np.median(tile[0])) for tile in tiles[:6]] == [0, 40, 80, 120, 160, 200]
        assert tiles[6, 0, 0, 0] < 5
        assert tiles[6, 0, -1, -1] > 195

    def test_takes_arrays_as_well(self) -> None:
        image = natural(120, 90)
        assert np.array_equal(
            tile_image(np.asarray(image), tile_size=28), tile_image(image, tile_size=28)
        )

    def test_leaves_its_input_alone(self) -> None:
        pixels = np.array(natural(120, 90))
        before = pixels.copy()
        tile_image(pixels, tile_size=28)
        assert np.array_equal(pixels, before)

    def test_refuses_what_is_not_rgb(self) -> None:
        with pytest.raises(ValueError, match="mode L"):
            tile_image(Image.new("L", (5, 5)))
        with pytest.raises(ValueError, match="float64"):
            tile_image(np.zeros((5, 5, 3)))

    def test_refuses_an_unknown_way_to_resize(self) -> None:
        with pytest.raises(ValueError, match="'quick' is not allowed"):
            tile_image(Image.new("RGB", (5, 5)), resize="quick")  # type: ignore[arg-type]


class TestShareTileBudget:
    @pytest.mark.parametrize(
        ("most", "images", "training", "evaluation"),
        [
            (12, 1, 12, 12),
            (12, 2, 6, 12),
            (12, 5, 2, 12),
            (12, 13, 1, 4),
            (24, 4, 6, 16),
            (6, 100, 1, 1),
            (1, 3, 1, 1),
        ],
    )
    def test_rules(self, most: int, images: int, training: int, evaluation: int) -> None:
        assert share_tile_budget(most, images) == training
        assert share_tile_budget(most, images, rule="evaluation") == evaluation

    def test_refuses_a_prompt_without_images(self) -> None:
        with pytest.raises(ValueError, match="num_images 0"):
            share_tile_budget(12, 0)
