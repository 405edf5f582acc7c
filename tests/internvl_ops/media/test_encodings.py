"""Compressed bodies are what was sent, or damaged: never a part of it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from internvl_ops.media.encodings import Damaged, decoded


def _bare(data: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflating.compress(data) + deflating.flush()


def _by_arrow(codec: str) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, codec) as stream:
            stream.write(data)
        packed: bytes = sink.getvalue().to_pybytes()
        return packed

    return pack


PACKED: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("GZip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", _bare),
    ("br", _by_arrow("brotli")),
    ("zstd", _by_arrow("zstd")),
    ("gzip, br", lambda data: _by_arrow("brotli")(gzip.compress(data))),
    ("identity", bytes),
    ("aws-chunked", bytes),
    ("utf-8, gzip", gzip.compress),
]
BODIES = st.binary(min_size=1, max_size=300) | st.just(bytes(700_000)) | st.just(b"ab" * 300_000)


def whole(data: bytes, encodings: str) -> bytes:
    return b"".join(decoded(data, encodings))


@given(packed=st.sampled_from(PACKED), data=BODIES)
def test_a_body_comes_out_as_it_went_in(
    packed: tuple[str, Callable[[bytes], bytes]], data: bytes
) -> None:
    encodings, pack = packed
    assert whole(pack(data), encodings) == data


@given(packed=st.sampled_from(PACKED[:7]), data=BODIES, share=st.floats(0, 1))
def test_a_body_that_was_cut_is_never_taken_for_whole(
    packed: tuple[str, Callable[[bytes], bytes]], data: bytes, share: float
) -> None:
    encodings, pack = packed
    sent = pack(data)
    cut = sent[: min(len(sent) - 1, 4 + int(share * len(sent)))]
    with pytest.raises(Damaged):
        whole(cut, encodings)


def test_members_in_a_row_count_and_what_follows_them_does_not() -> None:
    assert whole(gzip.compress(b"a") + gzip.compress(b"b") + b"\0tail", "gzip") == b"ab"


@pytest.mark.parametrize("encodings", ["gzip", "x-gzip", "zstd"])
def test_a_picture_whose_metadata_are_wrong(encodings: str) -> None:
    assert whole(b"\x89PNG\r\n", encodings) == b"\x89PNG\r\n"


def test_a_bomb_comes_piece_by_piece() -> None:
    for encodings, pack in PACKED[:7]:
        assert len(next(decoded(pack(bytes(50 << 20)), encodings))) <= 1 << 18
