"""From the bytes of an image file to the tiles InternVL reads.

Colour is kept simple: embedded profiles are ignored and every file is taken as sRGB, as the model cards do.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import cv2
import numpy as np
import pillow_heif
import simplejpeg
from PIL import Image, ImageFile, UnidentifiedImageError

from internvl_ops.errors import UnitError
from internvl_ops.media.sniff import described, unreadable
from internvl_ops.media.tiling import Resize, choose_grid, tile_image
from internvl_ops.media.workspace import Workspace

# Only formats that datasets hold. Pillow knows others, some of which start programs (EPS) or are unbounded in time.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PPM")

# EXIF orientation -> what turns the stored pixels upright.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.transpose(cv2.rotate(pixels, cv2.ROTATE_180)),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
_SIDEWAYS = (5, 6, 7, 8)
_EXIF_ORIENTATION = 0x0112
_CHOICES = {"alpha": ("white", "drop"), "truncated": ("error", "accept"), "resize": ("fast", "exact")}
_workspace = Workspace()

pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
pillow_heif.options.DECODE_THREADS = 1  # many of these run beside each other, one on each core
Image.MAX_IMAGE_PIXELS = None  # ImageOptions.max_pixels is checked here instead, before anything is decoded


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """How image files are read.

    Args:
        max_pixels: Larger images are refused from their header, before decoding. 200 million need 1 to 3 GB while
            one is decoded; lower it on small machines.
        alpha: "white" composites transparent pixels on white. "drop" ignores transparency, as the model cards do, and
            shows whatever colour hides under it; use it to reproduce their pixels.
        truncated: "error" refuses a file that ends early. "accept" keeps what is there and leaves the rest grey or
            black; use it where a part of an image is better than none.
        tile_size: Side of a tile in pixels, from the checkpoint.
        min_tiles: Fewest tiles, thumbnail not counted.
        max_tiles: Most tiles, thumbnail not counted.
        thumbnail: Append the whole image as one more tile when there are several.
        resize: "fast" or "exact"; see `tile_image`.
        jpeg_scaling: Let the JPEG decoder shrink by 2, 4 or 8 where the tiles need at most half the pixels. Faster on
            photographs far larger than their tiles; changes pixels slightly, so leave it off to compare with others.
    """

    max_pixels: int = 200_000_000
    alpha: Literal["white", "drop"] = "white"
    truncated: Literal["error", "accept"] = "error"
    tile_size: int = 448
    min_tiles: int = 1
    max_tiles: int = 12
    thumbnail: bool = True
    resize: Resize = "fast"
    jpeg_scaling: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} is not allowed: {' or '.join(allowed)}")
        if not 1 <= self.min_tiles <= self.max_tiles:
            raise ValueError(
                f"min_tiles {self.min_tiles} with max_tiles {self.max_tiles} is not allowed: "
                "1 <= min_tiles <= max_tiles is needed"
            )
        for name in ("max_pixels", "tile_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is not allowed: at least 1 is needed")


@dataclass
class TiledImage:
    """An image ready for the model.

    Args:
        tiles: uint8 of shape (tiles, 3, tile_size, tile_size), the thumbnail last.
        width: Of the upright original, in pixels.
        height: Of the upright original, in pixels.
        notes: What a reader of the result should know, such as "first frame of 12".
    """

    tiles: np.ndarray
    width: int
    height: int
    notes: list[str] = field(default_factory=list)


def load_image(data: bytes, options: ImageOptions | None = None) -> TiledImage:
    """Decodes one image file, turns it upright and cuts it into tiles.

    Args:
        data: The file's bytes.
        options: How to read it.

    Raises:
        UnitError: Stage "decode"; kind "unsupported" for what is no image, "corrupt" for a damaged one, "too_large"
            for one above ``max_pixels`` or beyond memory.
    """
    options = options or ImageOptions()
    with _failures_told(data), _truncation(options.truncated):
        pixels, size, notes = _decode_upright(data, options)
    tiles = tile_image(
        pixels,
        tile_size=options.tile_size,
        min_tiles=options.min_tiles,
        max_tiles=options.max_tiles,
        thumbnail=options.thumbnail,
        resize=options.resize,
        original_size=size,
        workspace=_workspace,
    )
    return TiledImage(tiles, *size, notes)


def image_size(data: bytes, options: ImageOptions | None = None) -> tuple[int, int]:
    """Width and height of an upright image in pixels, by its header: nothing is decoded.

    Raises:
        UnitError: As `load_image`, as far as a header shows it.
    """
    with _failures_told(data):
        image = _open(data, options or ImageOptions())
        return _upright_size(image.size, _orientation(image, []))


@dataclass
class Picture:
    """An image, page or frame as a file that any model server reads.

    Args:
        data: The file: a JPEG or PNG.
        width: Upright, in pixels.
        height: Upright, in pixels.
        notes: What a reader of the result should know.
    """

    data: bytes
    width: int
    height: int
    notes: list[str] = field(default_factory=list)


def load_picture(data: bytes, options: ImageOptions | None = None) -> Picture:
    """Decodes one image file, turns it upright and encodes it without loss: for servers that tile themselves.

    A JPEG that needs nothing done is handed on as it is.

    Args:
        data: The file's bytes.
        options: How to read it; what concerns tiles is not looked at.

    Raises:
        UnitError: As `load_image`.
    """
    options = replace(options or ImageOptions(), jpeg_scaling=False)
    with _failures_told(data), _truncation(options.truncated):
        pixels, size, notes = _decode_upright(data, options)
        as_it_is = options.truncated == "error" and not notes and _is_plain_jpeg(data)
    return Picture(data if as_it_is else encode_png(pixels), *size, notes)


def encode_png(pixels: np.ndarray) -> bytes:
    """A PNG file, quick rather than small, of uint8 pixels of shape (height, width, 3), RGB."""
    done, file = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done, "pixels in memory can always be encoded"
    return file.tobytes()


def _is_plain_jpeg(data: bytes) -> bool:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    return image.format == "JPEG" and image.mode in ("RGB", "L") and _orientation(image, []) == 1


def _decode_upright(data: bytes, options: ImageOptions) -> tuple[np.ndarray, tuple[int, int], list[str]]:
    """Returns uint8 (height, width, 3), the original's size (the pixels may have been shrunk), and notes."""
    image = _open(data, options)
    notes: list[str] = []
    _note_frames(image, notes)
    # A photograph's orientation is needed before its decoder may shrink it; the other decoders turn images
    # themselves (TIFF, HEIF) or read EXIF from the end of the file (PNG), so they are asked after decoding.
    photograph = image.format in ("JPEG", "MPO")
    if photograph:
        orientation, stored_size = _orientation(image, notes), image.size
        pixels = _decode_jpeg(data, image, orientation, options, notes)
    else:
        image.load()
        orientation, stored_size = _orientation(image, notes), image.size
        pixels = np.asarray(_to_rgb(image, options.alpha, notes))
    if orientation in _UPRIGHT:
        pixels = _UPRIGHT[orientation](pixels)
    return pixels, _upright_size(stored_size, orientation), notes


