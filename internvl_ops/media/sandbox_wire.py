"""Messages between a process and its sandbox: pickles with a length in front, and file descriptors beside them."""

from __future__ import annotations

import dataclasses
import io
import pickle
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

_LENGTH = struct.Struct("<Q")
_MAX_DESCRIPTORS = 64

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


class Ended(Exception):
    """The process at the other end has gone."""


def send(channel: socket.socket, payload: bytes, descriptors: Sequence[int] = ()) -> None:
    """Sends one message, and duplicates of open file descriptors with it."""
    try:
        channel.settimeout(None)
        header = _LENGTH.pack(len(payload))
        if descriptors:
            socket.send_fds(channel, [header], list(descriptors))  # 8 bytes: never sent in part
            channel.sendall(payload)
        else:
            channel.sendall(header + payload)
    except (BrokenPipeError, ConnectionResetError):
        raise Ended from None


def receive(channel: socket.socket, timeout_s: float | None = None) -> tuple[bytes, list[int]]:
    """Receives one message and its file descriptors.

    Raises:
        Ended: The other end has gone.
        TimeoutError: The message was not there in whole after ``timeout_s``.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        channel.settimeout(timeout_s)
        header, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, _MAX_DESCRIPTORS)
        header += _exactly(channel, _LENGTH.size - len(header), deadline)
        return _exactly(channel, _LENGTH.unpack(header)[0], deadline), descriptors
    except ConnectionResetError:
        raise Ended from None


def gone(channel: socket.socket) -> bool:
    """Whether the other end has gone, asked while no message is expected from it."""
    try:
        channel.settimeout(0)
        return not channel.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


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


class _ResultUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in _SAFE.get(module, ()):
            return super().find_class(module, name)
        if module.split(".")[0] == "internvl_ops":
            found = super().find_class(module, name)
            if isinstance(found, type) and dataclasses.is_dataclass(found):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a sandbox's answer")


def loads_result(payload: bytes, buffers: Sequence[Any] = ()) -> Any:
    """Unpickles what a sandbox answers.

    A decoder that a hostile file has taken over writes these bytes, so only data can be made from them: plain values,
    numpy arrays and dataclasses of this package.
    """
    return _ResultUnpickler(io.BytesIO(payload), buffers=buffers).load()
