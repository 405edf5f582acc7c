"""Determines what each packet of a video stream shows: a whole frame, a single field, or
nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import av

Shows = Literal["frame", "second field", "nothing"]
_FIRST_BYTES = 256  # of a slice: more than the start of its header ever takes
_SPS, _PPS = 7, 8
_SLICES = (1, 2, 5)
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


class PacketReader:
    """Determines for each packet of a stream, in decoding order, what it shows.

    H.264 may code the two fields of a frame as separate pictures, each in its own packet. VP8, VP9
    and AV1 have frames that are only references and are never shown. Containers state neither.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: The decoder's configuration from the container.
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._is_shown = {"vp8": _vp8_shows, "vp9": _vp9_shows, "av1": _av1_shows}.get(codec)
        self._fields = _Fields(extradata or b"") if codec == "h264" else None
        if self._fields is not None and self._fields.never:
            self._fields = None

    def shows(self, packet: Any) -> Shows:
        """What the next packet shows; a frame if its header cannot be read."""
        try:
            if self._fields is not None:
                return "second field" if self._fields.completes(bytes(packet)) else "frame"
            if self._is_shown is not None:
                return "frame" if self._is_shown(bytes(packet)) else "nothing"
        except (IndexError, ValueError):
            pass
        return "frame"


class _Sequence(NamedTuple):
    """The values of a sequence parameter set that describe the start of a slice."""

    frame_num_bits: int
    separate_planes: bool
    frames_only: bool


class _Field(NamedTuple):
    bottom: bool
    frame_num: int


class _Fields:
    """Pairs the fields of an H.264 stream."""

    def __init__(self, extradata: bytes) -> None:
        self._sequences: dict[int, _Sequence] = {}
        self._sequence_of: dict[int, int] = {}
        self._length_bytes = 0
        self._waiting: _Field | None = None
        if extradata[:1] == b"\x01" and len(extradata) > 6:
            self._length_bytes = (extradata[4] & 3) + 1
            units = _configured_units(extradata)
        else:
            units = _start_code_units(extradata)
        for unit in units:
            self._learn(unit)

    @property
    def never(self) -> bool:
        """Whether all known sequences have only whole frames; another sequence rarely follows."""
        return bool(self._sequences) and all(one.frames_only for one in self._sequences.values())

    def completes(self, packet: bytes) -> bool:
        """Whether a packet is the second field of the frame that the previous packet began."""
        field = self._field(packet)
        waiting, self._waiting = self._waiting, field
        if field is None or waiting is None:
            return False
        if field.bottom == waiting.bottom or field.frame_num != waiting.frame_num:
            return False
        self._waiting = None
        return True

    def _field(self, packet: bytes) -> _Field | None:
        """The single field in a packet; None if the packet holds a frame."""
        found: list[_Field] = []
        units = (
            _length_units(packet, self._length_bytes)
            if self._length_bytes
            else _start_code_units(packet)
        )
        for unit in units:
            kind = unit[0] & 31
            if kind in (_SPS, _PPS):
                self._learn(unit)
            elif kind in _SLICES:
                field = self._slice(unit)
                if field is None:
                    return None
                found.append(field)
                if not self._length_bytes:
                    break  # a parser has split the stream, so that a packet is one picture
        if not found or any(field.bottom != found[0].bottom for field in found):
            return None
        return found[0]

    def _learn(self, unit: bytes) -> None:
        if not unit:
            return
        bits = _Bits(_unescaped(unit[1:2048]))
        if unit[0] & 31 == _SPS:
            number, sequence = _sequence(bits)
            self._sequences[number] = sequence
        elif unit[0] & 31 == _PPS:
            number = bits.ue()
            self._sequence_of[number] = bits.ue()

    def _slice(self, unit: bytes) -> _Field | None:
        bits = _Bits(_unescaped(unit[1:_FIRST_BYTES]))
        bits.ue()  # first macroblock
        bits.ue()  # type
        parameters = bits.ue()
        sequence = self._sequences.get(self._sequence_of.get(parameters, 0))
        if sequence is None or sequence.frames_only:
            return None
        if sequence.separate_planes:
            bits.u(2)
        frame_num = bits.u(sequence.frame_num_bits)
        return _Field(bool(bits.u(1)), frame_num) if bits.u(1) else None


