"""Decodes bodies that a server compressed, in the encodings of HTTP."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

_CHUNK = 1 << 18
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class Damaged(Exception):
    """A compressed body ends early, or is none."""


def decoded(data: bytes, encodings: str) -> Iterator[bytes]:
    """The pieces of a body as it was before it was sent.

    Other encodings than gzip, deflate, Brotli and Zstandard, such as ``aws-chunked`` and
    ``identity``, leave it as it is. So does one that the body plainly has not, as where an object
    in a store has the wrong metadata.

    Args:
        data: The body as it came.
        encodings: Value of its ``Content-Encoding``.

    Raises:
        Damaged: It cannot be decoded to its end.
    """
    names = [name.strip().lower() for name in encodings.split(",")]
    known = [_DECODERS[name] for name in names if name in _DECODERS]
    for decoder in known[:0:-1]:
        data = b"".join(decoder(data))
    yield from known[0](data) if known else (data,)


def _gzip(data: bytes) -> Iterator[bytes]:
    if not data.startswith(_GZIP):
        yield data
        return
    # Several members count as one; what else follows the last one is no part of it.
    while data.startswith(_GZIP):
        inflating = zlib.decompressobj(16 + zlib.MAX_WBITS)
        yield from _inflated(inflating, data)
        data = inflating.unused_data


def _deflate(data: bytes) -> Iterator[bytes]:
    has_header = len(data) > 1 and data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
    yield from _inflated(
        zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS), data
    )


def _inflated(inflating: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    try:
        while piece := inflating.decompress(data, _CHUNK):
            yield piece
            data = inflating.unconsumed_tail
    except zlib.error as error:
        raise Damaged(str(error)) from None
    if not inflating.eof:
        raise Damaged("it ends early")


def _brotli(data: bytes) -> Iterator[bytes]:
    yield from _by_arrow(data, "brotli")


def _zstd(data: bytes) -> Iterator[bytes]:
    yield from _by_arrow(data, "zstd") if data.startswith(_ZSTD) else (data,)


def _by_arrow(data: bytes, codec: str) -> Iterator[bytes]:
    import pyarrow as pa  # seldom needed

    try:
        with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
            while piece := stream.read(_CHUNK):
                yield piece
    except (OSError, pa.ArrowException) as error:
        raise Damaged(str(error)) from None


_DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
