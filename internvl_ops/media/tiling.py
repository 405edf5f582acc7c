"""Cuts an image into the square tiles that InternVL reads, by the model cards' dynamic tiling
rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from internvl_ops.media import shared
from internvl_ops.media.fits import Fit
from internvl_ops.media.planes import Planes, bicubic, is_mostly_grey, resizes_rows_first
from internvl_ops.media.workspace import Workspace

Resize = Literal["fast", "exact"]
# uint8 (height, width, 3), or red, green and blue: uint8 (height, width) each
Resized = np.ndarray | Sequence[np.ndarray]
LONGEST = 4  # of a crop, sides of the result; what lies further out is cut off before resizing
MEAN_COLOUR = (123, 116, 103)  # ImageNet's, rounded down to integers as in the published code
# imported only by processes that resize: it takes seconds, which drivers and engine actors save
RESIZER = "torch"


def choose_grid(
    width: int, height: int, *, min_tiles: int = 1, max_tiles: int = 12, tile_size: int = 448
) -> tuple[int, int]:
    """Chooses the numbers of columns and rows of tiles into which an image is cut.

    The grid whose shape is nearest to the image's wins. Between grids of the same shape (1x1, 2x2,
    3x3), the larger one wins only if the image has more than half the pixels of the size to which
    it would be resized.

    Args:
        width: Width of the upright original, in pixels.
        height: Height of the upright original, in pixels.
        min_tiles: Minimum number of tiles, without the thumbnail.
        max_tiles: Maximum number of tiles, without the thumbnail.
        tile_size: Side of a tile in pixels.

    Returns:
        Columns and rows.

    Raises:
        ValueError: A size below one pixel, or no grid between ``min_tiles`` and ``max_tiles``.
    """
    if width < 1 or height < 1:
        raise ValueError(
            f"image size {width}x{height} is not allowed: both sides must be at least 1 pixel"
        )
    # The cards compare IEEE doubles: exactly these divisions decide whether two grids tie.
    shape = width / height
    best, best_distance = (1, 1), float("inf")
    for columns, rows in _grids(min_tiles, max_tiles):
        distance = abs(shape - columns / rows)
        enough_pixels = width * height > 0.5 * tile_size * tile_size * columns * rows
        if distance < best_distance or (distance == best_distance and enough_pixels):
            best, best_distance = (columns, rows), distance
    return best


def count_tiles(
    width: int,
    height: int,
    *,
    min_tiles: int = 1,
    max_tiles: int = 12,
    tile_size: int = 448,
    thumbnail: bool = True,
) -> int:
    """The number of tiles that `tile_image` makes of an image, including the thumbnail; same
    arguments as there."""
    columns, rows = choose_grid(
        width, height, min_tiles=min_tiles, max_tiles=max_tiles, tile_size=tile_size
    )
    return columns * rows + (thumbnail and columns * rows != 1)


def tile_image(
    image: Image.Image | np.ndarray,
    *,
    tile_size: int = 448,
    min_tiles: int = 1,
    max_tiles: int = 12,
    thumbnail: bool = True,
    resize: Resize = "fast",
    original_size: tuple[int, int] | None = None,
    workspace: Workspace | None = None,
    fit: Fit = "stretch",
    enlarge: int = 1,
) -> np.ndarray:
    """Resizes an image to its grid and cuts it into tiles.

    Args:
        image: RGB, upright: a Pillow image, or uint8 of shape (height, width, 3), which is not
            copied.
        tile_size: Side of a tile in pixels, the checkpoint's image size.
        min_tiles: Minimum number of tiles, without the thumbnail.
        max_tiles: Maximum number of tiles, without the thumbnail. The 2.x checkpoints were trained
            with 12; 24 and more help dense text.
        thumbnail: Append the whole image, distorted to one tile, when there is more than one tile.
        resize: "fast" uses torch's 8-bit bicubic, which differs from the cards by at most 2/255, on
            under 1 % of values. "exact" reproduces the cards' pixels bit for bit, at about a third
            of the speed.
        original_size: Width and height that decide the grid, if ``image`` was shrunk during
            decoding.
        workspace: Memory to resize in, kept from image to image. ``image`` may lie in its buffer
            0.
        fit: How a picture that has another shape than its grid gets that shape. "stretch" distorts
            it, as the family's chat checkpoints were trained. "pad" first makes it a square, with
            the mean colour at its shorter sides. "crop" makes its shorter side as long as a tile
            and takes the middle, like CLIPImageProcessor; there is then one tile.
        enlarge: First make the image so many times as wide and as high, as VLMEvalKit does for
            MMMU.

    Returns:
        uint8 of shape (tiles, 3, tile_size, tile_size), row by row from the top left, the thumbnail
        last.
    """
    if resize not in ("fast", "exact"):
        raise ValueError(f'resize {resize!r} is not allowed: "fast" or "exact"')
    width, height = _size(image)
    if fit == "crop":
        return _cropped(np.asarray(image), tile_size, resize, workspace)
    if fit == "pad" and width != height:
        image, original_size, workspace = _padded(np.asarray(image)), None, None
    if enlarge > 1:
        image, original_size, workspace = _enlarged(image, enlarge), None, None
    width, height = original_size or _size(image)
    columns, rows = choose_grid(
        width, height, min_tiles=min_tiles, max_tiles=max_tiles, tile_size=tile_size
    )
    return _tiles(_resizer(image, resize, workspace), columns, rows, tile_size, thumbnail)


def tile_planes(
    planes: Planes, *, tile_size: int, min_tiles: int, max_tiles: int, thumbnail: bool
) -> np.ndarray:
    """Does the same as `tile_image` with ``resize="fast"`` and ``fit="stretch"`` for a picture
    whose colours are apart."""
    columns, rows = choose_grid(
        planes.width, planes.height, min_tiles=min_tiles, max_tiles=max_tiles, tile_size=tile_size
    )
    return _tiles(planes.resized, columns, rows, tile_size, thumbnail)


def _tiles(
    resized: Callable[[int, int], Resized],
    columns: int,
    rows: int,
    size: int,
    thumbnail: bool,
) -> np.ndarray:
    count = columns * rows
    with_thumbnail = thumbnail and count != 1
    tiles = shared.empty((count + with_thumbnail, 3, size, size))
    if with_thumbnail:  # from the original, as in the cards
        cut(resized(size, size), 1, 1, tiles[count:])
    cut(resized(columns * size, rows * size), columns, rows, tiles)
    return tiles


def cut(picture: Resized, columns: int, rows: int, tiles: np.ndarray) -> None:
    """Writes a picture of the size of a grid into its tiles.

    Args:
        picture: uint8 of shape (rows · S, columns · S, 3), or its red, green and blue.
        columns: Columns of the grid.
        rows: Rows of the grid.
        tiles: uint8 of shape (at least columns · rows, 3, S, S).
    """
    size = tiles.shape[-1]
    for index in range(columns * rows):
        top, left = index // columns * size, index % columns * size
        place = slice(top, top + size), slice(left, left + size)
        if isinstance(picture, np.ndarray):
            # ten times as fast as numpy's strided copy
            cv2.split(picture[place], list(tiles[index]))
        else:
            for colour, plane in enumerate(picture):
                tiles[index, colour] = plane[place]


def join_tiles(tiles: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """The picture that was cut into tiles.

    Args:
        tiles: uint8 of shape (tiles, 3, S, S), from `tile_image`, with or without the thumbnail.
        columns: Columns of the grid.
        rows: Rows of the grid.

    Returns:
        uint8 of shape (rows · S, columns · S, 3).
    """
    size = tiles.shape[-1]
    grid = tiles[: columns * rows].reshape(rows, columns, 3, size, size)
    return grid.transpose(0, 3, 1, 4, 2).reshape(rows * size, columns * size, 3)


TileShare = Literal["training", "evaluation"]


def share_tile_budget(max_tiles: int, num_images: int, *, rule: TileShare = "training") -> int:
    """The number of tiles that each image may have when a prompt contains several.

    Args:
        max_tiles: Maximum tiles of a single image.
        num_images: Number of images in the prompt.
        rule: "training" divides ``max_tiles`` among the images, as in InternVL's training.
            "evaluation" gives each image ``max_tiles`` as long as their total is at most 64, like
            VLMEvalKit; use it to reproduce its scores.
    """
    if num_images < 1:
        raise ValueError(
            f"num_images {num_images} is not allowed: tiles are shared among at least 1 image"
        )
    if rule == "training":
        return max(1, max_tiles // num_images)
    return max(1, min(max_tiles, 64 // num_images))


@lru_cache(maxsize=256)
def _grids(min_tiles: int, max_tiles: int) -> tuple[tuple[int, int], ...]:
    if not 1 <= min_tiles <= max_tiles:
        raise ValueError(
            f"min_tiles {min_tiles} with max_tiles {max_tiles} is not allowed: 1 <= min_tiles <="
            " max_tiles is needed"
        )
    # The cards sort a set by area alone, so grids of equal area keep the order of the set. That
    # order follows from the hashes of the pairs and from their order of insertion, which is the
    # same here as in the cards, repeats included.
    grids = {
        (columns, rows)
        for side in range(min_tiles, max_tiles + 1)
        for columns in range(1, side + 1)
        for rows in range(1, side + 1)
        if min_tiles <= columns * rows <= max_tiles
    }
    return tuple(sorted(grids, key=lambda grid: grid[0] * grid[1]))


def _size(image: Image.Image | np.ndarray) -> tuple[int, int]:
    if isinstance(image, Image.Image):
        if image.mode != "RGB":
            raise ValueError(f"image mode {image.mode} is not allowed: convert it to RGB first")
        return image.size
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"array {image.dtype} {image.shape} is not allowed: uint8 (height, width, 3) is needed"
        )
    return image.shape[1], image.shape[0]


def _padded(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    side = max(width, height)
    square = np.full((side, side, 3), MEAN_COLOUR, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def _cropped(
    pixels: np.ndarray, side: int, resize: Resize, workspace: Workspace | None
) -> np.ndarray:
    height, width = pixels.shape[:2]
    if max(width, height) > LONGEST * min(width, height):
        pixels = _middle(pixels, min(width, LONGEST * height), min(height, LONGEST * width))
        height, width = pixels.shape[:2]
    short = min(width, height)
    new_width, new_height = (int(side * old / short) for old in (width, height))
    resized = _resizer(pixels, resize, workspace)(new_width, new_height)
    tiles = shared.empty((1, 3, side, side))
    if isinstance(resized, np.ndarray):
        cut(np.ascontiguousarray(_middle(resized, side, side)), 1, 1, tiles)
    else:
        cut([_middle(plane, side, side) for plane in resized], 1, 1, tiles)
    return tiles


def _middle(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _resizer(
    image: Image.Image | np.ndarray, resize: Resize, workspace: Workspace | None
) -> Callable[[int, int], Resized]:
    return (
        _exact_resizer(image)
        if resize == "exact"
        else _fast_resizer(image, workspace or Workspace())
    )


def _enlarged(image: Image.Image | np.ndarray, times: int) -> Image.Image:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return picture.resize(
        (times * picture.width, times * picture.height), Image.Resampling.BILINEAR
    )


# Each function returns a function (width, height) -> the picture in that size.


def _exact_resizer(
    image: Image.Image | np.ndarray,
) -> Callable[[int, int], Resized]:
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return lambda width, height: np.asarray(
        picture.resize((width, height), Image.Resampling.BICUBIC)
    )


def _fast_resizer(
    image: Image.Image | np.ndarray, workspace: Workspace
) -> Callable[[int, int], Resized]:
    # Pillow returns read-only memory, which torch refuses
    pixels = np.require(image, np.uint8, ["C", "W"])
    if is_mostly_grey(pixels):
        return Planes(pixels, workspace).resized
    old_height, old_width = pixels.shape[:2]

    def together(width: int, height: int) -> np.ndarray:
        rows_first = resizes_rows_first(old_width, old_height, width, height)
        between = workspace.array(
            1, (height, old_width, 3) if rows_first else (old_height, width, 3)
        )
        bicubic(pixels, between)
        resized = workspace.array(2, (height, width, 3))
        bicubic(between, resized)
        return resized

    return together


def stretched(
    pixels: np.ndarray, size: tuple[int, int], stretch: float
) -> tuple[np.ndarray, tuple[int, int]]:
    """Makes the pixels of a picture square by enlarging it in one direction.

    Args:
        pixels: uint8 (height, width, 3).
        size: Width and height of the original, in pixels; the pixels may have been shrunk.
        stretch: By how much it is made higher or, below 1, wider.

    Returns:
        The pixels, and the size of the original in square pixels.
    """
    if stretch == 1:
        return pixels, size
    wider, higher = max(1.0, 1 / stretch), max(1.0, stretch)
    return cv2.resize(pixels, None, fx=wider, fy=higher), (
        round(size[0] * wider),
        round(size[1] * higher),
    )
