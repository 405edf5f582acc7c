"""Decompresses gzip so that nothing before damage is lost.

Arrow and Python's gzip module drop what they have decompressed within the read that meets the
damage. In a small file that is everything.
"""

from __future__ import annotations

import io
import zlib
from typing import Any

_CHUNK = 1 << 16
_GZIP = 31  # zlib's number for the gzip format with the largest window


class GzipStream(io.RawIOBase):
    """The decompressed bytes of all members. Zeros behind a member, as of tapes, are skipped.

    Args:
        file: The compressed file.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._given = b""  # compressed bytes that are still to be taken
        self._member: Any = None
        self._members = 0
        self._failure: str | None = None

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, fewer before the end; none at the end.

        Raises:
            ValueError: The data are damaged here. All bytes before have been read.
            EOFError: The file ends within a member.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        while self._failure is None:
            self._given = self._given or self._file.read(_CHUNK)
            if self._member is None and not self._begins():
                if not self._given:
                    return b""
                continue
            if not self._given:
                raise EOFError("it is cut short")
            if found := self._take(size):
                return found
        raise ValueError(self._failure)

    def _begins(self) -> bool:
        """Begins a member if there are bytes of one."""
        if self._members:
            self._given = self._given.lstrip(b"\0")
        if not self._given:
            self._given = self._file.read(_CHUNK)
            return False
        self._member = zlib.decompressobj(_GZIP)
        return True

    def _take(self, size: int) -> bytes:
        """Up to ``size`` bytes of the member, and its end."""
        before = self._member.copy()
        try:
            found: bytes = self._member.decompress(self._given, size)
        except zlib.error as error:
            self._failure = str(error)
            return _before_damage(before, self._given)
        self._given = self._member.unconsumed_tail
        if self._member.eof:
            self._given = self._member.unused_data
            self._member = None
            self._members += 1
        return found


def _before_damage(member: Any, given: bytes) -> bytes:
    """What can be decompressed byte by byte until the damage."""
    found = []
    try:
        for place in range(len(given)):
            found.append(member.decompress(given[place : place + 1]))
    except zlib.error:
        pass
    return b"".join(found)
