"""Decodes JPEG files, and tells damaged files from sound ones of a kind that is not supported."""

from __future__ import annotations

import numpy as np
import simplejpeg

from internvl_ops.errors import UnitError

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_UNREAD = {
    0xC3: "lossless JPEG", 0xC5: "hierarchical JPEG", 0xC6: "hierarchical JPEG",
    0xC7: "hierarchical JPEG", 0xCB: "lossless JPEG", 0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG", 0xCF: "hierarchical JPEG", 0xF7: "JPEG-LS",
}  # fmt: skip
_END = b"\xff\xd9"
_LACKS_DATA = "premature end of data segment"
_NO_END = "Premature end of JPEG file"


def decode_jpeg(
    data: bytes,
    size: tuple[int, int],
    colours: str,
    notes: list[str],
    *,
    accept_cut: bool,
    buffer: np.ndarray,
) -> np.ndarray | None:
    """Decodes with libjpeg-turbo through simplejpeg, which gives the same pixels as Pillow and is
    faster.

    Args:
        data: The file.
        size: Width and height that the pixels must have, as stored.
        colours: "RGB", or "CMYK" for four inks as they are stored.
        notes: The decoder's warnings are appended.
        accept_cut: Accept a picture of which a part is missing.
        buffer: Memory for the pixels.

    Returns:
        uint8 of shape (height, width, channels); None if Pillow must decode the file.

    Raises:
        UnitError: "corrupt": a part of the picture is missing.
    """
    try:
        return _pixels(data, size, colours, buffer)
    except ValueError as error:
        warning = str(error)
    if _NO_END in warning:  # perhaps only the end mark is missing
        try:
            if _scans_complete(data):
                return _pixels(data + _END, size, colours, buffer)
        except ValueError as error:
            warning = str(error)
    if _NO_END not in warning and _LACKS_DATA not in warning:
        # For any other warning of libjpeg, Pillow decodes the file: it returns an image without a
        # warning.
        # TurboJPEG's own limits, such as rare subsampling, are not damage
        if not warning.startswith("tj"):
            notes.append(f"JPEG decoder warned: {warning}")
        return None
    if not accept_cut:
        message = (
            "JPEG file is truncated: its decoder says that a part of the picture is missing; fetch"
            " it again "
        )
        raise UnitError("decode", "corrupt", message + "or accept truncated files")
    notes.append(f"JPEG decoder warned: {warning}")
    return _pixels(data, size, colours, buffer, strict=False)


def _pixels(
    data: bytes, size: tuple[int, int], colours: str, buffer: np.ndarray, *, strict: bool = True
) -> np.ndarray | None:
    width, height = size
    pixels = simplejpeg.decode_jpeg(
        data, colours, min_width=width, min_height=height, buffer=buffer, strict=strict
    )
    return pixels if pixels.shape[:2] == (height, width) else None


def unsupported_jpeg(data: bytes) -> UnitError | None:
    """The error for a JPEG that is sound but of an unsupported kind; None for any other."""
    frame = _frame(data)
    if frame is None:
        return None
    marker, bits, _ = frame
    what = (
        "JPEG-LS"
        if marker == 0xF7
        else _UNREAD.get(marker) or (f"JPEG with {bits} bits a sample" if bits != 8 else "")
    )
    if not what:
        return None
    return UnitError(
        "decode", "unsupported", f"{what}; convert it to JPEG with 8 bits a sample, PNG or WebP"
    )


def _frame(data: bytes) -> tuple[int, int, int] | None:
    """The marker of the first frame, which gives its kind, the bits of its samples, and its
    position."""
    at = 2
    while at + 5 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _STANDALONE:
            at += 2
        elif marker == 0xF7:
            return marker, 0, at  # JPEG-LS
        elif marker in _FRAMES:
            return marker, data[at + 4], at
        elif marker in (0xD9, 0xDA):
            return None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _scans_complete(data: bytes) -> bool:
    """Whether every coefficient of every component had its last scan; then only the end mark is
    missing."""
    frame = _frame(data)
    if frame is None:
        return False
    at = frame[2]
    components = set(data[at + 10 : at + 10 + 3 * data[at + 9] : 3])
    low: dict[tuple[int, int], int] = {}  # for each coefficient, the lowest bit of all scans so far
    while (at := data.find(b"\xff\xda", at)) >= 0:
        count = data[at + 4] if at + 4 < len(data) else 0
        head = data[at + 5 : at + 5 + 2 * count + 3]
        at += 2
        if len(head) == 2 * count + 3 and count:
            for component in head[0 : 2 * count : 2]:
                low |= {
                    (component, number): head[-1] & 15
                    for number in range(head[-3], min(head[-2], 63) + 1)
                }
    return all(
        low.get((component, number)) == 0 for component in components for number in range(64)
    )
