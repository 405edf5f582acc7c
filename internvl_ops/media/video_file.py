"""Finds and decodes single frames of a video file, with PyAV.

Two passes over the file, neither of which seeks. The first reads every packet's times and decodes nothing (3 µs a
packet). The second decodes only from a keyframe to the frame that is wanted, leaving out what no other frame refers to.
Seeking would save little, since the bytes are in memory, and lands elsewhere than asked in containers without an index.
"""

from __future__ import annotations

import bisect
import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import cv2
import numpy as np

from internvl_ops.errors import UnitError
from internvl_ops.media.sniff import described

# Demuxers that read one file and nothing else. Left out are those that follow what a file names (hls, dash, concat,
# image sequences): a video must not be able to make the decoder read other files or addresses.
CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "gif", "ivf", "nut",
    "h264", "hevc", "m4v", "mpegvideo", "rm", "dv", "mxf", "wtv", "apng",
)  # fmt: skip
_MAGIC = (
    (4, b"ftyp", "MP4"), (4, b"moov", "QuickTime"), (4, b"mdat", "QuickTime"), (0, b"\x1a\x45\xdf\xa3", "Matroska"),
    (8, b"AVI ", "AVI"), (0, b"FLV", "FLV"), (0, b"OggS", "Ogg"), (0, b"\x30\x26\xb2\x75", "ASF"),
    (0, b"\x00\x00\x01", "MPEG"), (188, b"\x47", "MPEG-TS"),
)  # fmt: skip
_TURN = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, -90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, -180: cv2.ROTATE_180}
# Decoders that can leave out a frame no other frame refers to. It makes H.264 1.5 times and HEVC 1.9 times as fast.
_CAN_SKIP = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})
_MAX_PACKETS = 4_000_000


@dataclass(frozen=True)
class DecodedFrame:
    """One frame, upright.

    Args:
        number: The one that was asked for, in presentation order, from 0.
        pixels: uint8 of shape (height, width, 3), RGB.
        stands_in: It is not that frame, which could not be decoded, but the nearest that could.
        damaged: The decoder had to make up parts of it.
    """

    number: int
    pixels: np.ndarray
    stands_in: bool = False
    damaged: bool = False


@dataclass(frozen=True)
class _Run:
    """Packets decoded without a break, from a keyframe to the last frame wanted, and the numbers of those frames."""

    start: int
    stop: int
    numbers: tuple[int, ...]


