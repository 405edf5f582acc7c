"""Reads the boxes of HEIC, HEIF and AVIF files: the primary picture, its size, coding and crop."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Codings of pictures that no decoder here reads.
_CODINGS = {
    b"vvc1": "VVC (H.266)", b"avc1": "H.264", b"jpeg": "JPEG", b"j2k1": "JPEG 2000",
    b"unci": "without compression", b"evc1": "EVC", b"mski": "a mask", b"jxl ": "JPEG XL",
}  # fmt: skip
_READ = frozenset({b"hvc1", b"av01", b"grid", b"iden", b"iovl", b"tmap"})
_MAX_BOXES = 100_000
AVIF_PIXELS = 16384 * 16384  # the maximum of its decoder


@dataclass(frozen=True)
class Primary:
    """The boxes' description of the picture to show.

    Args:
        size: As coded, before cropping and turning; None if the file does not state it.
        crop: left, top, right, bottom in coded pixels; None if the whole picture is shown.
        coding: The name of a coding that no decoder here reads, else empty.
        sequence_only: The file has frames in a track and no separate picture.
        ends_early: A box extends beyond the end of the file.
    """

    size: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    coding: str = ""
    sequence_only: bool = False
    ends_early: bool = False


def primary(data: bytes) -> Primary:
    """Reads the boxes; damaged ones are ignored."""
    try:
        return _primary(data)
    except (struct.error, IndexError, ValueError, ZeroDivisionError, OverflowError):
        return Primary()


def _primary(data: bytes) -> Primary:
    top = {kind: (start, end) for kind, start, end in _boxes(data, 0, len(data))}
    ends_early = any(end > len(data) for _, end in top.values())
    if b"meta" not in top:
        return Primary(sequence_only=b"moov" in top, ends_early=ends_early)
    start, end = top[b"meta"]
    meta = {kind: place for kind, *place in _boxes(data, start + 4, min(end, len(data)))}
    item = _primary_item(data, meta)
    kind = _item_type(data, meta, item)
    size, crop = None, None
    for name, at, stop in _properties(data, meta, item):
        if name == b"ispe":
            size = struct.unpack_from(">II", data, at + 4)
        elif name == b"clap" and size is not None:
            crop = _crop(struct.unpack_from(">IIIIiIiI", data[at:stop]), size)
    coding = (
        ""
        if not kind or kind in _READ
        else _CODINGS.get(kind, repr(kind.decode("ascii", "replace")))
    )
    return Primary(size, crop, coding, False, ends_early)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields each box's type and the start and end of its content; the last may end beyond the
    data."""
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            size, head = struct.unpack_from(">Q", data, at + 8)[0], 16
        elif size == 0:
            size = end - at
        if size < head:
            return
        yield kind, at + head, at + size
        at += size


def _primary_item(data: bytes, meta: dict[bytes, list[int]]) -> int:
    at = meta[b"pitm"][0] if b"pitm" in meta else None
    if at is None:
        return 1
    return struct.unpack_from(">I" if data[at] else ">H", data, at + 4)[0]


def _item_type(data: bytes, meta: dict[bytes, list[int]], item: int) -> bytes:
    if b"iinf" not in meta:
        return b""
    start, end = meta[b"iinf"]
    for _, at, _ in _boxes(data, start + (8 if data[start] else 6), end):
        version = data[at]
        if version >= 2:
            form = ">H" if version == 2 else ">I"
            if struct.unpack_from(form, data, at + 4)[0] == item:
                after = at + 4 + struct.calcsize(form) + 2
                return data[after : after + 4]
    return b""


def _properties(
    data: bytes, meta: dict[bytes, list[int]], item: int
) -> Iterator[tuple[bytes, int, int]]:
    """Yields the properties of one item in their order."""
    if b"iprp" not in meta:
        return
    start, end = meta[b"iprp"]
    inner = list(_boxes(data, start, end))
    every = [box for kind, at, stop in inner if kind == b"ipco" for box in _boxes(data, at, stop)]
    for kind, at, stop in inner:
        if kind != b"ipma":
            continue
        for index in _associated(data[at:stop], item):
            if 1 <= index <= len(every):
                yield every[index - 1]


def _associated(ipma: bytes, item: int) -> list[int]:
    version, flags = ipma[0], ipma[3]
    count, at = struct.unpack_from(">I", ipma, 4)[0], 8
    for _ in range(min(count, _MAX_BOXES)):
        number = struct.unpack_from(">I" if version else ">H", ipma, at)[0]
        at += 4 if version else 2
        length, at = ipma[at], at + 1
        wide = flags & 1
        indices = [
            struct.unpack_from(">H", ipma, at + 2 * k)[0] & 0x7FFF if wide else ipma[at + k] & 0x7F
            for k in range(length)
        ]
        at += length * (2 if wide else 1)
        if number == item:
            return indices
    return []


def _crop(clap: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """The crop in whole pixels; None for a crop that extends beyond the picture, which readers
    ignore."""
    width, height = clap[0] / clap[1], clap[2] / clap[3]
    left = clap[4] / clap[5] + (size[0] - width) / 2
    top = clap[6] / clap[7] + (size[1] - height) / 2
    box = (round(left), round(top), round(left + width), round(top + height))
    inside = 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]
    return box if inside and box != (0, 0, *size) else None
