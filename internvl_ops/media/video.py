"""Turns a video file into the tiles of the frames that InternVL sees."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.media import shared
from internvl_ops.media.fits import Fit
from internvl_ops.media.frame_folder import FrameFolder, open_video
from internvl_ops.media.image_options import Exif
from internvl_ops.media.library_settings import import_decord
from internvl_ops.media.sampling import sample_range, sample_times, spread, step_indices
from internvl_ops.media.tiling import Resize, tile_image
from internvl_ops.media.video_file import DecodedFrame, VideoFile


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """How videos are sampled and decoded.

    Args:
        num_frames: Number of frames, taken evenly from the video. The cards use 8, video benchmarks
            16.
        fps: Take this many frames per second instead, by their time, and at most ``max_frames``.
        start: Start of the sampled range, in seconds from the first frame; None is the beginning.
        end: End of the range in seconds; None, or a time past the end, is the end.
        rule: "cards" takes the middle of each of ``num_frames`` equal parts. "steps" takes the
            frames between ``num_frames + 1`` equal parts, like VLMEvalKit. Only "cards" supports a
            start or an end.
        max_frames: Maximum number of frames. More than about 64 seldom fit the context: a frame is
            256 tokens.
        max_tiles: Maximum tiles of one frame. The cards' videos have 1.
        thumbnail: Append the whole frame as one more tile if a frame has several.
        fit: How it gets the shape of its tiles; see `tile_image`.
        tile_size: Side of a tile in pixels, from the checkpoint.
        resize: "fast" or "exact"; see `tile_image`.
        max_pixels: Maximum number of pixels of a frame; larger ones are refused before decoding.
        max_seconds: Maximum length of a video.
        truncated: "error" refuses a truncated video, or one of which more than half the frames
            cannot be decoded. "accept" uses what is there.
        decoder: "pyav" decodes only what a wanted frame needs: on H.264 it is 1.6 times as fast as
            decord, with the same pixels. "decord" is the model cards' decoder, with PyAV for files
            that it cannot open or index; use it to reproduce the cards exactly, including its
            errors: it does not support AV1, and for MPEG-4 with B-frames it returns the wrong
            frames. It is not installed with this project: pip install decord.
        frames_fps: Frames per second of a video that is a folder or a list of frame images.
        exif: As in `ImageOptions`, for frame images.
        threads: Threads to decode one video. 1 is best if there are as many parallel actors as
            cores.
    """

    num_frames: int = 8
    fps: float | None = None
    start: float | None = None
    end: float | None = None
    rule: Literal["cards", "steps"] = "cards"
    max_frames: int = 128
    max_tiles: int = 1
    thumbnail: bool = True
    fit: Fit = "stretch"
    tile_size: int = 448
    resize: Resize = "fast"
    max_pixels: int = 1 << 26
    max_seconds: float = 6 * 3600.0
    truncated: Literal["error", "accept"] = "error"
    decoder: Literal["pyav", "decord"] = "pyav"
    frames_fps: float = 3.0
    exif: Exif = "apply"
    threads: int = 1


@dataclass
class SampledVideo:
    """A video ready for the model.

    Args:
        tiles: uint8 of shape (tiles, 3, tile_size, tile_size), frame after frame.
        tiles_per_frame: Number of tiles of each frame.
        frame_numbers: Numbers of these frames, in presentation order, from 0. A short video repeats
            some.
        timestamps: When each is shown, in seconds from the first frame.
        width: Width of the upright frames, in pixels.
        height: Height of the upright frames, in pixels.
        video_frames: Number of frames of the whole video.
        fps: Average frame rate.
        duration_s: Duration of the whole video.
        notes: What a reader of the result should know, such as "damaged frames: 12".
    """

    tiles: np.ndarray
    tiles_per_frame: list[int]
    frame_numbers: list[int]
    timestamps: list[float]
    width: int
    height: int
    video_frames: int
    fps: float
    duration_s: float
    notes: list[str] = field(default_factory=list)


def load_video(source: bytes | str, options: VideoOptions | None = None) -> SampledVideo:
    """Samples, decodes and tiles one video.

    Args:
        source: The file's bytes, or the path of a readable local file; frame images as an archive
            from `pack_frames`.
        options: How to sample and decode it.

    Raises:
        UnitError: Stage "decode": "unsupported" for a file without video (sound only, say),
            "corrupt" for a damaged one, "too_large" beyond a limit, "bad_row" if no frame lies
            between start and end.
    """
    options = options or VideoOptions()
    video = open_video(
        source,
        frames_fps=options.frames_fps,
        exif=options.exif,
        max_pixels=options.max_pixels,
        max_seconds=options.max_seconds,
        threads=options.threads,
    )
    notes = _completeness(video, options)
    numbers = _choose(video, options, notes)
    tiles, (width, height) = _decode(source, video, numbers, options, notes)
    shown = [tiles[number] for number in numbers]
    return SampledVideo(
        tiles=np.concatenate(shown, out=shared.empty((sum(map(len, shown)), *shown[0].shape[1:]))),
        tiles_per_frame=[len(frame) for frame in shown],
        frame_numbers=numbers,
        timestamps=[float(video.timestamps[number]) for number in numbers],
        width=width,
        height=height,
        video_frames=video.num_frames,
        fps=video.fps,
        duration_s=video.duration_s,
        notes=notes,
    )


def _completeness(video: VideoFile | FrameFolder, options: VideoOptions) -> list[str]:
    # One or two frames fewer than the header states is normal, and a tenth of a second is not worth
    # an error.
    if video.missing_frames <= max(2, video.fps / 10):
        return []
    promised = video.num_frames + video.missing_frames
    told = f"the file ends early: {video.num_frames} of {promised} frames are there"
    if options.truncated == "error":
        raise UnitError("decode", "corrupt", f"{told}; fetch it again or accept truncated files")
    return [told]


def _choose(video: VideoFile | FrameFolder, options: VideoOptions, notes: list[str]) -> list[int]:
    start, end = options.start, options.end
    if options.fps is None:
        wanted = min(options.num_frames, options.max_frames)
        if options.rule == "steps" and start is None and end is None:
            return step_indices(video.num_frames, wanted)
        return sample_range(
            video.timestamps, video.fps, wanted, start=start, end=end, first=video.first_number
        )
    numbers = sample_times(video.timestamps, options.fps, start=start, end=end)
    if len(numbers) <= options.max_frames:
        return numbers
    notes.append(
        f"{options.max_frames} frames taken evenly instead of {len(numbers)} at {options.fps:g} a"
        " second"
    )
    return spread(numbers[0], numbers[-1], options.max_frames)


def _decode(
    source: bytes | str,
    video: VideoFile | FrameFolder,
    numbers: list[int],
    options: VideoOptions,
    notes: list[str],
) -> tuple[dict[int, np.ndarray], tuple[int, int]]:
    """Returns the tiles of each frame, and the size of the first, upright."""
    tiles: dict[int, np.ndarray] = {}
    size: dict[int, tuple[int, int]] = {}
    lost, damaged = set(numbers), []
    with _own_memory():
        for frame in _frames(source, video, numbers, options, notes):
            if not frame.stands_in:
                lost.discard(frame.number)
            if frame.damaged:
                damaged.append(frame.number)
            tiles[frame.number] = _tile(frame.pixels, options)
            size[frame.number] = frame.pixels.shape[1], frame.pixels.shape[0]
    if not tiles or (options.truncated == "error" and 2 * len(lost) > len(set(numbers))):
        told = (
            f"{len(lost)} of {len(set(numbers))} frames cannot be decoded, the first is frame"
            f" {min(lost)}"
        )
        raise UnitError(
            "decode", "corrupt", f"{told}; fetch the file again or accept truncated files"
        )
    if damaged:
        notes.append(f"damaged frames: {_listed(damaged)}")
    if lost:
        notes.append(f"lost frames, for which the nearest one stands in: {_listed(lost)}")
    for number in lost - set(tiles):
        nearest = min(tiles.keys() - lost or tiles, key=lambda other: abs(other - number))
        tiles[number], size[number] = tiles[nearest], size[nearest]
    return tiles, size[numbers[0]]


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _tile(pixels: np.ndarray, options: VideoOptions) -> np.ndarray:
    return tile_image(
        pixels,
        tile_size=options.tile_size,
        max_tiles=options.max_tiles,
        thumbnail=options.thumbnail,
        fit=options.fit,
        resize=options.resize,
    )


def _frames(
    source: bytes | str,
    video: VideoFile | FrameFolder,
    numbers: list[int],
    options: VideoOptions,
    notes: list[str],
) -> Iterator[DecodedFrame]:
    left = sorted(set(numbers))
    if options.decoder == "decord" and isinstance(video, VideoFile):
        decord = import_decord()
        try:
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            reader = decord.VideoReader(file, ctx=decord.cpu(0), num_threads=options.threads)
            while left and len(reader) == video.num_frames:
                yield DecodedFrame(left[0], reader[left[0]].asnumpy())
                left.pop(0)
        # also in mid-video, where its index and the packets disagree
        except (decord.DECORDError, RuntimeError):
            pass
        if left:
            notes.append("decoded with PyAV: decord cannot open or index it")
    if left:
        yield from video.frames(left)


@contextlib.contextmanager
def _own_memory() -> Iterator[None]:
    """Puts single frames into ordinary memory: only the tiles of all frames together are worth
    sharing."""
    before, shared.allocate = shared.allocate, None
    try:
        yield
    finally:
        shared.allocate = before
