"""Pictures for a person to look at: the whole image, the page, or the frames that the model saw, at
a size for screens.

The decoder's answer is pixels, and `as_jpeg` encodes them in the caller's process. So a browser
gets only files that this project wrote, never bytes that a decoder or a stranger chose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from internvl_ops.media.document import picture_page
from internvl_ops.media.image import decode_image
from internvl_ops.media.parts import DecodeOptions, Part, picture_in
from internvl_ops.media.picture_pages import PicturePage
from internvl_ops.media.times import seconds_of
from internvl_ops.media.video import load_video

_QUALITY = 85


@dataclass
class Displayed:
    """A file, or a part of one, as pixels.

    Args:
        pictures: uint8 of shape (height, width, 3), RGB: one image or page, or the frames of a
            video.
        times: When each frame is shown, in seconds; empty for images and pages.
        notes: What a person who looks should know.
    """

    pictures: list[np.ndarray]
    times: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A file may have compromised the decoder that made this.
        for picture in self.pictures:
            if (
                picture.dtype != np.uint8
                or picture.ndim != 3
                or picture.shape[2] != 3
                or not picture.size
            ):
                raise ValueError(f"a picture of shape {picture.shape}")


def display(source: bytes | str, part: Part, options: DecodeOptions, side: int) -> Displayed:
    """Decodes a file or a part of it. Picklable and at module level, so that it can run in a
    sandbox.

    Args:
        source: The file's bytes, or a local path.
        part: The part to show.
        options: How the run read it.
        side: Pixels of a picture's longer side at most; smaller pictures keep their size.

    Raises:
        UnitError: Stage "decode".
    """
    if options.kind == "video":
        return _frames(source, part, options, side)
    if options.kind == "document":
        return _page(source, part, options, side)
    assert isinstance(source, bytes), "images are small enough to be passed as bytes"
    return _image(PicturePage(source), options, side)


def _image(picture: PicturePage, options: DecodeOptions, side: int) -> Displayed:
    pixels = decode_image(
        picture.data, replace(options.image, jpeg_scaling=False, stretch=picture.stretch)
    )
    return Displayed([_shrunk(pixels, pixels.shape[1], pixels.shape[0], side)])


def _page(source: bytes | str, part: Part, options: DecodeOptions, side: int) -> Displayed:
    if (picture := picture_in(source, part, options)) is not None:
        return _image(picture, options, side)
    page, _ = picture_page(source, part.page or 1, options.document)
    decoded = cv2.imdecode(np.frombuffer(page.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None, "the page was encoded here"
    pixels = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return Displayed([_shrunk(pixels, page.width, page.height, side)], notes=page.notes)


def _frames(source: bytes | str, part: Part, options: DecodeOptions, side: int) -> Displayed:
    start, end = seconds_of(part.start, "start"), seconds_of(part.end, "end")
    one_tile = replace(
        options.video,
        start=options.video.start if start is None else start,
        end=options.video.end if end is None else end,
        max_tiles=1,
        fit="stretch",
        tile_size=min(side, options.video.tile_size),
    )
    video = load_video(source, one_tile)
    pictures = [
        _shrunk(
            np.ascontiguousarray(tile.transpose(1, 2, 0)),
            video.width,
            video.height,
            one_tile.tile_size,
        )
        for tile in video.tiles
    ]
    return Displayed(pictures, [float(time) for time in video.timestamps], video.notes)


def _shrunk(pixels: np.ndarray, width: int, height: int, side: int) -> np.ndarray:
    """``pixels`` in the proportions of ``width`` to ``height``, with at most ``side`` pixels a
    side."""
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (pixels.shape[1], pixels.shape[0]):
        return pixels
    smaller = size[0] <= pixels.shape[1] and size[1] <= pixels.shape[0]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def cut_out(pixels: np.ndarray, place: Sequence[float]) -> bytes:
    """A part of a picture as JPEG, at least one pixel large.

    Args:
        pixels: uint8 of shape (height, width, 3), RGB.
        place: Left, top, right and bottom, as shares of its width and height.
    """
    height, width = pixels.shape[:2]
    left, right = _ends(place[0], place[2], width)
    top, bottom = _ends(place[1], place[3], height)
    return as_jpeg(np.ascontiguousarray(pixels[top:bottom, left:right]))


def _ends(start: float, end: float, size: int) -> tuple[int, int]:
    first = min(max(0, math.floor(start * size)), size - 1)
    return first, min(max(first + 1, math.ceil(end * size)), size)


def as_jpeg(pixels: np.ndarray) -> bytes:
    """Encodes uint8 pixels of shape (height, width, 3), RGB."""
    done, file = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    assert done, "pixels in memory can always be encoded"
    return file.tobytes()
