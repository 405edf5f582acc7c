"""Selects the frames of a video that the model sees."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from internvl_ops.errors import UnitError


def sample_indices(
    video_frames: int,
    num_frames: int,
    *,
    fps: float = 1.0,
    start: float | None = None,
    end: float | None = None,
    first: int = 0,
) -> list[int]:
    """Takes frames evenly, by the model cards' rule: one from the middle of each of ``num_frames``
    equal parts.

    Args:
        video_frames: Number of frames of the video.
        num_frames: Number of frames to take. If it exceeds the video's, some frames are repeated.
        fps: Frames per second; needed only for start and end.
        start: Start of the sampled range in seconds; None is the beginning.
        end: End of the range in seconds; None, or a time past the end, is the end.
        first: The first frame that may be taken.

    Returns:
        ``num_frames`` frame numbers, each from 0 to ``video_frames - 1``. They ascend, except if
        the start is in the frame after the last, where the cards' rule steps back to the last
        frames.

    Raises:
        UnitError: "bad_row" if no frame lies between start and end.
        ValueError: The number of frames to take, or of the video, is below one.
    """
    if video_frames < 1 or num_frames < 1:
        raise ValueError(
            f"{num_frames} of {video_frames} frames is not allowed: both must be at least 1"
        )
    _check_numbers(start, end)
    last = video_frames - 1
    # Halves round to the even frame, as in the cards' code.
    begin = first if start is None else max(first, round(start * fps))
    wanted = last if end is None or (math.isinf(end) and end > 0) else round(max(end, -1.0) * fps)
    if begin == last + 1 and (end is None or wanted >= begin):
        return _parts(begin, last, num_frames)
    return spread(
        begin,
        min(wanted, last),
        num_frames,
        video_frames / fps if start is not None or end is not None else None,
    )


def step_indices(video_frames: int, num_frames: int) -> list[int]:
    """Takes frames by VLMEvalKit's rule: at whole steps of ``video_frames / (num_frames + 1)``,
    without the first and the last frame of the video."""
    if video_frames < 1 or num_frames < 1:
        raise ValueError(
            f"{num_frames} of {video_frames} frames is not allowed: both must be at least 1"
        )
    step = video_frames / (num_frames + 1)
    return [int(number * step) for number in range(1, num_frames + 1)]


def sample_times(
    timestamps: np.ndarray, rate: float, *, start: float | None = None, end: float | None = None
) -> list[int]:
    """Takes the frame that is on the screen at start, start + 1/rate, and so on before end.

    Args:
        timestamps: When each frame is shown, in seconds, ascending.
        rate: Frames to take per second.
        start: Seconds; None is the first frame's time.
        end: Seconds; None is just after the last frame's time.
    """
    begin, stop = _range_by_time(timestamps, start, end)
    if rate <= 0 or not math.isfinite(rate):
        raise ValueError(f"fps {rate} is not allowed: it must be above 0")
    begin_s = max(0.0 if start is None else start, 0.0)
    count = int((timestamps[stop] - begin_s) * rate + 1e-6) + 1
    # The small offset keeps a time that falls exactly on a frame from landing just before it.
    times = begin_s + np.arange(max(count, 1)) / rate + 1e-6
    return [
        int(number)
        for number in np.clip(np.searchsorted(timestamps, times, side="right") - 1, begin, stop)
    ]


def sample_range(
    timestamps: np.ndarray,
    fps: float,
    num_frames: int,
    *,
    start: float | None = None,
    end: float | None = None,
    first: int = 0,
) -> list[int]:
    """Does the same as `sample_indices`, for a video whose frame times are known.

    To convert seconds to frame numbers, frame 0 counts as number ``first``.

    The cards convert seconds to frame numbers by the average frame rate. If frames are not evenly
    spaced, that selects frames outside the given seconds; in this case the frame times are used.
    """
    if (start is None and end is None) or is_regular(timestamps, fps):
        count = len(timestamps) + first
        numbers = sample_indices(count, num_frames, fps=fps, start=start, end=end, first=first)
        return [number - first for number in numbers]
    return spread(*_range_by_time(timestamps, start, end), num_frames, float(timestamps[-1]))


def is_regular(timestamps: np.ndarray, fps: float) -> bool:
    """Whether every frame is shown within one frame's duration of its place in an even spacing."""
    return bool(np.all(np.abs(timestamps - np.arange(len(timestamps)) / fps) <= 1.0 / fps))


def spread(begin: int, stop: int, num_frames: int, seconds: float | None = None) -> list[int]:
    """The middles of ``num_frames`` equal parts of the frames ``begin`` to ``stop``, rounded as in
    the cards."""
    if begin > stop:
        length = "" if seconds is None else f" of a video of {seconds:.1f} s"
        raise UnitError(
            "decode",
            "bad_row",
            f"start and end leave no frame{length} (frames {begin} to {stop}); start must come"
            " first",
        )
    return _parts(begin, stop, num_frames)


def _parts(begin: int, stop: int, num_frames: int) -> list[int]:
    part = (stop - begin) / num_frames
    return [int(begin + part / 2 + np.round(part * k)) for k in range(num_frames)]


def frame_labels(num_frames: int, style: Literal["cards", "training"] = "cards") -> str:
    """The lines that stand for the frames in a prompt, before the question.

    Args:
        num_frames: Number of frames.
        style: "cards" writes ``Frame1: <image>``. "training" writes ``Frame-1: <image>``, as
            InternVL's training data and VLMEvalKit do; use it to reproduce their scores.
    """
    dash = {"cards": "", "training": "-"}[style]
    return "".join(f"Frame{dash}{number}: <image>\n" for number in range(1, num_frames + 1))


def _range_by_time(
    timestamps: np.ndarray, start: float | None, end: float | None
) -> tuple[int, int]:
    """The first and last frame that are shown between start and end."""
    _check_numbers(start, end)
    begin = 0 if start is None else int(np.searchsorted(timestamps, start - 1e-6))
    last = len(timestamps) - 1
    if start is not None and begin > last and (end is None or end >= start):
        # The last frame is on the screen for as long as an average one.
        shown_s = timestamps[-1] / last if last else 0.04
        begin = last if start <= timestamps[-1] + shown_s + 1e-6 else begin
    stop = (
        len(timestamps) - 1
        if end is None
        else int(np.searchsorted(timestamps, end + 1e-6, side="right")) - 1
    )
    if begin > stop:
        spread(begin, stop, 1, float(timestamps[-1]))
    return begin, stop


def _check_numbers(start: float | None, end: float | None) -> None:
    for name, value in (("start", start), ("end", end)):
        if value is not None and math.isnan(value):
            raise UnitError(
                "decode", "bad_row", f"{name} is not a number; allowed are seconds, or nothing"
            )
    if start is not None and math.isinf(start):
        raise UnitError(
            "decode", "bad_row", f"start {start} is not allowed; give seconds, or nothing"
        )
