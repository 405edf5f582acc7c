"""The shared memory for a sandbox's results: the worker lends it, and gets it back when a result is
freed."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import sys
from typing import Any, NamedTuple

from internvl_ops.media.sandbox_codec import encode

_OUT_OF_BAND_BYTES = 64 << 10  # smaller arrays are sent inside the message
_GRANULE = 1 << 20
_MAX_IDLE_BYTES = 256 << 20  # a worker keeps this much for its next results
_MAX_LENT_BYTES = 1 << 30  # results in use may hold this much; later results are copied out
_MAX_LENT_SEGMENTS = 64  # each holds a file descriptor
_REFERENCES_WHEN_UNUSED = 2  # the entry in the list, and the argument of getrefcount
_COUNTS = struct.Struct("<III")


class ArrayPlace(NamedTuple):
    """The location of one array's bytes."""

    segment: int
    offset: int
    size: int


class Lending(NamedTuple):
    """The part of an answer that describes shared memory; values in the answer refer to it."""

    places: list[ArrayPlace]  # the arrays' places, in the order of their numbers in the answer
    fresh: list[int]  # segments whose file descriptors are sent with this answer
    dropped: list[int]  # segments that will not be used again

    def pack(self) -> bytes:
        numbers = [number for place in self.places for number in place] + self.fresh + self.dropped
        counts = _COUNTS.pack(len(self.places), len(self.fresh), len(self.dropped))
        return counts + struct.pack(f"<{len(numbers)}Q", *numbers)

    @staticmethod
    def unpack(message: bytes) -> tuple[Lending, memoryview]:
        """Returns the lending, and the rest of the message."""
        places, fresh, dropped = _COUNTS.unpack_from(message)
        form = f"<{3 * places + fresh + dropped}Q"
        numbers = list(struct.unpack_from(form, message, _COUNTS.size))
        arrays = [ArrayPlace(*numbers[start : start + 3]) for start in range(0, 3 * places, 3)]
        rest = numbers[3 * places :]
        end = _COUNTS.size + struct.calcsize(form)
        return Lending(arrays, rest[:fresh], rest[fresh:]), memoryview(message)[end:]


