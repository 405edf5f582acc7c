"""Finds and decodes single frames of a video file, with PyAV.

It makes two passes over the file without seeking. The first reads every packet's times and decodes
nothing (3 µs per packet). The second decodes only from a keyframe to the wanted frame, without
frames that no other frame refers to. Seeking would save little, since the bytes are in memory, and
it is inaccurate in containers without an index.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from internvl_ops.errors import UnitError, keyword
from internvl_ops.media.video_decoding import (
    DecodedRuns,
    FrameRun,
    ShownFrame,
    _all_frames,
    frames_by_count,
)
from internvl_ops.media.video_packets import PacketReader, packets
from internvl_ops.media.video_stream import (
    CONTAINERS,
    container_name,
    failures_told,
    upright,
    video_stream,
    video_too_long,
)

_MAX_PACKETS = 4_000_000


@dataclass(frozen=True)
class DecodedFrame:
    """One frame, upright.

    Args:
        number: Number of the requested frame, in presentation order, from 0.
        pixels: uint8 of shape (height, width, 3), RGB.
        stands_in: The requested frame could not be decoded; this is the nearest one that could.
        damaged: The decoder had to reconstruct parts of it.
    """

    number: int
    pixels: np.ndarray
    stands_in: bool = False
    damaged: bool = False


class VideoFile:
    """A video whose frames are known by number and time.

    Args:
        source: The file's bytes, or its path.
        max_pixels: Maximum number of pixels of a frame.
        max_seconds: Maximum length of the video.
        threads: Threads for decoding. 1 is best if as many actors as cores decode in parallel.

    Attributes:
        num_frames: Number of shown frames.
        fps: Average frame rate in the header, which decord and so the model cards use.
        timestamps: Seconds from the first frame, float64 of shape (num_frames,), ascending.
        missing_frames: Number of frames that the header promises and the file lacks.

    Raises:
        UnitError: Stage "decode"; "unsupported" for a file without decodable video, "corrupt",
            "too_large".
    """

    first_number = 0  # the number of the first frame

    def __init__(
        self,
        source: bytes | str,
        *,
        max_pixels: int = 1 << 26,
        max_seconds: float = 6 * 3600.0,
        threads: int = 1,
    ) -> None:
        self._source = source
        self._max_pixels = max_pixels
        self._threads = threads
        with self._open() as (container, stream):
            self._check_header(container, stream, max_seconds)
            self._read_index(container, stream)
        seconds = float(self.timestamps[-1])
        if seconds > max(max_seconds, 100 * self.num_frames / self.fps):
            raise UnitError(
                "decode",
                "corrupt",
                f"times of frames jump to {seconds:,.0f} s; fetch the file again",
            )
        if seconds > max_seconds:
            raise video_too_long(seconds, max_seconds)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float(self.timestamps[-1]) + 1.0 / self.fps

    @property
    def frame_pixels(self) -> int:
        """Pixels of a frame, according to the header."""
        return self._frame_pixels

    def frames(self, numbers: list[int]) -> Iterator[DecodedFrame]:
        """Decodes the frames with these numbers, each once, in any order.

        A damaged frame is replaced by the nearest frame decoded on the way to it, or left out if
        there is none.
        """
        wanted = sorted(set(numbers))
        with self._open() as (container, stream):
            by_times = self._by_times
            found = (
                self._by_time(container, stream, wanted)
                if by_times
                else frames_by_count(container, stream, wanted)
            )
            for number, frame, stands_in in found:
                yield DecodedFrame(number, upright(frame), stands_in, bool(frame.is_corrupt))

    def previews(self, side: int) -> Iterator[tuple[float, np.ndarray]]:
        """Seconds and pixels, RGB with ``side`` as the longer side, of every frame, in order and
        not turned upright."""
        with self._open() as (container, stream):
            first = self._shown[0].time if self._timed else 0
            width = height = 0  # of the first frame: in some videos the size changes
            for count, frame in enumerate(_all_frames(container, stream)):
                if not width:
                    scale = side / max(frame.width, frame.height)
                    width, height = (
                        max(2, round(frame.width * scale)),
                        max(2, round(frame.height * scale)),
                    )
                timed = self._by_times and frame.pts is not None
                seconds = (
                    float((frame.pts - first) * stream.time_base) if timed else count / self.fps
                )
                yield (
                    seconds,
                    frame.to_ndarray(
                        format="rgb24", width=width, height=height, interpolation="FAST_BILINEAR"
                    ),
                )

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
        with (
            io.BytesIO(self._source)
            if isinstance(self._source, bytes)
            else open(self._source, "rb")
        ) as file:
            head = file.read(4096)
            file.seek(0)
            with (
                failures_told(head),
                av.open(
                    file, metadata_errors="ignore", buffer_size=1 << 18, options=options
                ) as container,
            ):
                stream = video_stream(container)
                for other in container.streams:
                    if other.index != stream.index:
                        other.discard = av.stream.Discard.all
                context = stream.codec_context
                context.thread_count = self._threads
                context.thread_type = "NONE" if self._threads == 1 else "AUTO"
                # the size in the header may be wrong
                context.options = {"max_pixels": str(self._max_pixels)}
                yield container, stream

    def _check_header(self, container: Any, stream: Any, max_seconds: float) -> None:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width < 1 or height < 1:
            raise UnitError(
                "decode",
                "corrupt",
                f"{container_name(container)} does not say how large its frames are",
            )
        if width * height > self._max_pixels:
            raise UnitError(
                "decode",
                "too_large",
                f"frames of {width}x{height} = {width * height:,} pixels; at most"
                f" {self._max_pixels:,} are allowed: raise {keyword('max_pixels')} if memory"
                " allows",
            )
        self._frame_pixels = width * height
        seconds = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if seconds > max_seconds:
            raise video_too_long(seconds, max_seconds)

    def _read_index(self, container: Any, stream: Any) -> None:
        context, self._timed = stream.codec_context, True
        reader = PacketReader(context.codec.canonical_name, context.extradata)
        shown: list[ShownFrame] = []
        keys: list[tuple[int, int]] = []
        number = -1
        for number, packet in enumerate(packets(container, stream)):
            if number >= _MAX_PACKETS:
                raise UnitError(
                    "decode", "too_large", f"more than {_MAX_PACKETS:,} frames; cut the video first"
                )
            what = reader.shows(packet)
            if what == "second field":
                if shown and shown[-1].packet == number - 1:
                    shown[-1] = shown[-1]._replace(last=number)
                continue
            if packet.pts is None:
                self._timed = False
                shown.append(ShownFrame(0, number, number))
                continue
            # an edit list discards frames that later ones still need
            if what == "frame" and not packet.is_discard:
                shown.append(ShownFrame(packet.pts, number, number))
            if packet.is_keyframe or not keys:
                keys.append((packet.pts, number))
        if not shown:
            raise UnitError(
                "decode",
                "corrupt",
                f"{container_name(container)} announces a video and holds no frame of it",
            )
        self._count(container, stream, shown, number + 1)
        self._keys = sorted(keys)

    def _count(self, container: Any, stream: Any, shown: list[ShownFrame], count: int) -> None:
        """Numbers the frames in the order of their times."""
        in_order = all(one.time < next.time for one, next in itertools.pairwise(shown))
        self._shown = sorted(shown)
        self.num_frames = len(shown)
        self.fps = float(stream.average_rate or 0)
        if self._timed:
            times = np.array([one.time for one in self._shown], dtype=np.int64)
            self.timestamps = (times - times[0]) * float(stream.time_base)
            if self.fps <= 0 and self.timestamps[-1] > 0:
                self.fps = (self.num_frames - 1) / float(self.timestamps[-1])
        if self.fps <= 0:
            self.fps = 25.0
        if not self._timed:
            self.timestamps = np.arange(self.num_frames) / self.fps
        self.missing_frames = max(0, self._promised(container, stream) - count)
        # AVI has one time per packet, in decoding order. The times as a whole are right, but the
        # order is wrong for frames that are shown in another order. Equal times do not reveal the
        # order either.
        in_decoding_order = in_order and container.format.name == "avi"
        equal = len({one.time for one in shown}) < len(shown)
        unclear = (in_decoding_order or equal) and stream.codec_context.has_b_frames
        self._by_times = self._timed and not unclear

    def _promised(self, container: Any, stream: Any) -> int:
        """The number of frames that the header states; 0 if it does not."""
        if stream.frames:
            return stream.frames
        # Only these containers write the length into the header, where a truncated file keeps it.
        # It is the length of the longest stream, so it describes the video only if there is no
        # other stream.
        if (
            container.format.name in ("matroska,webm", "flv")
            and len(container.streams) == 1
            and container.duration
        ):
            lead_s = self._shown[0].time * float(stream.time_base) if self._timed else 0.0
            missing_s = container.duration / av.time_base - lead_s - self.duration_s
            # A tenth, because with an uneven frame rate the last frame's duration is unknown.
            if missing_s > 0.1 * self.duration_s:
                return self.num_frames + round(missing_s * self.fps)
        return 0

    def _by_time(
        self, container: Any, stream: Any, wanted: list[int]
    ) -> Iterator[tuple[int, Any, bool]]:
        numbers = {self._shown[number].packet: number for number in wanted}
        frames = DecodedRuns(stream, packets(container, stream))
        for run in self._runs(wanted):
            pending = {self._shown[number].packet: self._shown[number] for number in run.numbers}
            later: dict[int, Any] = {}  # for each pending packet, the first frame after its own
            last = None
            for packet, time, frame in frames.of_run(run, pending):
                last = frame
                if packet in pending:
                    del pending[packet]
                    yield numbers[packet], frame, False
                elif time is not None:
                    later.update(
                        (one.packet, frame)
                        for one in pending.values()
                        if one.time < time and one.packet not in later
                    )
            for packet in sorted(pending):
                if stand_in := later.get(packet, last):
                    yield numbers[packet], stand_in, True

    def _runs(self, wanted: list[int]) -> Iterator[FrameRun]:
        run: FrameRun | None = None
        for number in wanted:
            time, packet, last = self._shown[number]
            key = bisect.bisect_right(self._keys, (time, _MAX_PACKETS)) - 1
            start = min(self._keys[max(key, 0)][1], packet)
            if run is not None and start <= run.stop:
                run = FrameRun(min(run.start, start), max(run.stop, last), (*run.numbers, number))
                continue
            if run is not None:
                yield run
            run = FrameRun(start, last, (number,))
        if run is not None:
            yield run
