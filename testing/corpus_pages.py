"""Makes documents whose pages are images, TIFF and CBZ, and ones that lie; each page shows its own
number as a bar."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

SIZE = (300, 200)
UNIT = 3  # pixels of a bar for each number


def picture(number: int, size: tuple[int, int] = SIZE, mode: str = "L") -> Image.Image:
    """A white page with a bar as long as its number, up to 99."""
    page = Image.new(mode, size, "white" if mode == "RGB" else 255)
    black = "black" if mode == "RGB" else 0
    ImageDraw.Draw(page).rectangle(
        (0, int(size[1] * 0.4), UNIT * number - 1, int(size[1] * 0.6)), fill=black
    )
    return page


def number_of(pixels: np.ndarray) -> int:
    """The number that a page shows; of pixels (height, width, 3) in whatever size."""
    row = pixels[pixels.shape[0] // 2].mean(axis=1)
    return round(SIZE[0] / UNIT * float((row < 128).mean()))


def tiff(pages: Sequence[Image.Image], **options: Any) -> bytes:
    """A TIFF of these pages, saved by Pillow."""
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=list(pages[1:]), **options)
    return file.getvalue()


def raw_tiff(
    numbers: Iterable[int], order: str = "<", subfiles: Sequence[int] = (), circle: bool = False
) -> bytes:
    """A TIFF of grey pages without compression, made by hand, in time that does not grow with the
    square of the pages.

    Args:
        numbers: What each page shows.
        order: "<" or ">": the order of bytes.
        subfiles: The value of NewSubfileType of each page; 0 without.
        circle: Let the last page name the first one as the next.
    """
    width, height = 100, 4
    file = io.BytesIO()
    file.write((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8))
    numbers = list(numbers)
    for place, number in enumerate(numbers):
        start = file.tell()
        tags = [
            *([(254, 4, subfiles[place])] if subfiles else []),
            *((256, 3, width), (257, 3, height), (258, 3, 8), (259, 3, 1), (262, 3, 1)),
            *((273, 4, start + 150), (277, 3, 1), (278, 3, height), (279, 4, width * height)),
        ]
        following = 8 if circle else 0
        if place + 1 < len(numbers):
            following = start + 150 + width * height
        file.write(struct.pack(order + "H", len(tags)))
        for tag, kind, value in tags:
            field = (
                struct.pack(order + "HH", value, 0)
                if kind == 3
                else struct.pack(order + "I", value)
            )
            file.write(struct.pack(order + "HHI", tag, kind, 1) + field)
        file.write(struct.pack(order + "I", following))
        file.write(b"\0" * (start + 150 - file.tell()))
        file.write((b"\0" * number + b"\xff" * (width - number)) * height)
    return file.getvalue()


def image_file(number: int, form: str = "PNG") -> bytes:
    """A page as an image file."""
    file = io.BytesIO()
    picture(number, mode="RGB").save(file, form)
    return file.getvalue()


def archive(files: dict[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as written:
        for name, data in files.items():
            written.writestr(name, data)
    return file.getvalue()


def locked(data: bytes) -> bytes:
    """A ZIP archive whose files say that they are encrypted."""
    changed = bytearray(data)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := changed.find(mark, at + 1)) >= 0:
            changed[at + offset] |= 1
    return bytes(changed)