class Lender:
    """The worker's side: hands out segments, and takes back those that the parent's results no
    longer use."""

    def __init__(self) -> None:
        self._segments: dict[int, mmap.mmap] = {}
        self._addresses: dict[int, int] = {}
        self._idle: dict[int, int] = {}  # number -> size; not in use
        self._used: list[int] = []  # handed out during this call
        self._unsent: dict[int, int] = {}  # number -> descriptor; not yet mapped by the parent
        self._last = 0

    def allocate(self, size: int) -> memoryview:
        """Writable memory of ``size`` bytes with undefined contents, in the smallest sufficient
        idle segment."""
        fitting = [number for number, capacity in self._idle.items() if capacity >= size]
        if fitting:
            number = min(fitting, key=self._idle.__getitem__)
            del self._idle[number]
        else:
            number = self._new_segment(-(-max(size, 1) // _GRANULE) * _GRANULE)
        self._used.append(number)
        return memoryview(self._segments[number])[:size]

    def take_back(self, numbers: list[int]) -> None:
        for number in numbers:
            self._idle[number] = len(self._segments[number])

    def encode(self, value: Any) -> tuple[bytes, Lending]:
        """Encodes a result; its large arrays stay in shared memory, or are copied there if they
        were made elsewhere."""
        places: list[ArrayPlace] = []

        def lend(raw: memoryview) -> int | None:
            if raw.nbytes < _OUT_OF_BAND_BYTES:
                return None  # sent inside the message
            places.append(self._place(raw))
            return len(places) - 1

        payload = encode(value, lend)
        fresh = [
            number
            for number in dict.fromkeys(place.segment for place in places)
            if number in self._unsent
        ]
        return payload, Lending(places, fresh, [])

    def settle(self, lending: Lending) -> tuple[Lending, list[int]]:
        """Ends a call: segments that were handed out but are not in the result become idle again.

        Returns:
            The lending with the dropped segments, and the file descriptors to send and then close.
        """
        lent = {place.segment for place in lending.places}
        self.take_back([number for number in self._used if number not in lent])
        self._used.clear()
        descriptors = [self._unsent.pop(number) for number in lending.fresh]
        return lending._replace(dropped=self._drop_idle()), descriptors

    def _place(self, raw: memoryview) -> ArrayPlace:
        # A read-only array has no address that can be taken this way, and was not made here either.
        address = 0 if raw.readonly else ctypes.addressof(ctypes.c_ubyte.from_buffer(raw))
        for number in self._used:
            offset = address - self._addresses[number]
            if 0 <= offset < len(self._segments[number]):
                return ArrayPlace(number, offset, raw.nbytes)
        self.allocate(raw.nbytes)[:] = raw
        return ArrayPlace(self._used[-1], 0, raw.nbytes)

    def _new_segment(self, capacity: int) -> int:
        descriptor = os.memfd_create("sandbox-result", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, capacity)
            segment = mmap.mmap(descriptor, capacity)
        except OSError as error:
            os.close(descriptor)
            raise MemoryError(f"no shared memory for a result of {capacity:,} bytes") from error
        self._last += 1
        self._segments[self._last] = segment
        self._addresses[self._last] = ctypes.addressof(ctypes.c_ubyte.from_buffer(segment))
        self._unsent[self._last] = descriptor
        return self._last

    def _drop_idle(self) -> list[int]:
        dropped: list[int] = []
        excess = sum(self._idle.values()) - _MAX_IDLE_BYTES
        for number in sorted(self._idle, key=self._idle.__getitem__, reverse=True):
            if excess <= 0:
                break
            excess -= self._idle.pop(number)
            del self._segments[number], self._addresses[number]
            if number in self._unsent:
                os.close(self._unsent.pop(number))
            dropped.append(number)
        return dropped


class Loan:
    """The parent's side: which segments the results in this process still use."""

    def __init__(self) -> None:
        self._segments: dict[int, mmap.mmap] = {}
        # The buffer of each array, and its segment. An array in use holds one more reference to the
        # buffer than this list; counting references is cheaper than a finalizer, and no thread can
        # interrupt it halfway.
        self._lent: list[tuple[Any, int]] = []
        self._untold: list[int] = []  # not in use, but not yet reported to the worker

    def accept(self, lending: Lending, descriptors: list[int]) -> list[Any]:
        """Maps new segments and returns the buffers for the arrays of one result: shared memory, or
        copies of it."""
        try:
            for number, descriptor in zip(lending.fresh, descriptors, strict=True):
                # If the worker truncated a file that this process has mapped, this process would be
                # killed.
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
                self._segments[number] = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        for number in lending.dropped:
            self._segments.pop(number, None)
        if self._much_is_lent():
            self.keep([*{place.segment for place in lending.places}])
            return [
                bytearray(self._segments[number][start : start + size])
                for number, start, size in lending.places
            ]
        # ctypes arrays: the kind of buffer that belongs to one array alone and whose references can
        # be counted.
        buffers = [
            (ctypes.c_ubyte * size).from_buffer(self._segments[n], start)
            for n, start, size in lending.places
        ]
        self._lent += zip(buffers, [place.segment for place in lending.places], strict=True)
        return buffers

    def take_back(self) -> list[int]:
        """The segments that no result uses any more; each is returned once."""
        before = {number for _, number in self._lent}
        self._lent = [
            entry for entry in self._lent if sys.getrefcount(entry[0]) > _REFERENCES_WHEN_UNUSED
        ]
        unused = [*(before - {number for _, number in self._lent}), *self._untold]
        self._untold = []
        return unused

    def keep(self, unused: list[int]) -> None:
        """Returns numbers of unused segments to the list for the next `take_back`."""
        self._untold += unused

    def _much_is_lent(self) -> bool:
        if len(self._lent) >= _MAX_LENT_SEGMENTS:
            return True
        return sum(len(self._segments[number]) for _, number in self._lent) > _MAX_LENT_BYTES
