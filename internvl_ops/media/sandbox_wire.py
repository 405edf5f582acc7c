"""Messages between a process and its sandbox: pickles with a length in front, and file descriptors beside them."""

from __future__ import annotations

import array
import dataclasses
import importlib
import io
import pickle
import socket
import struct
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

_LENGTH = struct.Struct("<Q")
_FIRST_READ = 64 << 10
_ANCILLARY_BYTES = socket.CMSG_LEN(64 * array.array("i").itemsize)

# What a result may be made of besides plain values and this package's dataclasses.
_SAFE = {
    "builtins": {"set", "frozenset", "complex", "slice", "range", "bytearray"},
    "numpy": {"ndarray", "dtype"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
}


class Blob(NamedTuple):
    """Stands for an argument of type bytes that lies in the request memory."""

    offset: int
    size: int


Outcome = Literal["result", "unit error", "out of memory", "exception"]


class Answer(NamedTuple):
    """What a worker says about one call: the result, the `UnitError`, nothing, or a message and a traceback."""

    outcome: Outcome
    value: Any


class Ended(Exception):
    """The process at the other end has gone."""


def send(
    channel: socket.socket, payload: bytes, descriptors: Sequence[int] = (), timeout_s: float | None = None
) -> None:
    """Sends one message, and duplicates of open file descriptors with it.

    Raises:
        Ended: The other end has gone.
        TimeoutError: It did not take the message within ``timeout_s``.
    """
    message = _LENGTH.pack(len(payload)) + payload
    try:
        channel.settimeout(timeout_s)
        if descriptors:
            sent = socket.send_fds(channel, [message], list(descriptors))
            message = message[sent:]
        channel.sendall(message)
    except (BrokenPipeError, ConnectionResetError):
        raise Ended from None


def receive(channel: socket.socket, timeout_s: float | None = None) -> tuple[bytes, list[int]]:
    """Receives one message and its file descriptors. Messages take turns, so there is never a second one behind it.

    Raises:
        Ended: The other end has gone.
        TimeoutError: The message was not there in whole after ``timeout_s``.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        channel.settimeout(timeout_s)
        message, ancillary, _, _ = channel.recvmsg(_FIRST_READ, _ANCILLARY_BYTES)
        descriptors = _descriptors(ancillary) if ancillary else []
        if len(message) < _LENGTH.size:
            message += _exactly(channel, _LENGTH.size - len(message), deadline)
        missing = _LENGTH.unpack_from(message)[0] + _LENGTH.size - len(message)
        if missing > 0:
            message += _exactly(channel, missing, deadline)
        return message[_LENGTH.size :], descriptors
    except ConnectionResetError:
        raise Ended from None


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    return list(descriptors)


def _exactly(channel: socket.socket, size: int, deadline: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        if deadline is not None:
            channel.settimeout(max(deadline - time.monotonic(), 1e-3))
        part = channel.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise Ended
        parts += part
    return bytes(parts)


@lru_cache(maxsize=256)
def _allowed(module: str, name: str) -> Any:
    if name in _SAFE.get(module, ()):
        return getattr(importlib.import_module(module), name)
    if module.split(".")[0] == "internvl_ops":
        found = getattr(importlib.import_module(module), name, None)
        if isinstance(found, type) and dataclasses.is_dataclass(found):
            return found
    raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a sandbox's answer")


class _ResultUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return _allowed(module, name)


def loads_result(payload: bytes | memoryview, buffers: Sequence[Any] = ()) -> Any:
    """Unpickles what a sandbox answers.

    A decoder that a hostile file has taken over writes these bytes, so only data can be made from them: plain values,
    numpy arrays and dataclasses of this package.
    """
    return _ResultUnpickler(io.BytesIO(payload), buffers=buffers).load()