def _decode_jpeg(
    data: bytes, image: Image.Image, orientation: int, options: ImageOptions, notes: list[str]
) -> np.ndarray:
    """Decodes with simplejpeg, whose pixels are Pillow's and which is faster; Pillow decides about everything odd."""
    width, height = image.size
    if options.jpeg_scaling:
        width, height = _shrink_while_decoding(image, orientation, options, notes)
    if image.mode in ("RGB", "L"):
        try:
            buffer = _workspace.array(0, (height, width, 3))
            pixels = simplejpeg.decode_jpeg(data, min_width=width, min_height=height, buffer=buffer)
            if pixels.shape[:2] == (height, width):
                return pixels
        except ValueError as error:
            # Also raised for what libjpeg only warns about, where Pillow gives an image without a word.
            warning = str(error)
            image.load()
            notes.append(f"JPEG decoder warned: {warning}")
    image.load()
    return np.asarray(_to_rgb(image, options.alpha, notes))


def _open(data: bytes, options: ImageOptions) -> Image.Image:
    """Reads the header only."""
    if not data:
        raise UnitError("decode", "corrupt", "the file is empty (0 bytes); it was probably never downloaded")
    # Of a GIF Pillow makes a canvas while it opens the file, as large as the first frame reaches.
    Image.MAX_IMAGE_PIXELS = options.max_pixels // 2 + 1 if data.startswith(b"GIF") else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # from half the limit on
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise unreadable(data) from None
    except Image.DecompressionBombError as error:
        raise UnitError(
            "decode",
            "too_large",
            f"GIF whose first frame is too large ({error}); at most {options.max_pixels:,} pixels are allowed: raise "
            "--max-pixels if memory allows",
        ) from None
    finally:
        Image.MAX_IMAGE_PIXELS = None
    width, height = image.size
    if width < 1 or height < 1:
        raise UnitError(
            "decode", "corrupt", f"{image.format} header says {width}x{height} pixels; at least 1x1 is needed"
        )
    if width * height > options.max_pixels:
        raise UnitError(
            "decode",
            "too_large",
            f"{image.format} of {width}x{height} = {width * height:,} pixels; "
            f"at most {options.max_pixels:,} are allowed: raise --max-pixels if memory allows",
        )
    return image


