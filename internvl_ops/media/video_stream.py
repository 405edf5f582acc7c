"""Selects the stream that a video file shows, turns its frames upright, and explains files that
cannot be opened."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import av
import numpy as np

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media.sniff import sniffed, unreadable

# Demuxers that read only one file. Demuxers that follow references to other files are left out
# (hls, dash, concat, image sequences): a video must not make the decoder read other files or
# addresses.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "gif",
    "ivf", "nut", "h264", "hevc", "m4v", "mpegvideo", "rm", "dv", "mxf", "wtv", "apng",
)  # fmt: skip
_MAGIC = (
    (4, b"ftyp", "MP4"), (4, b"moov", "QuickTime"), (4, b"mdat", "QuickTime"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska"), (8, b"AVI ", "AVI"), (0, b"FLV", "FLV"),
    (0, b"OggS", "Ogg"), (0, b"\x30\x26\xb2\x75", "ASF"), (0, b"\x00\x00\x01", "MPEG"),
    (188, b"\x47", "MPEG-TS"),
)  # fmt: skip


def video_stream(container: Any) -> Any:
    """The stream that a player would show; cover pictures do not count.

    Raises:
        UnitError: Stage "decode", "unsupported" if there is none.
    """
    covers = av.stream.Disposition.attached_pic
    videos = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not videos:
        kinds = sorted({stream.type for stream in container.streams if stream.type != "video"})
        only = f"only {' and '.join(kinds)}" if kinds else "no stream at all"
        raise UnitError(
            "decode",
            "unsupported",
            f"{container_name(container)} holds {only}, and a video is needed",
        )
    best = container.streams.best("video")
    stream = best if best in videos else videos[0]
    if stream.codec_context is None:
        raise UnitError(
            "decode",
            "unsupported",
            f"{container_name(container)} is coded in a way that cannot be decoded here",
        )
    return stream


def upright(frame: Any) -> np.ndarray:
    """A frame's pixels, RGB, turned and mirrored according to its display matrix."""
    pixels = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    across, over, _, down, along = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    # A point (x, y) is shown at (across * x + down * y, over * x + along * y). The code takes the
    # nearest of the eight orientations of a picture.
    turned = abs(over) + abs(down) > abs(across) + abs(along)
    left, up = (down, over) if turned else (across, along)
    if turned:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels[:: -1 if up < 0 else 1, :: -1 if left < 0 else 1])


def container_name(container: Any) -> str:
    """The name of a file's kind, for messages."""
    name = container.format.name.split(",")[0]
    return {"mov": "MP4", "matroska": "Matroska"}.get(name, name.upper()) + " file"


def video_too_long(seconds: float, max_seconds: float) -> UnitError:
    """The error for a video that lasts longer than allowed."""
    return UnitError(
        "decode",
        "too_large",
        f"video of {seconds:,.0f} s; at most {max_seconds:,.0f} s are allowed: raise "
        f"{keyword('max_seconds')} or cut it",
    )


@contextlib.contextmanager
def failures_told(head: bytes) -> Iterator[None]:
    """Converts FFmpeg's errors into a UnitError that says what the file is; ``head`` is its first
    bytes."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise _unreadable(head, error.strerror or type(error).__name__) from None


def _unreadable(head: bytes, reason: str) -> UnitError:
    found = sniffed(head)
    if found.family not in ("video", "other") or not _is_video(head):
        return unreadable(head, "video")
    name = next(name for offset, magic, name in _MAGIC if head.startswith(magic, offset))
    mend = "it may end before its index: fetch it again"
    return UnitError("decode", "corrupt", f"{name} file that cannot be opened ({reason}); {mend}")


def _is_video(head: bytes) -> bool:
    return any(head.startswith(magic, offset) for offset, magic, _ in _MAGIC)
