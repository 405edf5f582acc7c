"""Physical lines of a text manifest, numbered, in constant memory, whatever the bytes are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from pipelines.sources.storage import open_stream

MAX_LINE_BYTES = 16 << 20
_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Broken:
    """Stands for a line that could not be read."""

    message: str


Line = tuple[int, "bytes | Broken"]


def read_lines(uri: str) -> Iterator[Line]:
    """Yields each line's number, from 1, and its bytes without the newline.

    A line above 16 MiB, and what cannot be decompressed, come as :class:`Broken`; the latter ends the file, because
    there is no way to find the next line in it. A storage that fails raises its OSError.
    """
    stream, file = open_stream(uri)
    number, head, pieces, size, damage = 1, True, [], 0, None
    with file:
        while True:
            try:
                chunk = stream.read(_CHUNK)
            except (OSError, EOFError, ValueError) as error:
                if file.failed is not None:
                    raise
                damage, chunk = Broken(f"the rest of the file cannot be decompressed ({error}); write it anew"), b""
            if not chunk:
                break
            if head:
                chunk, head = chunk.removeprefix(_BOM), False
            first, *rest = chunk.split(b"\n")
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
        yield number, damage  # in place of the line it cut short
    elif size:
        yield number, _join(pieces, size)


def _join(pieces: list[bytes], size: int) -> bytes | Broken:
    if size > MAX_LINE_BYTES:
        return Broken(f"line of {size:,} bytes; at most {MAX_LINE_BYTES:,} are read. Write large values as Parquet")
    return b"".join(pieces)


def read_filled_lines(uri: str) -> Iterator[Line]:
    """Lines that are not blank."""
    return (item for item in read_lines(uri) if isinstance(item[1], Broken) or (not item[1].isspace() and item[1]))


def batches(items: Iterator, size: int) -> Iterator[list]:
    """Cuts an iterator into lists of `size` items; the last may be shorter."""
    while batch := list(islice(items, size)):
        yield batch
