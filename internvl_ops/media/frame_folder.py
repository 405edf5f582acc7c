"""Reads a folder or a list of frame images like a video file.

`frame_files` packs the frames into one archive. A tar file of frames from another source is read in
the same way.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator

import cv2
import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.media.frame_files import FRAME_SUFFIXES, frame_names
from internvl_ops.media.image import decode_image
from internvl_ops.media.image_options import Exif, ImageOptions
from internvl_ops.media.video_file import DecodedFrame, VideoFile
from internvl_ops.media.video_stream import video_too_long

_USTAR, _USTAR_AT = b"ustar", 257
_DIGITS = re.compile(r"\d+")


class FrameFolder:
    """Frame images as a video, with the same methods as `VideoFile`; reads an archive from
    `pack_frames`.

    If the first name in a folder ends in 1, frame ``n`` is shown at ``n / fps`` seconds when a
    row's start and end are looked up: ffmpeg names frames this way, and benchmarks count this way.
    `first_number` holds the first number.

    Args:
        source: The archive's bytes, or its path.
        fps: Frames per second.
        exif: As in `ImageOptions`.
        max_pixels: Maximum number of pixels of a frame.
        max_seconds: Maximum length of the video.
    """

    def __init__(
        self,
        source: bytes | str,
        *,
        fps: float,
        max_pixels: int,
        max_seconds: float,
        exif: Exif = "apply",
    ) -> None:
        self._source, self._options = (
            source,
            ImageOptions(max_pixels=max_pixels, jpeg_scaling=False, exif=exif),
        )
        self.fps, self.missing_frames = float(fps), 0
        with self._open() as archive:
            entries = {entry.name: entry for entry in archive if entry.isreg()}
        self._entries = [entries[name] for name in frame_names(entries)]
        self.num_frames = len(self._entries)
        if not self.num_frames:
            message = f"a tar file without frame images ({', '.join(FRAME_SUFFIXES)}), not a video"
            raise UnitError("decode", "unsupported", message)
        self.timestamps = np.arange(self.num_frames) / fps
        numbers = _DIGITS.findall(os.path.basename(self._entries[0].name))
        self.first_number = int(bool(numbers) and int(numbers[-1]) == 1)
        if self.duration_s > max_seconds:
            raise video_too_long(self.duration_s, max_seconds)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return self.num_frames / self.fps

    @property
    def frame_pixels(self) -> int:
        """Pixels of the first frame."""
        first = next(self.frames([0]), None)
        return 0 if first is None else first.pixels.shape[0] * first.pixels.shape[1]

    def frames(self, numbers: list[int]) -> Iterator[DecodedFrame]:
        """Decodes the frames with these numbers; frames that cannot be decoded are left out."""
        with self._open() as archive:
            for number in sorted(set(numbers)):
                file = archive.extractfile(self._entries[number])
                assert file is not None, "only regular files are listed"
                try:
                    yield DecodedFrame(number, decode_image(file.read(), self._options))
                except UnitError as error:
                    if error.kind == "too_large":
                        raise

    def previews(self, side: int) -> Iterator[tuple[float, np.ndarray]]:
        """Yields the same as `VideoFile.previews`."""
        size: tuple[int, int] | None = None
        for frame in self.frames(list(range(self.num_frames))):
            height, width = frame.pixels.shape[:2]
            scale = side / max(width, height)
            size = size or (max(2, round(width * scale)), max(2, round(height * scale)))
            yield (
                frame.number / self.fps,
                cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA),
            )

    def _open(self) -> tarfile.TarFile:
        try:
            if isinstance(self._source, bytes):
                return tarfile.open(fileobj=io.BytesIO(self._source), mode="r:")
            return tarfile.open(self._source, mode="r:")
        except tarfile.TarError as error:
            raise UnitError(
                "decode", "corrupt", f"tar file of frames that cannot be read: {error}"
            ) from None


def open_video(
    source: bytes | str,
    *,
    frames_fps: float,
    max_pixels: int,
    max_seconds: float,
    threads: int,
    exif: Exif = "apply",
) -> VideoFile | FrameFolder:
    """Opens a video, whether it is a file or frames; the arguments are those of `VideoFile` and
    `FrameFolder`."""
    if _is_archive(source):
        return FrameFolder(
            source, fps=frames_fps, max_pixels=max_pixels, max_seconds=max_seconds, exif=exif
        )
    return VideoFile(source, max_pixels=max_pixels, max_seconds=max_seconds, threads=threads)


def _is_archive(source: bytes | str) -> bool:
    if isinstance(source, bytes):
        return source.startswith(_USTAR, _USTAR_AT)
    with open(source, "rb") as file:
        return file.read(_USTAR_AT + len(_USTAR)).startswith(_USTAR, _USTAR_AT)
