"""Encodes a sandbox's answers: plain values, arrays of numbers and this package's dataclasses,
nothing else.

A decoder that a hostile file has taken over writes these bytes, so reading them must only create
data. Pickle cannot guarantee that, however its imports are restricted: an array of objects over the
decoder's own bytes makes the reader follow a pointer that the decoder chose. Here every length,
type and name is checked before an object is created.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import msgpack
import numpy as np

_TUPLE, _SET, _DATACLASS, _ARRAY, _NUMBER, _BYTES = range(1, 7)
_NUMBERS = re.compile(r"[<>|=]?[biufc]\d{1,2}")  # dtypes of numbers
_MOST_DIMENSIONS = 8
_DEEPEST = 32  # nested dataclasses, tuples and sets
# an answer may hold dataclasses of these
_PACKAGES = ("internvl_ops.errors.", "internvl_ops.media.")

Lend = Callable[[memoryview], int | None]
"""Puts bytes into shared memory and returns their place among the answer's; None for what is better
kept inside."""


def encode(value: Any, lend: Lend) -> bytes:
    """``value`` as bytes; parts that ``lend`` accepts are not included.

    Raises:
        TypeError: The value, or a part of it, is not data.
        OverflowError: An integer has more than 64 bits.
    """

    return _pack(_lent(value, lend), lend)


def decode(payload: bytes | memoryview, buffers: Sequence[Any] = ()) -> Any:
    """The value from bytes that `encode` wrote.

    Args:
        payload: Written by an untrusted process.
        buffers: The lent memory, by place; arrays use it without a copy.

    Raises:
        ValueError: The bytes are not valid, or contain something that is not allowed.
        TypeError: Likewise.
    """

    return _unpack(payload, buffers, _DEEPEST)


@dataclasses.dataclass(frozen=True)
class Lent:
    """Represents bytes that lie in shared memory."""

    place: int


def _pack(part: Any, lend: Lend) -> bytes:
    packed: bytes = msgpack.packb(
        part, default=partial(_extension, lend), strict_types=True, unicode_errors="surrogatepass"
    )
    return packed


def _extension(lend: Lend, part: Any) -> msgpack.ExtType:
    """Encodes types that msgpack does not support."""
    if isinstance(part, np.ndarray):
        part = np.asarray(part, order="C")
        raw = part.data.cast("B") if part.size else memoryview(b"")
        place = lend(raw)
        content = [part.dtype.str, list(part.shape), raw.tobytes() if place is None else place]
        return msgpack.ExtType(_ARRAY, _pack(content, lend))
    if isinstance(part, np.generic):
        return msgpack.ExtType(_NUMBER, _pack([part.dtype.str, part.tobytes()], lend))
    if isinstance(part, Lent):
        return msgpack.ExtType(_BYTES, _pack(part.place, lend))
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        kind = type(part)
        values = {
            field.name: _lent(getattr(part, field.name), lend) for field in dataclasses.fields(kind)
        }
        return msgpack.ExtType(
            _DATACLASS, _pack([kind.__module__, kind.__qualname__, values], lend)
        )
    if isinstance(part, tuple):
        return msgpack.ExtType(_TUPLE, _pack(list(part), lend))
    if isinstance(part, set | frozenset):
        return msgpack.ExtType(_SET, _pack(list(part), lend))
    raise TypeError(
        f"an answer of type {type(part).__module__}.{type(part).__qualname__} cannot leave a"
        " sandbox"
    )


def _unpack(payload: bytes | memoryview, buffers: Sequence[Any], depth: int) -> Any:
    # Not a nested function that refers to itself: that would hold the shared memory until the next
    # collection.
    hook = partial(_data, buffers, depth)
    return msgpack.unpackb(
        payload, ext_hook=hook, strict_map_key=False, unicode_errors="surrogatepass"
    )


def _data(buffers: Sequence[Any], depth: int, code: int, part: bytes) -> Any:
    """Decodes what `_extension` encoded."""
    if not depth:  # each level uses the reader's stack, which overflows before Python's own limit
        raise ValueError(f"parts more than {_DEEPEST} deep are not allowed in a sandbox's answer")
    content = _unpack(part, buffers, depth - 1)
    if code == _TUPLE:
        return tuple(_checked(content, list))
    if code == _SET:
        return set(_checked(content, list))
    if code == _BYTES:
        return bytes(_buffer(content, buffers))
    if code == _DATACLASS:
        module, name, values = content
        return _dataclass(module, name)(**_checked(values, dict))
    if code == _NUMBER:
        dtype, raw = content
        return np.frombuffer(_checked(raw, bytes), _dtype(dtype), 1)[0]
    if code == _ARRAY:
        dtype, shape, raw = content
        return _array(dtype, shape, raw if isinstance(raw, bytes) else _buffer(raw, buffers))
    raise ValueError(f"part {code} is none of an answer")


def _lent(value: Any, lend: Lend) -> Any:
    """``value`` with its large bytes lent; arrays and dataclasses are handled when they are
    packed."""
    if isinstance(value, bytes):
        place = lend(memoryview(value))
        return value if place is None else Lent(place)
    if isinstance(value, list):
        return [_lent(one, lend) for one in value]
    if type(value) is tuple:
        return tuple(_lent(one, lend) for one in value)
    if isinstance(value, dict):
        return {name: _lent(one, lend) for name, one in value.items()}
    return value


@lru_cache(maxsize=256)
def _dataclass(module: Any, name: Any) -> type:
    if isinstance(module, str) and isinstance(name, str) and f"{module}.".startswith(_PACKAGES):
        found = getattr(importlib.import_module(module), name, None)
        if isinstance(found, type) and dataclasses.is_dataclass(found):
            return found
    raise ValueError(f"{module}.{name} is not allowed in a sandbox's answer")


def _array(dtype: Any, shape: Any, raw: Any) -> np.ndarray:
    kind = _dtype(dtype)
    sizes = [_checked(size, int) for size in _checked(shape, list)]
    if len(sizes) > _MOST_DIMENSIONS or any(size < 0 for size in sizes):
        raise ValueError(f"an array of shape {sizes} is not allowed in a sandbox's answer")
    size = math.prod(sizes) * kind.itemsize
    if size != memoryview(raw).nbytes:
        raise ValueError(f"an array of {size} bytes cannot stand on {memoryview(raw).nbytes}")
    if not size:
        return np.empty(sizes, kind)
    # Bytes inside the message are read-only, but the caller may modify results.
    return np.frombuffer(bytearray(raw) if isinstance(raw, bytes) else raw, kind).reshape(sizes)


def _dtype(name: Any) -> np.dtype:
    if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
        raise ValueError(f"an array of {name!r:.40} is not allowed in a sandbox's answer")
    return np.dtype(name)


def _buffer(place: Any, buffers: Sequence[Any]) -> Any:
    if not 0 <= _checked(place, int) < len(buffers):
        raise ValueError(f"place {place} of {len(buffers)} is not there")
    return buffers[place]


def _checked(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"a {kind.__name__} is needed, not a {type(value).__name__}")
    return value
