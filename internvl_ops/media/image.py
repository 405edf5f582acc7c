"""Turns the bytes of an image file into the tiles that InternVL reads.

Colour is kept simple: embedded profiles are ignored and every file is treated as sRGB, as in the
model cards. Pillow opens the kinds of files that it reads correctly. TIFF of other kinds, JPEG XL
and files that Pillow cannot decode have their own readers, with the same few attributes (`Reader`).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from PIL import Image
from PIL.Image import open as open_picture

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media import heif, jpeg
from internvl_ops.media.image_file import (
    PILLOW_FORMATS,
    Reader,
    open_image,
    too_much_text,
    without_text,
)
from internvl_ops.media.image_options import ImageOptions
from internvl_ops.media.library_settings import decoder_settings
from internvl_ops.media.orientation import UPRIGHT, orientation_of, upright_size
from internvl_ops.media.pillow_samples import pillow_rgb
from internvl_ops.media.sniff import described
from internvl_ops.media.tiling import choose_grid, stretched, tile_image
from internvl_ops.media.workspace import Workspace

# takes uint8 pixels of shape (height, width, 3), RGB, and keeps what it saw
Look = Callable[[np.ndarray], None]
_workspace = Workspace()


@dataclass
class TiledImage:
    """An image ready for the model.

    Args:
        tiles: uint8 of shape (tiles, 3, tile_size, tile_size), the thumbnail last.
        width: Width of the upright original, in pixels.
        height: Height of the upright original, in pixels.
        notes: What a reader of the result should know, such as "first frame of 12".
    """

    tiles: np.ndarray
    width: int
    height: int
    notes: list[str] = field(default_factory=list)


def load_image(
    data: bytes, options: ImageOptions | None = None, look: Look | None = None
) -> TiledImage:
    """Decodes one image file, turns it upright and cuts it into tiles.

    Args:
        data: The file's bytes.
        options: How to read it.
        look: Called with the upright pixels before they are cut.

    Raises:
        UnitError: Stage "decode"; kind "unsupported" for what is not an image, "corrupt" for a
            damaged one, "too_large" for one above ``max_pixels`` or beyond memory.
    """
    options = options or ImageOptions()
    with _failures_told(data), decoder_settings(options.truncated):
        pixels, size, notes = _decode_upright(data, options)
    if look is not None:
        look(pixels)
    tiles = tile_image(
        pixels,
        tile_size=options.tile_size,
        min_tiles=options.min_tiles,
        max_tiles=options.max_tiles,
        thumbnail=options.thumbnail,
        fit=options.fit,
        enlarge=options.enlarge,
        resize=options.resize,
        original_size=size,
        workspace=_workspace,
    )
    return TiledImage(tiles, *size, notes)


def image_size(data: bytes, options: ImageOptions | None = None) -> tuple[int, int]:
    """Width and height of an upright image in pixels, read from its header without decoding.

    Raises:
        UnitError: As in `load_image`, for problems that the header shows.
    """
    with _failures_told(data), decoder_settings():
        image = open_image(data, (options or ImageOptions()).max_pixels)
        if not isinstance(image, Image.Image):
            return upright_size(image.size, image.orientation)
        left, top, right, bottom = _crop(data, image) or (0, 0, *image.size)
        return upright_size(
            (right - left, bottom - top), _turn(image, options or ImageOptions(), [])
        )


@dataclass
class Picture:
    """An image, page or frame as a file that any model server reads.

    Args:
        data: A JPEG or PNG file.
        width: Width of the upright picture, in pixels.
        height: Height of the upright picture, in pixels.
        notes: What a reader of the result should know.
    """

    data: bytes
    width: int
    height: int
    notes: list[str] = field(default_factory=list)


def load_picture(
    data: bytes, options: ImageOptions | None = None, look: Look | None = None
) -> Picture:
    """Decodes one image file, turns it upright and encodes it without loss, for servers that tile
    themselves.

    A JPEG that needs no change is returned as it is.

    Args:
        data: The file's bytes.
        options: How to read it; options for tiles are ignored.
        look: Called with the upright pixels.

    Raises:
        UnitError: As in `load_image`.
    """
    options = replace(options or ImageOptions(), jpeg_scaling=False)
    with _failures_told(data), decoder_settings(options.truncated):
        pixels, size, notes = _decode_upright(data, options)
        as_it_is = options.truncated == "error" and not notes and _is_plain_jpeg(data)
    if look is not None:
        look(pixels)
    return Picture(data if as_it_is else encode_png(pixels), *size, notes)


def decode_image(data: bytes, options: ImageOptions) -> np.ndarray:
    """Decodes one image file and turns it upright. Returns uint8 (height, width, 3), RGB.

    Raises:
        UnitError: As in `load_image`.
    """
    with _failures_told(data), decoder_settings(options.truncated):
        return _decode_upright(data, options)[0]


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes uint8 pixels of shape (height, width, 3), RGB, as PNG; fast rather than small."""
    done, file = cv2.imencode(
        ".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    assert done, "pixels in memory can always be encoded"
    return file.tobytes()


def _is_plain_jpeg(data: bytes) -> bool:
    image = open_picture(io.BytesIO(data), formats=PILLOW_FORMATS)
    return image.format == "JPEG" and image.mode in ("RGB", "L") and orientation_of(image, []) == 1


def _decode_upright(
    data: bytes, options: ImageOptions
) -> tuple[np.ndarray, tuple[int, int], list[str]]:
    """Returns uint8 (height, width, 3), the original's size (the pixels may have been shrunk), and
    notes."""
    notes: list[str] = []
    image = open_image(data, options.max_pixels)
    if not isinstance(image, Image.Image):
        pixels, orientation, size = _read(image, options, notes), image.orientation, image.size
    else:
        try:
            pixels, orientation, size = _decode_pillow(data, image, options, notes)
        except ValueError as error:
            if not too_much_text(error):
                raise
            notes.clear()
            return _decode_upright(without_text(data), options)
    if orientation in UPRIGHT:
        pixels = UPRIGHT[orientation](pixels)
    if options.stretch != 1:
        notes.append("pixels made square")
    return *stretched(pixels, upright_size(size, orientation), options.stretch), notes


def _read(reader: Reader, options: ImageOptions, notes: list[str]) -> np.ndarray:
    pixels = reader.rgb(options.alpha, notes, accept_cut=options.truncated == "accept")
    if (count := reader.count_pages()) > 1:
        notes.insert(0, f"first page of {count}")
    return pixels


def _decode_pillow(
    data: bytes, image: Image.Image, options: ImageOptions, notes: list[str]
) -> tuple[np.ndarray, int, tuple[int, int]]:
    """Returns the pixels as stored, the orientation still to undo, and the stored size."""
    _note_frames(image, notes)
    # A photograph's orientation is needed before its decoder may shrink it. The other decoders turn
    # images themselves (TIFF, HEIF) or read EXIF from the end of the file (PNG), so their
    # orientation is read after decoding.
    if image.format in ("JPEG", "MPO"):
        orientation, size = _turn(image, options, notes), image.size
        return _decode_jpeg(data, image, orientation, options, notes), orientation, size
    _load(data, image, options)
    orientation, size = _turn(image, options, notes), image.size
    pixels = pillow_rgb(image, data, options.alpha, notes)
    if (crop := _crop(data, image)) is not None:
        left, top, right, bottom = crop
        pixels, size = pixels[top:bottom, left:right], (right - left, bottom - top)
    return pixels, orientation, size


def _load(data: bytes, image: Image.Image, options: ImageOptions) -> None:
    # The picture in an icon file may be larger than the icon's header states.
    Image.MAX_IMAGE_PIXELS = options.max_pixels // 2 + 1 if image.format == "ICO" else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except Image.DecompressionBombError as error:
        raise UnitError(
            "decode", "too_large", f"{image.format} with a picture that is too large ({error})"
        ) from None
    finally:
        Image.MAX_IMAGE_PIXELS = None


def _decode_jpeg(
    data: bytes, image: Image.Image, orientation: int, options: ImageOptions, notes: list[str]
) -> np.ndarray:
    width, height = image.size
    if options.jpeg_scaling:
        width, height = _shrink_while_decoding(image, orientation, options, notes)
    if image.mode in ("RGB", "L", "CMYK"):
        inks = image.mode == "CMYK"
        pixels = jpeg.decode_jpeg(
            data,
            (width, height),
            "CMYK" if inks else "RGB",
            notes,
            accept_cut=options.truncated == "accept",
            buffer=_workspace.array(0, (height, width, 4 if inks else 3)),
        )
        if pixels is not None:
            # Inks are stored inverted, as Adobe does it.
            return (
                np.asarray(Image.fromarray(255 - pixels, "CMYK").convert("RGB")) if inks else pixels
            )
    image.load()
    return pillow_rgb(image, data, options.alpha, notes)


def _crop(data: bytes, image: Image.Image) -> tuple[int, int, int, int] | None:
    """The visible area of an AVIF picture; the decoders of other formats crop by themselves."""
    if image.format != "AVIF":
        return None
    told = heif.primary(data)
    return told.crop if told.size == image.size else None


def _turn(image: Image.Image, options: ImageOptions, notes: list[str]) -> int:
    """The orientation that remains to be undone."""
    # Pillow turns TIFF itself, and returns its upright size
    if options.exif == "ignore" or image.format == "TIFF":
        return 1
    return orientation_of(image, notes)


def _shrink_while_decoding(
    image: Image.Image, orientation: int, options: ImageOptions, notes: list[str]
) -> tuple[int, int]:
    """Lets the decoder shrink as far as the pixels still cover the tiles; returns the resulting
    stored size."""
    columns, rows = choose_grid(
        *upright_size(image.size, orientation),
        min_tiles=options.min_tiles,
        max_tiles=options.max_tiles,
        tile_size=options.tile_size,
    )
    before = image.width
    image.draft(
        None, upright_size((columns * options.tile_size, rows * options.tile_size), orientation)
    )
    if image.width != before:
        notes.append(f"decoded at 1/{round(before / image.width)} size")
    return image.size


def _note_frames(image: Image.Image, notes: list[str]) -> None:
    try:
        count = getattr(image, "n_frames", 1)
    # the end is damaged: the first frame may be whole, the number of frames is unknown
    except Exception:
        count = 1
        notes.append("first frame of an unknown number")
    if image.format == "HEIF":
        shown = image.tell()  # Pillow opens the primary picture, which need not be the first
        if shown:
            notes.append(f"picture {shown + 1} of {count}, the primary one")
            return
    elif image.format == "PSD":
        return  # Pillow opens the composite of its layers
    else:
        image.seek(0)
    if count > 1:
        word = {"TIFF": "page", "MPO": "picture", "HEIF": "picture"}.get(
            image.format or "", "frame"
        )
        notes.append(f"first {word} of {count}")


@contextmanager
def _failures_told(data: bytes) -> Iterator[None]:
    """Converts any decoder error into a `UnitError`: Pillow's plug-ins raise a dozen types on
    damaged files."""
    try:
        yield
    except UnitError:
        raise
    except MemoryError:
        raise UnitError(
            "decode",
            "too_large",
            f"decoding needs more memory than allowed: lower {keyword('max_pixels')}, or raise "
            f"{keyword('decode_memory_mib')}",
        ) from None
    except Exception as error:
        told = str(error).strip() or type(error).__name__
        if "truncated" in told:
            told += "; the file ends early, fetch it again or accept truncated files"
        raise UnitError(
            "decode", "corrupt", f"{described(data)} cannot be decoded: {told}"
        ) from error
