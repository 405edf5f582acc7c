"""Yields the numbered physical lines of a text manifest, in constant memory, whatever bytes they
hold."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from pipelines.sources.storage import is_compressed, open_input, open_stream

MAX_LINE_BYTES = 16 << 20
_CHUNK = 1 << 20
# small, because a compressed stream that breaks off loses everything within one read
_COMPRESSED_CHUNK = 1 << 16
_PLACES = 8  # places sampled besides the head
_WINDOW = 1 << 18
_BOM = codecs.BOM_UTF8
# The beginning of UTF-32 is that of UTF-16 with two zero bytes, so it comes first.
_MARKED = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# A header, an object and an address all begin with two characters of ASCII.
_UNMARKED = (
    (re.compile(rb"(?:[\t-~]\0){2}"), "utf-16-le"),
    (re.compile(rb"(?:\0[\t-~]){2}"), "utf-16-be"),
)


@dataclass(frozen=True)
class Broken:
    """Stands in for a line that could not be read."""

    message: str


Item = TypeVar("Item")
Line = tuple[int, "bytes | Broken"]


def read_lines(uri: str, *, head_only: bool = False) -> Iterator[Line]:
    """Yields each line's number, from 1, and its bytes without the newline.

    Text in UTF-16 or UTF-32, as Windows programs write it, becomes UTF-8. In a file without any
    newline, lines end at carriage returns, as some spreadsheets still write them. A line above 16
    MiB, and data that cannot be decompressed, become :class:`Broken`. After the latter the file
    ends, because its next line cannot be found. If the storage fails, its OSError is raised.

    Args:
        head_only: Few lines will be requested; reads less ahead.
    """
    stream, file = open_stream(uri, **({"block_size": _WINDOW} if head_only else {}))
    chunk_size = _WINDOW if head_only else _CHUNK
    if is_compressed(uri):
        chunk_size = _COMPRESSED_CHUNK
    number, pieces, size, damage = 1, [], 0, None
    text: _Text | None = None
    with file:
        while True:
            try:
                chunk = stream.read(chunk_size)
            except (OSError, EOFError, ValueError) as error:
                if file.failed is not None:
                    raise
                damage, chunk = (
                    Broken(f"the rest of the file cannot be decompressed ({error}); write it anew"),
                    b"",
                )
            text = text or _Text(chunk)
            chunk, at_end = text.in_utf8(chunk), not chunk
            if at_end and not chunk:
                break
            first, *rest = chunk.split(text.newline)
            size += len(first)
            if size <= MAX_LINE_BYTES:
                pieces.append(first)
            if not rest:
                continue
            yield number, _join(pieces, size)
            for line in rest[:-1]:
                number += 1
                yield number, line
            number += 1
            pieces, size = [rest[-1]], len(rest[-1])
    if damage:
        yield number, damage  # replaces the line that the damage cut short
    elif size:
        yield number, _join(pieces, size)


class _Text:
    """Finds the encoding and the newline of a file from its beginning."""

    def __init__(self, beginning: bytes) -> None:
        encoding = _wide_encoding(beginning)
        self._decoder = (
            None if encoding is None else codecs.getincrementaldecoder(encoding)("replace")
        )
        self._begun = False
        some = beginning.replace(b"\0", b"")
        self.newline = b"\r" if b"\r" in some and b"\n" not in some else b"\n"

    def in_utf8(self, chunk: bytes) -> bytes:
        """The next bytes of the file in UTF-8, without a byte order mark; the last call has
        none."""
        if self._decoder is not None:
            chunk = self._decoder.decode(chunk, final=not chunk).encode()
        if not self._begun and chunk:
            self._begun = True
            return chunk.removeprefix(_BOM)
        return chunk


def _wide_encoding(beginning: bytes) -> str | None:
    """The encoding of text whose characters have two or four bytes; None for any other."""
    for mark, encoding in _MARKED:
        if beginning.startswith(mark):
            return encoding
    return next((name for pattern, name in _UNMARKED if pattern.match(beginning)), None)


def _join(pieces: list[bytes], size: int) -> bytes | Broken:
    if size > MAX_LINE_BYTES:
        return Broken(
            f"line of {size:,} bytes; at most {MAX_LINE_BYTES:,} are read. Write large values as"
            " Parquet"
        )
    return b"".join(pieces)


def read_filled_lines(uri: str, *, head_only: bool = False) -> Iterator[Line]:
    """Lines that are not blank."""
    lines = read_lines(uri, head_only=head_only)
    return (
        item for item in lines if isinstance(item[1], Broken) or (item[1] and not item[1].isspace())
    )


def sample_lines(uri: str, rows: int, size: int) -> Iterator[bytes | Broken]:
    """A sample of the lines: half from the head, the rest from places further in, where rows may
    differ.

    Args:
        rows: Largest number of lines.
        size: Approximate largest number of bytes.
    """
    head = 0
    for _, line in islice(read_filled_lines(uri, head_only=True), rows // 2 or 1):
        head += len(line) if isinstance(line, bytes) else 0
        yield line
        if head > size // 2:
            break
    if is_compressed(uri):
        return
    window = min(_WINDOW, size // 2 // _PLACES)
    with open_input(uri, block_size=_WINDOW) as file:
        end = file.seek(0, os.SEEK_END)
        for place in range(1, _PLACES + 1):
            start = max(head, (end - window) * place // _PLACES)
            if start >= end:
                return
            file.seek(start)
            _, *lines = file.read(window).split(b"\n")  # the first and the last one may be partial
            yield from (
                line for line in lines[:-1][-rows // 2 // _PLACES :] if line and not line.isspace()
            )


def batches(items: Iterator[Item], size: int) -> Iterator[list[Item]]:
    """Cuts an iterator into lists of `size` items; the last may be shorter."""
    while batch := list(islice(items, size)):
        yield batch
