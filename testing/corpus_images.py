"""The images of the media corpus."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from testing.corpus import Entry
from testing.pictures import encoded, natural

pillow_heif.register_heif_opener()

SIZES = [
    (1, 1),
    (2, 1),
    (1, 3),
    (16, 16),
    (17, 31),
    (100, 75),
    (449, 447),
    (640, 480),
    (90, 300),
    (900, 10),
]

Maker = Callable[[Image.Image], bytes]


def saved(file_format: str, mode: str = "RGB", **options: Any) -> Maker:
    """A maker that converts to ``mode`` and saves with ``options``."""
    return lambda image: encoded(image.convert(mode), file_format, **options)


def _transparent(image: Image.Image) -> Image.Image:
    """The picture with an alpha channel that runs from clear at the left to opaque at the right."""
    ramp = np.linspace(0, 255, image.width).astype(np.uint8)
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(np.broadcast_to(ramp, (image.height, image.width)).copy()))
    return image


def _deep(image: Image.Image) -> Image.Image:
    """16-bit grey."""
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    pixels: np.ndarray, *, interlaced: bool = False, size: tuple[int, int] | None = None
) -> bytes:
    """A PNG as Pillow does not write them: 16 bits a channel, or interlaced.

    Args:
        pixels: uint8 or uint16 of shape (height, width, 1 to 4).
        interlaced: By Adam7.
        size: Width and height to claim instead of the true ones.
    """
    height, width, channels = pixels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(
        ">IIBBBBB",
        *(size or (width, height)),
        pixels.itemsize * 8,
        colour,
        0,
        0,
        1 if interlaced else 0,
    )
    adam7 = [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]
    passes = [pixels[y::dy, x::dx] for x, y, dx, dy in adam7] if interlaced else [pixels]
    big_endian = [part.astype(part.dtype.newbyteorder(">")) for part in passes if part.size]
    rows = b"".join(b"\0" + row.tobytes() for part in big_endian for row in part)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(rows))
        + png_chunk(b"IEND", b"")
    )


KINDS: dict[str, Maker] = {
    "jpeg-420.jpg": saved("JPEG", quality=90),
    "jpeg-444.jpg": saved("JPEG", quality=95, subsampling=0),
    "jpeg-422.jpg": saved("JPEG", quality=75, subsampling=1),
    "jpeg-progressive.jpg": saved("JPEG", progressive=True),
    "jpeg-optimised-low.jpg": saved("JPEG", quality=5, optimize=True),
    "jpeg-grey.jpg": saved("JPEG", "L"),
    "jpeg-cmyk.jpg": saved("JPEG", "CMYK"),
    "jpeg-restart.jpg": saved("JPEG", restart_marker_rows=1),
    "jpeg-no-extension": saved("JPEG"),
    "png-1bit.png": saved("PNG", "1"),
    "png-grey.png": saved("PNG", "L"),
    "png-grey-alpha.png": saved("PNG", "LA"),
    "png-rgb.png": saved("PNG"),
    "png-rgba.png": lambda image: encoded(_transparent(image), "PNG"),
    "png-palette.png": lambda image: encoded(image.quantize(200), "PNG"),
    "png-palette-4bit.png": lambda image: encoded(image.quantize(16), "PNG", bits=4),
    "png-palette-clear.png": lambda image: encoded(
        image.quantize(60), "PNG", transparency=bytes(range(0, 240, 4))
    ),
    "png-colour-key.png": lambda image: encoded(image, "PNG", transparency=(0, 0, 0)),
    "png-grey-16bit.png": lambda image: encoded(_deep(image), "PNG"),
    "png-rgb-16bit.png": lambda image: png(np.asarray(image).astype(np.uint16) * 257),
    "png-rgba-16bit.png": lambda image: png(
        np.asarray(_transparent(image)).astype(np.uint16) * 257
    ),
    "png-interlaced.png": lambda image: png(np.asarray(image), interlaced=True),
    "png-grey-interlaced.png": lambda image: png(
        np.asarray(image.convert("L"))[..., None], interlaced=True
    ),
    "png-named.jpg": saved("PNG"),
    "webp-lossy.webp": saved("WEBP", quality=80),
    "webp-lossless.webp": saved("WEBP", lossless=True),
    "webp-alpha.webp": lambda image: encoded(_transparent(image), "WEBP"),
    "gif.gif": lambda image: encoded(image.quantize(128), "GIF"),
    "gif-clear.gif": lambda image: encoded(image.quantize(100), "GIF", transparency=3),
    "tiff-raw.tif": saved("TIFF"),
    "tiff-lzw.tif": saved("TIFF", compression="tiff_lzw"),
    "tiff-deflate.tif": saved("TIFF", compression="tiff_adobe_deflate"),
    "tiff-jpeg.tif": saved("TIFF", compression="jpeg"),
    "tiff-fax.tif": saved("TIFF", "1", compression="group4"),
    "tiff-cmyk.tif": saved("TIFF", "CMYK"),
    "tiff-rgba.tif": lambda image: encoded(_transparent(image), "TIFF"),
    "tiff-16bit.tif": lambda image: encoded(_deep(image), "TIFF"),
    "tiff-float.tif": saved("TIFF", "F"),
    "tiff-big.tif": saved("TIFF", big_tiff=True),
    "bmp-24bit.bmp": saved("BMP"),
    "bmp-8bit.bmp": saved("BMP", "L"),
    "bmp-1bit.bmp": saved("BMP", "1"),
    "bmp-32bit.bmp": lambda image: encoded(_transparent(image), "BMP"),
    "avif.avif": saved("AVIF", speed=10),
    "avif-alpha.avif": lambda image: encoded(_transparent(image), "AVIF", speed=10),
    "heic.heic": saved("HEIF"),
    "heic-alpha.heic": lambda image: encoded(_transparent(image), "HEIF"),
    "jpeg2000.jp2": saved("JPEG2000"),
    "ppm.ppm": saved("PPM"),
    "pgm.pgm": saved("PPM", "L"),
}


def image_entries() -> Iterator[Entry]:
    """Yields all of them; the same every time."""
    for index, size in enumerate(SIZES):
        picture = natural(*size, seed=index)
        for kind, make in KINDS.items():
            yield Entry(f"{size[0]}x{size[1]}-{kind}", make(picture), size)
    yield from _oriented()
    yield from _broken_exif()
    yield from _several_frames()
    yield from _large()
    yield from _bombs()
    yield from _truncated()
    yield from _no_images()


def _oriented() -> Iterator[Entry]:
    picture = natural(120, 80)
    for orientation in range(9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        size = (80, 120) if orientation >= 5 else (120, 80)
        for file_format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
            data = encoded(picture, file_format, exif=exif.tobytes())
            yield Entry(f"oriented-{orientation}.{file_format.lower()}", data, size)


def tiff_block(
    *fields: tuple[int, int, int, bytes], first: int = 8, order: bytes = b"II*\0"
) -> bytes:
    """An EXIF block: each field is tag, type, count and four bytes of value or offset."""
    directory = struct.pack("<H", len(fields)) + b"".join(
        struct.pack("<HHI", *field[:3]) + field[3] for field in fields
    )
    return (
        b"Exif\0\0"
        + order
        + struct.pack("<I", first)
        + directory
        + bytes(4)
        + struct.pack("<II", 72, 0) * 4
    )


def _broken_exif() -> Iterator[Entry]:
    picture = natural(120, 80)
    orientation = (0x0112, 3, 1, struct.pack("<HH", 6, 0))
    after_one = 8 + 2 + 12 + 4
    blocks = {
        "zero-division": tiff_block((0x011A, 5, 1, struct.pack("<I", after_one + 4))),
        "offset-past-end": tiff_block((0x8769, 4, 1, b"\xff\xff\xff\x7f")),
        "directory-past-end": tiff_block(orientation, first=60_000),
        "points-at-itself": tiff_block((0x8769, 4, 1, struct.pack("<I", 8))),
        "huge-count": tiff_block((0x9286, 7, 2**31, struct.pack("<I", 8))),
        "unknown-type": tiff_block((0x0112, 99, 1, bytes(4))),
        "text-orientation": tiff_block((0x0112, 2, 4, b"abc\0")),
        "many-orientations": tiff_block((0x0112, 3, 2, struct.pack("<HH", 6, 8))),
        "no-order": tiff_block(orientation, order=b"XX*\0"),
        "nothing": b"Exif\0\0",
        "garbage": b"Exif\0\0" + bytes(range(256)),
    }
    for name, block in blocks.items():
        size = (80, 120) if name == "many-orientations" else (120, 80)  # the first counts
        yield Entry(f"exif-{name}.jpg", encoded(picture, "JPEG", exif=block), size)
        yield Entry(f"exif-{name}.webp", encoded(picture, "WEBP", exif=block), size)
    turned = tiff_block(orientation, (0x011A, 5, 1, struct.pack("<I", 500)))
    yield Entry("exif-broken-but-turned.jpg", encoded(picture, "JPEG", exif=turned), (80, 120))


def _several_frames() -> Iterator[Entry]:
    frames = [natural(90, 60, seed=seed) for seed in range(5)]

    def animation(file_format: str, **options: Any) -> bytes:
        return encoded(frames[0], file_format, save_all=True, append_images=frames[1:], **options)

    yield Entry("animated.gif", animation("GIF", duration=40), (90, 60), note="first frame of 5")
    yield Entry("animated.webp", animation("WEBP", duration=40), (90, 60), note="first frame of 5")
    yield Entry("animated.png", animation("PNG", duration=40), (90, 60), note="first frame of 5")
    yield Entry(
        "animated.avif", animation("AVIF", duration=40, speed=10), (90, 60), note="first frame of 5"
    )
    yield Entry("pages.tif", animation("TIFF"), (90, 60), note="first page of 5")
    yield Entry("pictures.mpo", animation("MPO"), (90, 60), note="first picture of 5")
    yield Entry("pictures.heic", animation("HEIF"), (90, 60), note="first picture of 5")
    yield Entry("animated-cut.gif", animation("GIF")[:-2000], (90, 60), errors=("corrupt",))


def _large() -> Iterator[Entry]:
    yield Entry(
        "large-4000x3000.jpg",
        encoded(natural(1000, 750).resize((4000, 3000)), "JPEG", quality=90),
        (4000, 3000),
    )
    yield Entry(
        "wide-50000x40.png", encoded(natural(500, 40).resize((50_000, 40)), "PNG"), (50_000, 40)
    )
    yield Entry(
        "wide-50000x1000-1bit.png",
        encoded(Image.new("1", (50_000, 1000), 1), "PNG"),
        (50_000, 1000),
    )
    yield Entry(
        "tall-40x30000.jpg", encoded(natural(40, 300).resize((40, 30_000)), "JPEG"), (40, 30_000)
    )
    yield Entry("wide-16383x1.webp", encoded(Image.new("RGB", (16_383, 1)), "WEBP"), (16_383, 1))


def _bombs() -> Iterator[Entry]:
    """Small files that claim to be, or really are, enormous."""
    too_large = ("too_large",)
    dot = np.zeros((1, 1, 3), np.uint8)
    yield Entry("bomb-30000x30000.png", png(dot, size=(30_000, 30_000)), errors=too_large)
    yield Entry(
        "bomb-claims-2g.png", png(dot, size=(2**31 - 1, 2**31 - 1)), errors=(*too_large, "corrupt")
    )
    yield Entry("claims-9000x9000.png", png(dot, size=(9000, 9000)), errors=("corrupt",))
    gif = encoded(Image.new("P", (1, 1)), "GIF")
    yield Entry("bomb-claims-65535.gif", gif[:6] + b"\xff\xff\xff\xff" + gif[10:], errors=too_large)
    bmp = encoded(Image.new("RGB", (1, 1)), "BMP")
    yield Entry(
        "bomb-claims.bmp",
        bmp[:18] + struct.pack("<ii", 60_000, 60_000) + bmp[26:],
        errors=too_large,
    )
    rgb = encoded(Image.new("RGB", (64, 64)), "PNG")
    text = png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(32 << 20), 9))
    yield Entry(
        "bomb-text.png", rgb[:33] + text + rgb[33:], (64, 64), errors=("corrupt", "too_large")
    )
    profile = png_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(32 << 20), 9))
    yield Entry(
        "bomb-profile.png", rgb[:33] + profile + rgb[33:], (64, 64), errors=("corrupt", "too_large")
    )


def _truncated() -> Iterator[Entry]:
    picture = natural(200, 150)
    for kind, make in KINDS.items():
        data = make(picture)
        for share in (0.5, 0.9):
            name = f"cut-{round(share * 100)}-{kind}"
            yield Entry(name, data[: int(len(data) * share)], errors=("corrupt", "unsupported"))


def _no_images() -> Iterator[Entry]:
    unsupported = {
        "page.jpg": b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>",
        "page-with-blanks.png": b"\xef\xbb\xbf\n\n  <HTML><body>Sign in</body></HTML>",
        "denied.jpg": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "answer.png": b'{"error": "rate limit exceeded"}',
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
        "words.jpg": "Nur Text, aber mit Umlauten: äöü\n".encode() * 20,
        "document.jpg": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
        "film.jpg": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        "film.webm": b"\x1a\x45\xdf\xa3\x01\0\0\0\0\0\0\x1f\x42\x86\x81\x01",
        "archive.jpg": b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(40),
        "packed.jpg": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(range(60)),
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12345\n",
        "drawing.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "layers.psd": b"8BPS\0\x01" + bytes(30),
        "noise.jpg": bytes(np.random.default_rng(0).integers(128, 256, 5000, dtype=np.uint8)),
    }
    corrupt = {
        "empty.jpg": b"",
        "zeros.jpg": bytes(5000),
        "start-only.jpg": b"\xff\xd8\xff\xe0",
        "start-only.png": b"\x89PNG\r\n\x1a\n",
        "start-only.gif": b"GIF89a",
        "start-only.webp": b"RIFF\x10\0\0\0WEBPVP8 ",
        "photo.jxl": b"\xff\x0a\xfa\x7f\x01" + bytes(30),
        "start-only.tif": b"II*\0\x08\0\0\0",
    }
    for name, data in unsupported.items():
        yield Entry(name, data, errors=("unsupported",))
    for name, data in corrupt.items():
        yield Entry(name, data, errors=("corrupt",))
    yield Entry("one-byte.jpg", b"\xff", errors=("unsupported", "corrupt"))
