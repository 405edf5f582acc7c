"""Decodes runs of packets of a video to the frames that are wanted of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from internvl_ops.media.video_packets import decode_packet, packets

# Decoders that can skip frames to which no other frame refers. This makes H.264 1.5 and HEVC 1.9
# times as fast.
_CAN_SKIP = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})


class ShownFrame(NamedTuple):
    """A shown frame: its time, and the first and last packet that code it (two packets if its
    fields are separate)."""

    time: int
    packet: int
    last: int


@dataclass(frozen=True)
class FrameRun:
    """Packets to decode without a break, from a keyframe to the last wanted frame, and the numbers
    of those frames."""

    start: int
    stop: int
    numbers: tuple[int, ...]


class DecodedRuns:
    """The frames of a stream's runs, each with the number and the time of its packet.

    Each packet goes to the decoder with its number in place of its time, and the decoder returns
    that number with the frame. So frames can be told apart even if several have the same time.
    """

    def __init__(self, stream: Any, source: Iterator[Any]) -> None:
        self._context, self._packets = stream.codec_context, enumerate(source)
        self._times: dict[int, int | None] = {}

    def of_run(
        self, run: FrameRun, pending: Mapping[int, ShownFrame]
    ) -> Iterator[tuple[int, int | None, Any]]:
        """Decodes a run's packets until ``pending`` is empty; the caller removes frames from it as
        they are found."""
        context, skip = self._context, "DEFAULT"
        can_skip = context.name in _CAN_SKIP
        needed = {number for one in pending.values() for number in (one.packet, one.last)} | {
            run.start
        }
        self._times.clear()
        for number, packet in self._packets:
            if number < run.start:
                continue
            wish = "DEFAULT" if number in needed else "NONREF"
            if can_skip and wish != skip:
                context.skip_frame = skip = wish
            yield from self._decode(number, packet)
            if number >= run.stop or not pending:
                break
        if can_skip:
            context.skip_frame = "DEFAULT"
        if pending:
            yield from self._known(decode_packet(context, None))
        context.flush_buffers()

    def _decode(self, number: int, packet: Any) -> Iterator[tuple[int, int | None, Any]]:
        self._times[number] = packet.pts
        packet.pts = packet.dts = number
        return self._known(decode_packet(self._context, packet))

    def _known(self, frames: list[Any]) -> Iterator[tuple[int, int | None, Any]]:
        for frame in frames:
            number = -1 if frame.pts is None else frame.pts
            yield number, self._times.get(number), frame


def frames_by_count(
    container: Any, stream: Any, wanted: list[int]
) -> Iterator[tuple[int, Any, bool]]:
    """Finds frames by counting, if packets have no times of their own (AVI with B-frames, raw
    streams)."""
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
    for packet in packets(container, stream):
        yield from decode_packet(stream.codec_context, packet)
    yield from decode_packet(stream.codec_context, None)
