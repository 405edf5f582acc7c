"""Decides from the header of an image file what it is and which reader decodes it."""

from __future__ import annotations

import io
import warnings
from typing import Protocol

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError
from PIL.Image import open as open_picture

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media import heif, jpeg, jpeg2000
from internvl_ops.media.jpeg2000 import Jpeg2000
from internvl_ops.media.jpegxl import JpegXl
from internvl_ops.media.pillow_samples import psd_unread
from internvl_ops.media.sniff import described, unreadable
from internvl_ops.media.targa import is_targa
from internvl_ops.media.tiff import Tiff

# Only formats that occur in datasets. Pillow supports others, some of which start programs (EPS) or
# may never end.
PILLOW_FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "GIF",
    "TIFF",
    "BMP",
    "AVIF",
    "HEIF",
    "JPEG2000",
    "PPM",
    "ICO",
    "PSD",
)


class Reader(Protocol):
    """A file that Pillow does not read, or reads wrongly; its header is already read."""

    format: str
    size: tuple[int, int]
    orientation: int

    def count_pages(self) -> int:
        """The number of pages or frames in the file."""

    def rgb(self, alpha: str, notes: list[str], *, accept_cut: bool) -> np.ndarray:
        """Decodes the file: uint8 of shape (height, width, 3), as stored."""


def open_image(data: bytes, max_pixels: int) -> Image.Image | Reader:
    """Reads only the header, and chooses the reader for the rest. Call it within
    `library_settings.reading`."""
    if not data:
        raise UnitError(
            "decode", "corrupt", "the file is empty (0 bytes); it was probably never downloaded"
        )
    image = _identify(data, max_pixels)
    width, height = image.size
    if width < 1 or height < 1:
        raise UnitError(
            "decode",
            "corrupt",
            f"{image.format} header says {width}x{height} pixels; at least 1x1 is needed",
        )
    if width * height > max_pixels:
        raise _too_large(image.format or "image", width, height, max_pixels)
    return image


def _identify(data: bytes, max_pixels: int) -> Image.Image | Reader:
    kind = described(data)
    if kind in ("TIFF file", "BigTIFF file"):
        return _identify_tiff(data, max_pixels)
    if kind == "JPEG XL file":
        return JpegXl(data)
    if (unread := _unread(kind, data)) is not None:
        raise unread
    try:
        image = _pillow(data, max_pixels)
        depth = jpeg2000.depth(data) if image.format == "JPEG2000" else None
        if depth is not None and depth.bits > 8 and depth.uniform:
            return Jpeg2000(data, image.size, image.mode, depth)
        return image
    except UnidentifiedImageError:
        pass
    except ValueError as error:
        if not too_much_text(error):
            raise
        return _pillow(without_text(data), max_pixels)
    if kind in ("AVIF file", "HEIC file", "HEIF file"):
        raise _unread_heif(data, kind, max_pixels)
    if kind == "file" and is_targa(data):
        return _pillow(data, max_pixels, ("TGA",))
    raise unreadable(data)


def _unread(kind: str, data: bytes) -> UnitError | None:
    if kind == "JPEG file":
        return jpeg.unsupported_jpeg(data)
    if kind == "JPEG 2000 file":
        return jpeg2000.unsupported_jpeg2000(data)
    return psd_unread(data)


def _identify_tiff(data: bytes, max_pixels: int) -> Image.Image | Reader:
    tiff: Tiff | None = None
    try:
        tiff = Tiff(data)
        if not tiff.for_pillow:
            return tiff
    except UnitError:
        raise
    except Exception:  # damaged in a place that tifffile reads; Pillow may read enough
        if tiff is not None:
            raise
    # Pillow's own code reads uncompressed samples, but ignores that there may be fewer for colour
    # than for light.
    TiffImagePlugin.READ_LIBTIFF = tiff is not None and tiff.is_plain_ycbcr
    try:
        return _pillow(data, max_pixels)
    except UnidentifiedImageError:
        if tiff is not None:
            return tiff
        raise unreadable(data) from None
    finally:
        TiffImagePlugin.READ_LIBTIFF = False


def _pillow(data: bytes, max_pixels: int, formats: tuple[str, ...] = PILLOW_FORMATS) -> Image.Image:
    # Pillow allocates a GIF's canvas when it opens the file, as large as the extent of the first
    # frame.
    Image.MAX_IMAGE_PIXELS = max_pixels // 2 + 1 if data.startswith(b"GIF") else None
    try:
        with warnings.catch_warnings():
            # Pillow warns from half the limit on
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return open_picture(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as error:
        raise UnitError(
            "decode",
            "too_large",
            f"GIF whose first frame is too large ({error}); at most {max_pixels:,} pixels are"
            f" allowed: raise {keyword('max_pixels')} if memory allows",
        ) from None
    finally:
        Image.MAX_IMAGE_PIXELS = None


def _unread_heif(data: bytes, kind: str, max_pixels: int) -> UnitError:
    """Why Pillow's plug-ins refuse a HEIC, HEIF or AVIF file."""
    told = heif.primary(data)
    if told.sequence_only:
        message = f"{kind} of frames without a picture beside them; name it in the video column"
        return UnitError("decode", "unsupported", message)
    if told.coding:
        message = f"{kind} whose picture is coded as {told.coding}; convert it to JPEG, PNG or WebP"
        return UnitError("decode", "unsupported", message)
    if told.ends_early:
        return UnitError("decode", "corrupt", f"{kind} that ends early; fetch it again")
    if told.size is not None and told.size[0] * told.size[1] > min(max_pixels, heif.AVIF_PIXELS):
        return _too_large(kind.split()[0], *told.size, max_pixels)
    return unreadable(data)


def _too_large(what: str, width: int, height: int, max_pixels: int) -> UnitError:
    pixels = width * height
    limit = f"at most {max_pixels:,} are allowed: raise {keyword('max_pixels')} if memory allows"
    if pixels <= max_pixels:
        limit = "its decoder takes no more than 16384x16384: make it smaller"
    return UnitError(
        "decode", "too_large", f"{what} of {width}x{height} = {pixels:,} pixels; {limit}"
    )


def too_much_text(error: ValueError) -> bool:
    """Whether Pillow gave up at text or a colour profile, which are not needed here."""
    return "too large for PngImagePlugin" in str(error) or "memory used in text chunks" in str(
        error
    )


def without_text(data: bytes) -> bytes:
    """A PNG without its text and colour profile."""
    kept, at = [data[:8]], 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            kept.append(data[at:end])
        at = end
    return b"".join(kept)