def _orientation(image: Image.Image, notes: list[str]) -> int:
    """Reads EXIF orientation, 1 to 8; a broken EXIF block costs the orientation, not the image."""
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
        return value if value in _UPRIGHT else 1
    except Exception as error:  # EXIF parsing fails in as many ways as files do: zero division, struct, syntax, key
        notes.append(f"EXIF unreadable, orientation not applied: {type(error).__name__}")
        return 1


def _upright_size(stored_size: tuple[int, int], orientation: int) -> tuple[int, int]:
    width, height = stored_size
    return (height, width) if orientation in _SIDEWAYS else (width, height)


def _shrink_while_decoding(
    image: Image.Image, orientation: int, options: ImageOptions, notes: list[str]
) -> tuple[int, int]:
    """Lets the decoder shrink by the most that still covers the tiles; returns the stored size that leaves."""
    columns, rows = choose_grid(
        *_upright_size(image.size, orientation),
        min_tiles=options.min_tiles,
        max_tiles=options.max_tiles,
        tile_size=options.tile_size,
    )
    before = image.width
    image.draft(None, _upright_size((columns * options.tile_size, rows * options.tile_size), orientation))
    if image.width != before:
        notes.append(f"decoded at 1/{round(before / image.width)} size")
    return image.size


def _note_frames(image: Image.Image, notes: list[str]) -> None:
    try:
        count = getattr(image, "n_frames", 1)
    except Exception:  # a damaged tail: the first frame may be whole, how many follow is unknown
        count = 1
        notes.append("first frame of an unknown number")
    image.seek(0)
    if count > 1:
        word = {"TIFF": "page", "MPO": "picture", "HEIF": "picture"}.get(image.format or "", "frame")
        notes.append(f"first {word} of {count}")


def _to_rgb(image: Image.Image, alpha: str, notes: list[str]) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _deep_to_rgb(image, notes)
    if alpha == "white" and image.has_transparency_data:
        with_alpha = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(with_alpha, mask=with_alpha)
        return white
    if image.mode == "RGB":
        return image
    try:
        return image.convert("RGB")
    except ValueError:
        raise UnitError(
            "decode", "unsupported", f"{image.format} in colour mode {image.mode}; convert the file to RGB"
        ) from None


def _deep_to_rgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Grey with more than 8 bits a pixel: Pillow's own conversion would clip it to white."""
    grey = np.asarray(image)
    if image.mode.startswith("I;16"):
        eight = (grey >> 8).astype(np.uint8)
    else:
        # 32-bit samples carry no agreed white point; their own range is the only honest scale.
        finite = np.nan_to_num(grey.astype(np.float32), posinf=0.0, neginf=0.0)
        low, high = float(finite.min()), float(finite.max())
        eight = ((finite - low) * (255.0 / max(high - low, 1e-12))).astype(np.uint8)
        notes.append(f"32-bit samples scaled from {low:g}..{high:g}")
    return Image.fromarray(eight).convert("RGB")


@contextmanager
def _truncation(truncated: str) -> Iterator[None]:
    """Pillow's switch is one for the whole process: threads of one process should agree on it."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = truncated == "accept"
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextmanager
def _failures_told(data: bytes) -> Iterator[None]:
    """Turns whatever a decoder raises into a `UnitError`: Pillow's plug-ins raise a dozen types on damaged files."""
    try:
        yield
    except UnitError:
        raise
    except MemoryError:
        raise UnitError(
            "decode",
            "too_large",
            "decoding needs more memory than allowed: lower --max-pixels, or raise --decode-memory",
        ) from None
    except Exception as error:
        told = str(error).strip() or type(error).__name__
        if "truncated" in told:
            told += "; the file ends early, fetch it again or accept truncated files"
        raise UnitError("decode", "corrupt", f"{described(data)} cannot be decoded: {told}") from error