class VideoFile:
    """A video whose frames are known by number and time.

    Args:
        source: The file's bytes, or its path.
        max_pixels: Most pixels of a frame.
        max_seconds: Longest video.
        threads: For decoding. 1 is best where as many actors as cores decode beside each other.

    Attributes:
        num_frames: Frames that are shown.
        fps: Average frame rate by the header, as decord and so the model cards take it.
        timestamps: Seconds from the first frame, float64 of shape (num_frames,), ascending.
        missing_frames: Frames that the header promises and the file does not hold.

    Raises:
        UnitError: Stage "decode"; "unsupported" for what holds no video that can be decoded, "corrupt", "too_large".
    """

    def __init__(
        self, source: bytes | str, *, max_pixels: int = 1 << 26, max_seconds: float = 6 * 3600.0, threads: int = 1
    ) -> None:
        self._source = source
        self._max_pixels = max_pixels
        self._threads = threads
        with self._open() as (container, stream):
            self._check_header(container, stream, max_seconds)
            self._read_index(container, stream)
        seconds = float(self.timestamps[-1])
        if seconds > max(max_seconds, 100 * self.num_frames / self.fps):
            raise UnitError("decode", "corrupt", f"times of frames jump to {seconds:,.0f} s; fetch the file again")
        if seconds > max_seconds:
            raise _too_long(seconds, max_seconds)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float(self.timestamps[-1]) + 1.0 / self.fps

    def frames(self, numbers: list[int]) -> Iterator[DecodedFrame]:
        """Decodes the frames of these numbers, each once, in no certain order.

        For a damaged frame the nearest one decoded on the way to it stands in; where there is none, it is left out.
        """
        wanted = sorted(set(numbers))
        with self._open() as (container, stream):
            found = self._by_time(container, stream, wanted) if self._timed else _by_count(container, stream, wanted)
            for number, frame, stands_in in found:
                yield DecodedFrame(number, _upright(frame), stands_in, bool(frame.is_corrupt))

    def previews(self, side: int) -> Iterator[tuple[float, np.ndarray]]:
        """Seconds and pixels, RGB with ``side`` as the longer side, of every frame, in order and as they are stored."""
        with self._open() as (container, stream):
            first = self._shown[0][0] if self._timed else 0
            width = height = 0  # those of the first frame: some videos change theirs on the way
            for count, frame in enumerate(_all_frames(container, stream)):
                if not width:
                    scale = side / max(frame.width, frame.height)
                    width, height = max(2, round(frame.width * scale)), max(2, round(frame.height * scale))
                timed = self._timed and frame.pts is not None
                seconds = float((frame.pts - first) * stream.time_base) if timed else count / self.fps
                yield (
                    seconds,
                    frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="FAST_BILINEAR"),
                )

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "none"}
        with io.BytesIO(self._source) if isinstance(self._source, bytes) else open(self._source, "rb") as file:
            head = file.read(4096)
            file.seek(0)
            with (
                _failures_told(head),
                av.open(file, metadata_errors="ignore", buffer_size=1 << 18, options=options) as container,
            ):
                stream = _video_stream(container)
                for other in container.streams:
                    if other.index != stream.index:
                        other.discard = av.stream.Discard.all
                context = stream.codec_context
                context.thread_count = self._threads
                context.thread_type = "NONE" if self._threads == 1 else "AUTO"
                context.options = {"max_pixels": str(self._max_pixels)}  # the header's size can lie
                yield container, stream

    def _check_header(self, container: Any, stream: Any, max_seconds: float) -> None:
        width, height = stream.codec_context.width, stream.codec_context.height
        if width < 1 or height < 1:
            raise UnitError("decode", "corrupt", f"{_named(container)} does not say how large its frames are")
        if width * height > self._max_pixels:
            raise UnitError(
                "decode",
                "too_large",
                f"frames of {width}x{height} = {width * height:,} pixels; at most {self._max_pixels:,} are allowed: "
                "raise --max-pixels if memory allows",
            )
        seconds = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if seconds > max_seconds:
            raise _too_long(seconds, max_seconds)

    def _read_index(self, container: Any, stream: Any) -> None:
        shown: list[tuple[int, int]] = []  # time and packet number
        keys: list[tuple[int, int]] = []
        count = 0
        self._timed = True
        for packet in _packets(container, stream):
            if packet.pts is None:
                self._timed = False
            else:
                if not packet.is_discard:  # cut away by an edit list, yet needed to decode what follows
                    shown.append((packet.pts, count))
                if packet.is_keyframe or not keys:
                    keys.append((packet.pts, count))
            count += 1
            if count > _MAX_PACKETS:
                raise UnitError("decode", "too_large", f"more than {_MAX_PACKETS:,} frames; cut the video first")
        if not count or (self._timed and not shown):
            raise UnitError("decode", "corrupt", f"{_named(container)} announces a video and holds no frame of it")
        self._shown, self._keys = sorted(shown), sorted(keys)
        self.num_frames = len(shown) if self._timed else count
        self.fps = float(stream.average_rate or 0)
        if self._timed:
            times = np.array([time for time, _ in self._shown], dtype=np.int64)
            self.timestamps = (times - times[0]) * float(stream.time_base)
            if self.fps <= 0 and self.timestamps[-1] > 0:
                self.fps = (self.num_frames - 1) / float(self.timestamps[-1])
        if self.fps <= 0:
            self.fps = 25.0
        if not self._timed:
            self.timestamps = np.arange(count) / self.fps
        self.missing_frames = max(0, self._promised(container, stream) - count)

    def _promised(self, container: Any, stream: Any) -> int:
        """How many frames the header says there are, 0 where it does not say."""
        if stream.frames:
            return stream.frames
        # Only these write the length into the header, where a cut file keeps it. It is that of the longest stream, so
        # it says something about the video only where there is no other.
        if container.format.name in ("matroska,webm", "flv") and len(container.streams) == 1 and container.duration:
            lead_s = self._shown[0][0] * float(stream.time_base) if self._timed else 0.0
            missing_s = container.duration / av.time_base - lead_s - self.duration_s
            # A tenth, because an uneven frame rate leaves the last frame's length open.
            if missing_s > 0.1 * self.duration_s:
                return self.num_frames + round(missing_s * self.fps)
        return 0

    def _by_time(self, container: Any, stream: Any, wanted: list[int]) -> Iterator[tuple[int, Any, bool]]:
        times = {self._shown[number][0]: number for number in wanted}
        packets = enumerate(_packets(container, stream))
        for run in self._runs(wanted):
            pending = {self._shown[number][0] for number in run.numbers}
            later: dict[int, Any] = {}  # for each pending time, the first frame after it
            last = None
            for frame in _run_frames(stream.codec_context, packets, run, pending):
                last = frame
                if frame.pts in pending:
                    pending.discard(frame.pts)
                    yield times[frame.pts], frame, False
                elif frame.pts is not None:
                    later.update((time, frame) for time in pending if time < frame.pts and time not in later)
            for time in sorted(pending):
                if stand_in := later.get(time, last):
                    yield times[time], stand_in, True

    def _runs(self, wanted: list[int]) -> Iterator[_Run]:
        run: _Run | None = None
        for number in wanted:
            time, packet = self._shown[number]
            key = bisect.bisect_right(self._keys, (time, _MAX_PACKETS)) - 1
            start = min(self._keys[max(key, 0)][1], packet)
            if run is not None and start <= run.stop:
                run = _Run(min(run.start, start), max(run.stop, packet), (*run.numbers, number))
                continue
            if run is not None:
                yield run
            run = _Run(start, packet, (number,))
        if run is not None:
            yield run


