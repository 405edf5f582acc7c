"""Splits a video into clips, by length or at scene changes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from internvl_ops.errors import UnitError
from internvl_ops.media.frame_folder import FrameFolder, open_video
from internvl_ops.media.video_file import VideoFile

_PREVIEW_SIDE = 256  # pixels; PySceneDetect's thresholds are made for this size
_PIXELS_A_MINUTE = 1920 * 1080 * 30 * 60
# comparing a frame with the previous one costs as much as decoding this many pixels
_LEAST_PIXELS = 1 << 18
_TICKS = 1_000_000  # per second


@dataclass(frozen=True, kw_only=True)
class ClipOptions:
    """How a video is split.

    Args:
        by: "length" cuts every ``length_s`` seconds and decodes nothing. "scenes" cuts where the
            picture changes, which decodes the whole video.
        length_s: Seconds of a clip, when cutting by length.
        min_length_s: A shorter rest is joined to the previous clip, and a scene lasts at least this
            long.
        threshold: How much the picture must change for a new scene, from 0 to 255, as
            PySceneDetect's ContentDetector measures it. Lower it for soft cuts, raise it for
            flashes and fast motion.
        max_clips: A video with more clips is an error.
        max_seconds: Maximum length of a video.
        max_pixels: Maximum number of pixels of a frame.
        frames_fps: As in `VideoOptions`.
        threads: Number of threads for decoding.
    """

    by: Literal["length", "scenes"] = "length"
    length_s: float = 10.0
    min_length_s: float = 1.0
    threshold: float = 27.0
    max_clips: int = 10_000
    max_seconds: float = 6 * 3600.0
    max_pixels: int = 1 << 26
    frames_fps: float = 3.0
    threads: int = 1


@dataclass(frozen=True)
class Clip:
    """A part of a video, in seconds from its first frame; ``end_s`` is the start of the next
    clip."""

    start_s: float
    end_s: float


def split_video(source: bytes | str, options: ClipOptions | None = None) -> list[Clip]:
    """The clips of a video, in order and without gaps; a video that is too short to split is one
    clip.

    Args:
        source: The file's bytes, or the path of a readable local file.
        options: How to split it.

    Raises:
        UnitError: As in `load_video`; also "too_large" for more than ``max_clips`` clips.
    """
    options = options or ClipOptions()
    video = _opened(source, options)
    cuts = (
        _scene_cuts(video, options)
        if options.by == "scenes"
        else _even_cuts(video.duration_s, options)
    )
    if len(cuts) + 1 > options.max_clips:
        raise UnitError(
            "explode",
            "too_large",
            f"the video gives {len(cuts) + 1:,} clips; at most {options.max_clips:,} are allowed:"
            " make clips longer",
        )
    return [Clip(start, end) for start, end in itertools.pairwise([0.0, *cuts, video.duration_s])]


def scene_work(source: bytes | str, options: ClipOptions) -> float:
    """The work of finding a video's scenes, in minutes of 1080p at 30 frames per second, estimated
    from its index.

    One such minute takes 10 seconds on one core, in H.264.
    """
    video = _opened(source, options)
    return video.num_frames * max(video.frame_pixels, _LEAST_PIXELS) / _PIXELS_A_MINUTE


def _opened(source: bytes | str, options: ClipOptions) -> VideoFile | FrameFolder:
    return open_video(
        source,
        frames_fps=options.frames_fps,
        max_pixels=options.max_pixels,
        max_seconds=options.max_seconds,
        threads=options.threads,
    )


def _even_cuts(duration_s: float, options: ClipOptions) -> list[float]:
    if options.length_s <= 0:
        raise ValueError(f"length_s {options.length_s} is not allowed: it must be above 0")
    count = math.ceil(duration_s / options.length_s - 1e-9)
    if count > 1 and duration_s - (count - 1) * options.length_s < options.min_length_s:
        count -= 1
    return [number * options.length_s for number in range(1, count)]


def _scene_cuts(video: VideoFile | FrameFolder, options: ClipOptions) -> list[float]:
    # Slow to import, and only this function needs them.
    import numpy as np
    from scenedetect.common import FrameTimecode, Timecode
    from scenedetect.detectors import ContentDetector

    detector = ContentDetector(
        threshold=options.threshold, min_scene_len=float(options.min_length_s)
    )
    found: list[float] = []
    for seconds, pixels in video.previews(_PREVIEW_SIDE):
        time = FrameTimecode(
            Timecode(pts=round(seconds * _TICKS), time_base=Fraction(1, _TICKS)), fps=video.fps
        )
        blue_first = np.ascontiguousarray(pixels[:, :, ::-1])
        found.extend(cut.seconds for cut in detector.process_frame(time, blue_first))
    latest = video.duration_s - options.min_length_s
    return sorted(cut for cut in set(found) if 0 < cut <= latest)
