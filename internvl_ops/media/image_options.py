"""How images are decoded and tiled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from internvl_ops.media.fits import Fit
from internvl_ops.media.tiling import Resize

Exif = Literal["apply", "ignore"]
_CHOICES = {
    "exif": get_args(Exif),
    "alpha": ("white", "drop"),
    "truncated": ("error", "accept"),
    "resize": ("fast", "exact"),
}


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """How image files are read.

    Args:
        max_pixels: Larger images are refused by their header, before decoding. 200 million pixels
            need 1 to 3 GB during decoding; lower the limit on small machines.
        alpha: "white" composites transparent pixels on white. "drop" ignores transparency, as the
            model cards do, and shows the colour under it; use it to reproduce their pixels.
        truncated: "error" refuses a truncated file. "accept" keeps what is there and leaves the
            rest grey or black; use it where a part of an image is better than none.
        tile_size: Side of a tile in pixels, from the checkpoint.
        min_tiles: Minimum number of tiles, without the thumbnail.
        max_tiles: Maximum number of tiles, without the thumbnail.
        thumbnail: Append the whole image as one more tile when there are several.
        fit: How it gets the shape of its tiles; see `tile_image`.
        enlarge: First enlarge it; see `tile_image`. Of a row with several images, only the first
            is.
        resize: "fast" or "exact"; see `tile_image`.
        jpeg_scaling: Let the JPEG decoder shrink by 2, 4 or 8 if the tiles need at most half the
            pixels. Faster for photographs far larger than their tiles; changes pixels slightly, so
            leave it off for comparisons.
        exif: "apply" turns images upright by their EXIF orientation. "ignore" keeps them as stored,
            like the model cards' code; use it to reproduce published figures. TIFF is always
            turned, because Pillow does so itself.
        stretch: By how much the upright image is made higher or, below 1, wider; for files whose
            pixels are not square.
    """

    max_pixels: int = 200_000_000
    alpha: Literal["white", "drop"] = "white"
    truncated: Literal["error", "accept"] = "error"
    tile_size: int = 448
    min_tiles: int = 1
    max_tiles: int = 12
    thumbnail: bool = True
    fit: Fit = "stretch"
    enlarge: int = 1
    resize: Resize = "fast"
    jpeg_scaling: bool = False
    exif: Exif = "apply"
    stretch: float = 1.0

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} {getattr(self, name)!r} is not allowed: {' or '.join(allowed)}"
                )
        if not 1 <= self.min_tiles <= self.max_tiles:
            raise ValueError(
                f"min_tiles {self.min_tiles} with max_tiles {self.max_tiles} is not allowed: "
                "1 <= min_tiles <= max_tiles is needed"
            )
        for name in ("max_pixels", "tile_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} {getattr(self, name)} is not allowed: at least 1 is needed"
                )