def _sequence(bits: _Bits) -> tuple[int, _Sequence]:
    profile = bits.u(8)
    bits.u(16)
    number = bits.ue()
    separate = False
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        if chroma == 3:
            separate = bool(bits.u(1))
        bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.ue() + 4
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1)
        bits.ue()
        bits.ue()
        for _ in range(min(bits.ue(), 255)):
            bits.ue()
    bits.ue()  # reference frames
    bits.u(1)
    bits.ue()  # width
    bits.ue()  # height
    return number, _Sequence(frame_num_bits, separate, bool(bits.u(1)))


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            code = bits.ue()
            following = (last + (code + 1 >> 1 if code & 1 else -(code >> 1))) % 256
        last = following or last


class _Bits:
    """Reads numbers of any bit length. Raises IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def u(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self._data[self._at >> 3] >> (7 - (self._at & 7)) & 1
            self._at += 1
        return value

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
        if zeros > 32:
            raise ValueError("no number of this code is so long")
        return (1 << zeros) - 1 + self.u(zeros)


def _unescaped(data: bytes) -> bytes:
    return data.replace(b"\0\0\3", b"\0\0")


def _start_code_units(data: bytes) -> Iterator[bytes]:
    at = data.find(b"\0\0\1")
    while at >= 0:
        following = data.find(b"\0\0\1", at + 3)
        unit = data[at + 3 : following if following >= 0 else len(data)]
        if unit:
            yield unit
        at = following


def _length_units(data: bytes, length_bytes: int) -> Iterator[bytes]:
    at = 0
    while at + length_bytes < len(data):
        size = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        if size:
            yield data[at : at + size]
        at += size


def _configured_units(extradata: bytes) -> Iterator[bytes]:
    at = 5
    for mask in (31, 255):
        count = extradata[at] & mask
        at += 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            yield extradata[at + 2 : at + 2 + size]
            at += 2 + size
        if at >= len(extradata):
            return


def _vp8_shows(packet: bytes) -> bool:
    return bool(packet[0] & 0x10)


def _vp9_shows(packet: bytes) -> bool:
    if packet[-1] & 0xE0 == 0xC0:  # several frames in one packet; the last one is shown
        return True
    bits = _Bits(packet[:4])
    bits.u(2)
    profile = bits.u(1) + 2 * bits.u(1)
    if profile == 3:
        bits.u(1)
    if bits.u(1):  # shows a frame that was decoded before
        return True
    bits.u(1)
    return bool(bits.u(1))


def _av1_shows(packet: bytes) -> bool:
    """Whether any frame header in the packet says so; True if it has none, as in the stream of a
    still picture."""
    at, found = 0, False
    while at < len(packet):
        head = packet[at]
        at += 1 + (head >> 2 & 1)
        size, shift = len(packet) - at, 0
        if head & 2:
            size = 0
            while True:
                byte = packet[at]
                at += 1
                size |= (byte & 127) << shift
                shift += 7
                if not byte & 128:
                    break
        kind = head >> 3 & 15
        if kind == 1 and packet[at] >> 3 & 1:  # reduced header: every frame is shown
            return True
        if kind in (3, 6):
            found = True
            if packet[at] & 0x80 or packet[at] & 0x10:
                return True
        at += size
    return not found


def packets(container: Any, stream: Any) -> Iterator[Any]:
    """The stream's packets, in decoding order and on one time line; a truncated file ends them."""
    shift, latest, step = (
        0,
        None,
        max(1, round(1 / (stream.time_base * (stream.average_rate or 25)))),
    )
    for packet in _raw_packets(container, stream):
        if packet.dts is not None and packet.pts is not None:
            # Broadcasts, and recordings that were joined from several, restart their times.
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
            # PyAV fails at a stream that begins in mid-file; that packet belongs to another stream
            continue


def decode_packet(context: Any, packet: Any) -> list[Any]:
    """The frames that a packet completes; none if it is damaged, since the next packet may be
    intact."""
    try:
        return context.decode(packet)
    except av.error.FFmpegError:
        return []
