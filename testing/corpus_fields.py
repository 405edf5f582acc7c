"""Makes H.264 whose fields are pictures of their own, as camcorders and television have it; no
encoder here does.

Every macroblock is stored uncoded, so that a writer of bits is all it takes. Each frame is of one
grey.
"""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np

SIDE = 32  # pixels
_GREY = 6  # from one frame to the next


def grey(number: int) -> int:
    """The luma that frame ``number`` is painted with."""
    return 20 + number * _GREY % 200


def read_number(picture: np.ndarray) -> int:
    """Which frame a picture, RGB, is; of the first 33."""
    return round((picture.mean() / 255 * 219 + 16 - 20) / _GREY)


def make(structure: str, container: str = "mpegts", order: str = "tb") -> bytes:
    """A video with a frame for each letter of ``structure``.

    Args:
        structure: "f" for a frame of two fields that are pictures of their own, "p" for a frame
            that is one picture.
        container: FFmpeg's name of the muxer.
        order: Which field comes first, "tb" or "bt".
    """
    pictures = []  # bytes and time
    for number, letter in enumerate(structure):
        for part, field in enumerate(order if letter == "f" else " "):
            head = b"\0\0\0\1\x09\x10" + (_sequence() + _parameters() if not pictures else b"")
            pictures.append((head + _slice(number, field, first=not pictures), 2 * number + part))
    source = av.open(io.BytesIO(b"".join(data for data, _ in pictures)), format="h264")
    target = io.BytesIO()
    with av.open(target, "w", format=container) as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        coded = (packet for packet in source.demux(video=0) if packet.size)
        for packet, (_, time) in zip(coded, pictures, strict=True):
            packet.stream, packet.time_base, packet.pts, packet.dts = (
                copy,
                Fraction(1, 50),
                time,
                time,
            )
            out.mux(packet)
    return target.getvalue()


def _sequence() -> bytes:
    # Main profile, level 3, pictures in the order they are coded in, 32x32, fields allowed.
    bits = (
        f"{77:08b}{0:08b}{30:08b}" + _ue(0, 0, 2, 1) + "0" + _ue(1, 0) + "0" + "0" + "1" + "0" + "0"
    )
    return _unit(0x67, bits)


def _parameters() -> bytes:
    bits = _ue(0, 0) + "0" + "1" + _ue(0, 0, 0) + "000" + _ue(0, 0, 0) + "000"
    return _unit(0x68, bits)


def _slice(number: int, field: str, *, first: bool) -> bytes:
    bits = (
        _ue(0, 7, 0)
        + f"{number % 16:04b}"
        + ("0" if field == " " else "1" + str(int(field == "b")))
    )
    bits += _ue(0) if first else ""
    bits += "00" if first else "0"
    bits += _ue(0)
    for _ in range(4 if field == " " else 2):
        bits += _ue(25)
        bits += "0" * (-len(bits) % 8)
        bits += f"{grey(number):08b}" * 256 + f"{128:08b}" * 128
    return _unit(0x65 if first else 0x61, bits)


def _ue(*values: int) -> str:
    return "".join("0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}" for value in values)


def _unit(head: int, bits: str) -> bytes:
    bits += "1"
    raw = np.packbits(np.array(list(bits), np.uint8)).tobytes()
    escaped, zeros = bytearray(), 0
    for byte in raw:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = 0 if byte else zeros + 1
    return b"\0\0\0\1" + bytes([head]) + bytes(escaped)
