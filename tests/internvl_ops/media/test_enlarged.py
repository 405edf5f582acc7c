"""Images that are enlarged before they are tiled, as VLMEvalKit does with the first image of a
question of MMMU."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from internvl_ops.media.access import ReadPolicy
from internvl_ops.media.image import load_image
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.parts import DecodeOptions
from internvl_ops.media.tiling import tile_image
from internvl_ops.media_reader import MediaReader, MediaRef, ReadLimits, Unit


def png(width: int, height: int) -> bytes:
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(("width", "height"), [(320, 320), (90, 50), (448, 896)])
def test_it_is_pillows_bilinear_before_the_tiles(width: int, height: int) -> None:
    data = png(width, height)
    larger = Image.open(io.BytesIO(data)).resize((2 * width, 2 * height), Image.Resampling.BILINEAR)
    found = load_image(data, ImageOptions(enlarge=2, resize="exact"))

    np.testing.assert_array_equal(found.tiles, tile_image(larger, resize="exact"))
    # boxes and results are about the original
    assert (found.width, found.height) == (width, height)


def test_a_larger_image_can_have_a_larger_grid() -> None:
    # Of grids with the same shape the largest is taken whose half is filled: 640² > 2 · 448², and
    # 320² is not.
    data = png(320, 320)
    assert len(load_image(data).tiles) == 1
    assert len(load_image(data, ImageOptions(enlarge=2)).tiles) == 5


@pytest.mark.parametrize(("share", "tiles"), [("evaluation", [5, 1]), ("training", [5, 1])])
def test_of_several_images_only_the_first_is_enlarged(share: str, tiles: list[int]) -> None:
    options = DecodeOptions(image=ImageOptions(enlarge=2), tile_share=share)  # type: ignore[arg-type]
    reader = MediaReader(ReadPolicy("/"), options, ReadLimits())
    unit = Unit([], [MediaRef("", png(320, 320)), MediaRef("", png(320, 320))])

    loaded = [reader.load(unit.media[place].data or b"", unit, place) for place in (0, 1)]
    assert [len(one.tiles) for one in loaded] == tiles  # type: ignore[union-attr]
    assert reader.count_tiles([unit]) == [sum(tiles)]


@pytest.mark.parametrize(("share", "tiles"), [("training", 6), ("evaluation", 12)])
def test_how_two_images_share_twelve_tiles(share: str, tiles: int) -> None:
    options = DecodeOptions(tile_share=share)  # type: ignore[arg-type]
    reader = MediaReader(ReadPolicy("/"), options, ReadLimits())
    wide = png(4 * 448 * 3, 4 * 448)  # 3 : 1 fills 12 tiles as 6 by 2, and 6 tiles only as 3 by 1
    unit = Unit([], [MediaRef("", wide), MediaRef("", wide)])
    [count] = reader.count_tiles([unit])
    assert count == 2 * ((12 if tiles == 12 else 3) + 1)