def _run_frames(context: Any, packets: Iterator[tuple[int, Any]], run: _Run, pending: set[int]) -> Iterator[Any]:
    """Decodes a run's packets until nothing is pending any more, which the caller takes out as it finds it."""
    can_skip, skip = context.name in _CAN_SKIP, "DEFAULT"
    for number, packet in packets:
        if number < run.start:
            continue
        needed = "DEFAULT" if packet.pts in pending or number == run.start else "NONREF"
        if can_skip and needed != skip:
            context.skip_frame = skip = needed
        yield from _decode(context, packet)
        if number >= run.stop or not pending:
            break
    if can_skip:
        context.skip_frame = "DEFAULT"
    if pending:
        yield from _decode(context, None)
    context.flush_buffers()


def _by_count(container: Any, stream: Any, wanted: list[int]) -> Iterator[tuple[int, Any, bool]]:
    """Where packets have no times (AVI with B-frames, raw streams) only counting from the start finds a frame."""
    pending = list(reversed(wanted))
    frame = None
    for number, frame in enumerate(_all_frames(container, stream)):
        while pending and pending[-1] == number:
            yield pending.pop(), frame, False
        if not pending:
            return
    for number in reversed(pending):
        if frame is not None:
            yield number, frame, True


def _all_frames(container: Any, stream: Any) -> Iterator[Any]:
    for packet in _packets(container, stream):
        yield from _decode(stream.codec_context, packet)
    yield from _decode(stream.codec_context, None)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """The stream's packets, in decoding order and on one time line; a file that breaks off ends them."""
    shift, latest, step = 0, None, max(1, round(1 / (stream.time_base * (stream.average_rate or 25))))
    for packet in _raw_packets(container, stream):
        if packet.dts is not None and packet.pts is not None:
            # Recordings put together from several, or of a broadcast, begin to count again.
            if latest is not None and (packet.dts + shift - latest) * stream.time_base < -1:
                shift = latest + step - packet.dts
            latest = packet.dts + shift
            packet.dts, packet.pts = latest, packet.pts + shift
        yield packet


def _raw_packets(container: Any, stream: Any) -> Iterator[Any]:
    while True:
        try:
            for packet in container.demux(stream):
                if packet.size:
                    yield packet
            return
        except av.error.FFmpegError:
            return
        except IndexError:
            continue  # PyAV stumbles over a stream that begins in the middle of the file; that packet is not ours


def _decode(context: Any, packet: Any) -> list[Any]:
    try:
        return context.decode(packet)
    except av.error.FFmpegError:
        return []  # this packet is damaged; the next may not be


def _video_stream(container: Any) -> Any:
    covers = av.stream.Disposition.attached_pic
    videos = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not videos:
        kinds = sorted({stream.type for stream in container.streams if stream.type != "video"})
        only = f"only {' and '.join(kinds)}" if kinds else "no stream at all"
        raise UnitError("decode", "unsupported", f"{_named(container)} holds {only}, and a video is needed")
    best = container.streams.best("video")
    stream = best if best in videos else videos[0]
    if stream.codec_context is None:
        raise UnitError("decode", "unsupported", f"{_named(container)} is coded in a way that cannot be decoded here")
    return stream


def _upright(frame: Any) -> np.ndarray:
    pixels = frame.to_ndarray(format="rgb24")
    turn = _TURN.get(frame.rotation)
    return pixels if turn is None else cv2.rotate(pixels, turn)


def _named(container: Any) -> str:
    name = container.format.name.split(",")[0]
    return {"mov": "MP4", "matroska": "Matroska"}.get(name, name.upper()) + " file"


def _too_long(seconds: float, max_seconds: float) -> UnitError:
    return UnitError(
        "decode",
        "too_large",
        f"video of {seconds:,.0f} s; at most {max_seconds:,.0f} s are allowed: raise max_seconds, or cut it into clips",
    )


@contextlib.contextmanager
def _failures_told(head: bytes) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        raise _unreadable(head, error.strerror or type(error).__name__) from None


def _unreadable(head: bytes, reason: str) -> UnitError:
    for offset, magic, name in _MAGIC:
        if head.startswith(magic, offset):
            mend = "it may end before its index: fetch it again"
            return UnitError("decode", "corrupt", f"{name} file that cannot be opened ({reason}); {mend}")
    if not head:
        return UnitError("decode", "corrupt", "the file is empty (0 bytes); it was probably never downloaded")
    what = "an HTML page" if b"<html" in head[:512].lower() else f"a {described(head)}"
    begins = f"it begins with bytes {head[:8].hex(' ')}"
    return UnitError("decode", "unsupported", f"{what}, not a video this job reads (MP4, WebM, AVI, …); {begins}")
