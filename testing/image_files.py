"""Image files of kinds that no library at hand writes, built from their parts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

from testing.corpus_images import png_chunk

_LETTERS = {1: "B", 2: "B", 3: "H", 4: "I"}
Tags = dict[int, tuple[int, Sequence[int]]]


def tiff_file(
    strips: Sequence[bytes], tags: Tags, order: str = "<", tile: tuple[int, int] | None = None
) -> bytes:
    """A TIFF of one page.

    Args:
        strips: The pixels as stored; tiles if ``tile`` is given.
        tags: Number -> type and values; where the pixels lie is added.
        order: "<" or ">".
        tile: Width and height of a tile.
    """
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    offsets = []
    for strip in strips:
        offsets.append(len(out))
        out += strip + bytes(len(strip) % 2)
    places: Tags = {273: (4, offsets), 279: (4, [len(strip) for strip in strips])}
    if tile:
        places = {322: (3, tile[:1]), 323: (3, tile[1:]), 324: places[273], 325: places[279]}
    fields = []
    for number, (kind, values) in sorted((tags | places).items()):
        value = struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
        if len(value) > 4:
            value, block = struct.pack(order + "I", len(out)), value
            out += block + bytes(len(block) % 2)
        fields.append(struct.pack(order + "HHI", number, kind, len(values)) + value.ljust(4, b"\0"))
    struct.pack_into(order + "I", out, 4, len(out))
    return bytes(out + struct.pack(order + "H", len(fields)) + b"".join(fields) + bytes(4))


def tiff_tags(
    pixels: np.ndarray,
    bits: int,
    photometric: int,
    compression: int = 1,
    planar: int = 1,
    **more: tuple,
) -> Tags:
    """The usual tags of pixels of shape (height, width) or (height, width, samples); ``more`` as
    t530=(3, [2, 2])."""
    height, width, count = (*pixels.shape, 1)[:3]
    tags: Tags = {
        256: (3, [width]), 257: (3, [height]), 258: (3, [bits] * count), 259: (3, [compression]),
        262: (3, [photometric]), 277: (3, [count]), 278: (3, [height]), 284: (3, [planar]),
    }  # fmt: skip
    return tags | {int(name[1:]): value for name, value in more.items()}


def packed(pixels: np.ndarray, bits: int) -> bytes:
    """Samples of any number of bits, each row filled up to whole bytes."""
    values = pixels.reshape(len(pixels), -1).astype(np.uint64)
    places = np.arange(bits - 1, -1, -1, dtype=np.uint64)
    return np.packbits(
        (values[..., None] >> places & 1).astype(np.uint8).reshape(len(values), -1), axis=1
    ).tobytes()


def ycbcr_units(ycbcr: np.ndarray, across: int, down: int) -> bytes:
    """Pixels with fewer samples for colour than for light, as TIFF has them without JPEG."""
    height, width = ycbcr.shape[0] // down, ycbcr.shape[1] // across
    blocks = ycbcr.reshape(height, down, width, across, 3).transpose(0, 2, 1, 3, 4)
    light = blocks[..., 0].reshape(height, width, -1)
    colour = blocks[..., 1:].mean(axis=(2, 3)).round()
    return np.concatenate([light, colour], axis=2).astype(np.uint8).tobytes()


def png_file(pixels: np.ndarray, depth: int, colour: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of any depth and kind of colour; ``chunks`` stand before the pixels."""
    rows = packed(pixels, depth)
    stride = len(rows) // len(pixels)
    lines = b"".join(b"\0" + rows[at : at + stride] for at in range(0, len(rows), stride))
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in parts)


def targa_file(pixels: np.ndarray, depth: int) -> bytes:
    """A TGA without a footer, from the top, of bytes or of 16-bit words."""
    kind = 3 if depth == 8 else 2
    height, width = pixels.shape[:2]
    return (
        struct.pack("<BBBHHBHHHHBB", 0, 0, kind, 0, 0, 0, 0, 0, width, height, depth, 0x20)
        + pixels.tobytes()
    )


def cropped_avif(avif: bytes, size: tuple[int, int], crop: tuple[int, int, int, int]) -> bytes:
    """An AVIF of one item that shows only left, top, right and bottom of it."""
    left, top, right, bottom = crop
    middle = (left + right - size[0], 2), (top + bottom - size[1], 2)
    box = struct.pack(
        ">I4sIIIIiIiI", 40, b"clap", right - left, 1, bottom - top, 1, *middle[0], *middle[1]
    )
    data = bytearray(avif)
    properties = data.find(b"ipco") - 4
    end = properties + int.from_bytes(data[properties : properties + 4], "big")
    count = 0
    at = properties + 8
    while at < end:
        at, count = at + int.from_bytes(data[at : at + 4], "big"), count + 1
    links = data.find(b"ipma") - 4
    number = links + 8 + 4 + 4 + 2  # how many properties the item has
    last = number + 1 + data[number]
    pixels = (data.find(b"mdat") + 4).to_bytes(4, "big")
    place = data.find(pixels, data.find(b"iloc"))
    data[place : place + 4] = (int.from_bytes(pixels, "big") + len(box) + 1).to_bytes(4, "big")
    data[number] += 1
    data[last:last] = bytes([0x80 | count + 1])
    data[end:end] = box
    for name, more in ((b"ipco", 40), (b"ipma", 1), (b"iprp", 41), (b"meta", 41)):
        start = data.find(name) - 4
        data[start : start + 4] = (int.from_bytes(data[start : start + 4], "big") + more).to_bytes(
            4, "big"
        )
    return bytes(data)
